export interface RunLine {
  readonly system: string;
  readonly op: string;
  readonly kind: string;
  readonly outstanding: number;
  readonly undisturbed: boolean;
  readonly failed?: string;
  readonly opsPerSec?: number;
  readonly opsPerCoreSec?: number;
  readonly p50ms?: number;
  readonly p99ms?: number;
  readonly p999ms?: number;
  readonly errors?: Readonly<Record<string, number>>;
  readonly cpu?: Readonly<Record<string, readonly number[]>>;
  readonly rssMiB?: readonly number[];
  readonly machine?: { readonly foreign: number; readonly steal: number };
}
export interface Point {
  readonly system: string;
  readonly kind: string;
  readonly outstanding: number;
  readonly runs: number;
  readonly failed: number;
  readonly counted: number;
  readonly undisturbed: boolean;
  readonly opsPerSec?: number;
  readonly errors?: number;
}
export interface Ratio {
  readonly ratio: string;
  readonly outstanding: number;
  readonly opsPerSec: number;
  readonly opsPerCoreSec: number;
  readonly p50: number;
  readonly undisturbed: boolean;
}
export function summarize(lines: readonly RunLine[]): readonly Point[];
export function ratios(points: readonly Point[]): readonly Ratio[];
export function rateTable(points: readonly Point[]): string;
