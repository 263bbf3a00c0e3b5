/**
 * The worlds of `npm run explore`, and their bounds. docs/testing.md says how many states each has.
 */
import { CommitWorld } from "./commit-world.js";
import type { CommitBounds } from "./commit-world.js";
import type { SearchOptions, SearchResult } from "./search.js";
import { search } from "./search.js";
import { ZabWorld } from "./zab-world.js";
import type { ZabBounds } from "./zab-world.js";

/** A world and a search of it, whatever its states are. */
export interface Exploration {
  readonly name: string;
  /** Takes minutes and gigabytes. */
  readonly large: boolean;
  run(options: SearchOptions): SearchResult;
}

const COMMIT: CommitBounds = {
  ...{ crashes: 0, ticks: 0, inquiries: 0, clientAborts: 0 },
  ...{ retries: false, ages: false, failover: true, alwaysYes: false },
  ...{ readOnly: false, alone: false, onePhase: [true, true] as const, kinds: ["2pc", "2pc"] as const },
};

const ZAB: ZabBounds = {
  ...{ crashes: 0, boots: 0, quietBoots: true, proposals: 0, ticks: 0, checkpoints: 0, entriesKeep: 1_000 },
  ...{ elections: 3, epochs: 9, absent: 0, settled: true },
};

export const EXPLORATIONS: readonly Exploration[] = [
  commit("commit", { failover: false }),
  commit("commit-timeout", { failover: false, ticks: 1, clientAborts: 1, inquiries: 1 }),
  commit("commit-failover-promised", { alwaysYes: true }),
  commit("commit-failover", {}),
  commit("commit-failover-inquiry", { alwaysYes: true, inquiries: 1 }),
  commit("commit-failover-abort", { alwaysYes: true, clientAborts: 1 }),
  commit("commit-failover-crash", { alwaysYes: true, crashes: 1 }),
  commit("commit-read-only", { failover: false, readOnly: true }),
  commit("commit-failover-reader", { alone: true, onePhase: [false, false], readOnly: true, retries: true, crashes: 1, inquiries: 1 }),
  commit("commit-failover-read-only", { alwaysYes: true, readOnly: true }, true),
  commit("commit-delegated", { alone: true, retries: true, crashes: 1, ticks: 1, clientAborts: 1 }),
  commit("commit-delegated-second", { alone: true, onePhase: [false, true], retries: true, inquiries: 1, crashes: 1 }),
  commit("commit-mixed", { failover: false, kinds: ["tcc", "2pc"], ticks: 1, clientAborts: 1 }),
  commit("commit-failover-mixed", { kinds: ["tcc", "2pc"], retries: true }),
  commit("commit-failover-mixed-abort", { kinds: ["tcc", "2pc"], alwaysYes: true, clientAborts: 1 }),
  commit("commit-failover-tried", { kinds: ["tcc", "tcc"] }),
  zab("broadcast", { proposals: 2 }),
  zab("reelection", { crashes: 1, proposals: 1, ticks: 1, elections: 4 }),
  zab("two-crashes", { crashes: 2, proposals: 2 }),
  zab("resynchronization", { crashes: 1, boots: 1, proposals: 1 }),
  zab("resynchronization-snapshot", { crashes: 1, boots: 1, proposals: 1, checkpoints: 1, entriesKeep: 0 }),
  zab("two-of-three", { settled: false, absent: 1, crashes: 1, boots: 1, quietBoots: false, proposals: 1, ticks: 2, elections: 4 }),
  zab("first-election", { settled: false }),
  zab("first-election-crash", { settled: false, crashes: 1, elections: 5 }, true),
  zab("recovery", { crashes: 2, boots: 1, proposals: 1, checkpoints: 1, entriesKeep: 0, elections: 6 }, true),
  zab("two-epochs", { settled: false, crashes: 2, boots: 1, elections: 5, epochs: 2 }, true),
];

function commit(name: string, bounds: Partial<CommitBounds>, large = false): Exploration {
  return { name, large, run: (options) => search(new CommitWorld(name, { ...COMMIT, ...bounds }), options) };
}

function zab(name: string, bounds: Partial<ZabBounds>, large = false): Exploration {
  return { name, large, run: (options) => search(new ZabWorld(name, { ...ZAB, ...bounds }), options) };
}
