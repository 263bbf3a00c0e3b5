/**
 * What a composition of faults is, and how it is run: quiet, one episode of faults, quiet, again.
 *
 * Each episode says whether its fault was really felt; one that nobody felt is written down and does not count.
 */
import type { Prng } from "../../src/base/index.js";
import type { HistoryValue } from "../../src/check/index.js";
import type { NodeId } from "../../src/index.js";
import type { TestCluster } from "../cluster/test-cluster.js";
import type { HistoryWriter } from "../history-writer.js";

/** What an episode works with. */
export interface Ground {
  readonly test: TestCluster;
  readonly history: HistoryWriter;
  /** All choices of the fault injector come from here: the same seed makes the same choices, in the same situations. */
  readonly prng: Prng;
  /** Fires when the time for faults is over. */
  readonly stop: AbortSignal;
}

export interface Composition {
  readonly name: string;
  /** One line: what breaks, and how it is seen that it really broke. */
  readonly summary: string;
  readonly nodesMin: number;
  /** A run of it in which no leader changes shows nothing. */
  readonly movesLeader: boolean;
  /** So does one in which no participant had to ask for an outcome. */
  readonly leavesDoubt: boolean;
  /** Quiet time before each episode, ms. */
  readonly quietMs: number;
  /** One episode; heals what it broke before it returns. Every fault is written down by `fault`. */
  episode(ground: Ground, leader: NodeId, turn: number): Promise<void>;
}

export const READY_TIMEOUT_MS = 30_000;

/** Episodes of one composition until `stop` or until `untilMs` of the monotonic clock. */
export async function runEpisodes(composition: Composition, ground: Ground, untilMs = Infinity): Promise<void> {
  for (let turn = 0; !ground.stop.aborted && performance.now() < untilMs; turn++) {
    await sleep(composition.quietMs, ground.stop);
    const leader = ground.test.leader()?.id;
    if (ground.stop.aborted || leader === undefined) continue;
    await composition.episode(ground, leader, turn);
  }
}

/** Writes a fault's beginning and end, whatever happens in between. `hold` resolves with whether the fault was felt. */
export async function fault(
  { test, history }: Ground,
  name: string,
  facts: Readonly<Record<string, HistoryValue>>,
  hold: () => Promise<boolean>,
): Promise<void> {
  const leader = test.leader();
  history.nemesis({ fault: name, at: "begin", leader: leader?.id ?? null, epoch: leader?.epoch ?? null, ...facts });
  let verified = false;
  try {
    verified = await hold();
  } finally {
    history.nemesis({ fault: name, at: "end", verified });
  }
}

/** Resolves when `holds` does, or after `timeoutMs`, with what it says then. */
export async function until(holds: () => boolean, timeoutMs: number, stop: AbortSignal | undefined): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!holds() && performance.now() < deadline && stop?.aborted !== true) await sleep(10, stop);
  return holds();
}

export function sleep(ms: number, stop: AbortSignal | undefined): Promise<void> {
  if (stop?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      stop?.removeEventListener("abort", done);
      resolve();
    }
    stop?.addEventListener("abort", done);
  });
}
