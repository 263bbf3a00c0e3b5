/**
 * A handful of measurements of the same thing.
 */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** To a tenth; undefined without a value. The median of an even number is the mean of the two in the middle. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (min === undefined || max === undefined) return undefined;
  const upper = sorted[Math.floor(sorted.length / 2)] ?? max;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? min;
  return { min: tenth(min), median: tenth((lower + upper) / 2), max: tenth(max) };
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}
