export function seedsJob(folder: string, seeds: readonly number[], untilMs: number, failuresMax: number): object;
