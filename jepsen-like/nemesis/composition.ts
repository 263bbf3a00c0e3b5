/**
 * What a composition of faults is, and how it is run: quiet, one episode of faults, quiet, again.
 *
 * Each episode says whether its fault was really felt; one that nobody felt is written down and does not count.
 */
import type { Prng } from "../../src/base/index.js";
import type { HistoryValue } from "../../src/check/index.js";
import type { NodeId } from "../../src/index.js";
import type { ClusterUnderTest } from "../cluster/cluster-under-test.js";
import type { Need } from "../cluster/equipment.js";
import type { TestCluster } from "../cluster/test-cluster.js";
import type { HistoryWriter } from "../history-writer.js";
import type { NetworkAbility } from "../net/network.js";
import type { Resource } from "../participants/resource.js";

/** What an episode works with. */
export interface Ground<Cluster extends ClusterUnderTest = TestCluster> {
  readonly test: Cluster;
  /** In processes of their own. */
  readonly participants: readonly Resource[];
  readonly history: HistoryWriter;
  /** All choices of the fault injector come from here: the same seed makes the same choices, in the same situations. */
  readonly prng: Prng;
  /** Fires when the time for faults is over. */
  readonly stop: AbortSignal;
}

/** For any cluster under test, or only for one that this process has started. */
export interface Composition<Cluster extends ClusterUnderTest = TestCluster> {
  readonly name: string;
  /** One line: what breaks, and how it is seen that it really broke. */
  readonly summary: string;
  readonly nodesMin: number;
  /** A run of it in which no leader changes shows nothing. */
  readonly movesLeader: boolean;
  /** So does one in which no participant had to ask for an outcome. */
  readonly leavesDoubt: boolean;
  /** What the network must be able to do. */
  readonly networkNeeds?: readonly NetworkAbility[];
  /** Nothing is broken on purpose: a run of it in which no fault was felt is as it should be. */
  readonly faultless?: boolean;
  /** What it breaks, besides coordinators: a run without such a thing has nothing for it. */
  readonly breaks?: "participants" | "databases";
  /** What the nodes must have been started with; without it the composition cannot run. */
  readonly requires?: readonly Need[];
  /** What makes its faults more real where the machine has it; without it the nodes make them themselves. */
  readonly wants?: readonly Need[];
  /** Quiet time before each episode, ms. */
  readonly quietMs: number;
  /** One episode; heals what it broke before it returns. Every fault is written down by `fault`. */
  episode(ground: Ground<Cluster>, leader: NodeId, turn: number): Promise<void>;
}

export const READY_TIMEOUT_MS = 30_000;

/** Episodes of one composition until `stop` or until `untilMs` of the monotonic clock. */
export async function runEpisodes<Cluster extends ClusterUnderTest>(
  composition: Composition<Cluster>,
  ground: Ground<Cluster>,
  untilMs = Infinity,
): Promise<void> {
  for (let turn = 0; !ground.stop.aborted && performance.now() < untilMs; turn++) {
    await sleep(composition.quietMs, ground.stop);
    const leader = ground.test.leader()?.id;
    if (ground.stop.aborted || leader === undefined) continue;
    await composition.episode(ground, leader, turn);
  }
}

/** Whether a fault was felt, and what else its end says. */
export type FaultEnd = { readonly verified: boolean } & Readonly<Record<string, HistoryValue>>;

/** Writes a fault's beginning and end, whatever happens in between. `hold` resolves with whether the fault was felt. */
export async function fault(
  { test, history }: Pick<Ground<ClusterUnderTest>, "test" | "history">,
  name: string,
  facts: Readonly<Record<string, HistoryValue>>,
  hold: () => Promise<boolean | FaultEnd>,
): Promise<void> {
  const leader = test.leader();
  history.nemesis({ fault: name, at: "begin", leader: leader?.id ?? null, epoch: leader?.epoch ?? null, ...facts });
  let end: FaultEnd = { verified: false };
  try {
    const held = await hold();
    end = typeof held === "boolean" ? { verified: held } : held;
  } finally {
    history.nemesis({ fault: name, at: "end", ...end });
  }
}

/** Whether this run has what the composition breaks. */
export function hasVictims({ breaks }: Pick<Composition, "breaks">, participants: readonly Resource[]): boolean {
  if (breaks === "participants") return participants.length > 0;
  return breaks === undefined || participants.some(({ database }) => database !== undefined);
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
