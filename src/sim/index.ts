export { DECISIONS_PER_SEED_MIN, runBatch } from "./batch.js";
export type { BatchOptions, BatchResult } from "./batch.js";
export { simCommand } from "./cli.js";
export type { SimOptions } from "./cli.js";
export { judgeMarks, MARKS, MARKS_SEEDS_MIN, missingMarks } from "./marks.js";
export type { Mark } from "./marks.js";
export { runSeed, SAFETY_MS } from "./run.js";
export type { SeedOptions, SeedResult } from "./run.js";
export type { Swarm } from "./swarm.js";
