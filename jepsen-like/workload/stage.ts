/**
 * What every workload works with: clients on streams, calls to single nodes, participants, and the history.
 */
import type { Prng } from "../../src/base/index.js";
import type { Quorate } from "../../src/index.js";
import type { ClusterUnderTest } from "../cluster/cluster-under-test.js";
import type { HistoryWriter } from "../history-writer.js";
import type { Resource, ResourceKind } from "../participants/resource.js";
import type { NodeVoice } from "./node-voice.js";

export interface Stage {
  readonly cluster: ClusterUnderTest;
  /** One for each node: calls that only this node answers, by itself or by passing them on. */
  readonly voices: readonly NodeVoice[];
  readonly participants: readonly Resource[];
  readonly history: HistoryWriter;
  /** For choices that are not about faults. */
  readonly prng: Prng;
}

export interface ResourceWish {
  readonly name: string;
  readonly kind: ResourceKind;
}

/** One kind of traffic. */
export interface Part {
  readonly name: string;
  /** What several workers of one run share; called once. */
  open(stage: Stage): Worker;
}

/** One worker's step: what it does between two looks at the clock. */
export type Step = () => Promise<void>;
/** Makes the step of one worker. */
export type Worker = (slot: number) => Step;

export interface Workload {
  readonly name: string;
  /** One line: what clients do, and what is checked by it. */
  readonly summary: string;
  readonly participants: readonly ResourceWish[];
  /** Calls of the participant contract are delivered up to three times more. */
  readonly duplicates: boolean;
  /** And so late that tries come after their cancels: of participants that reserve. */
  readonly reorders: boolean;
  /** Workers by part, in proportion. */
  readonly parts: readonly { readonly part: Part; readonly share: number }[];
  /** Transactions are what it is about; otherwise only registers. */
  readonly decides: boolean;
}

/** A worker does not begin more than one step in this time: histories of long runs stay readable, and the machine has room for faults. */
const STEP_MS_MIN = 60;

/** Runs `workers` clients until `stop` fires; each finishes what it has begun. */
export async function runParts(workload: Workload, stage: Stage, workers: number, stop: AbortSignal): Promise<void> {
  const whole = workload.parts.reduce((sum, { share }) => sum + share, 0);
  let given = 0;
  let shares = 0;
  const running: Promise<void>[] = [];
  for (const { part, share } of workload.parts) {
    shares += share;
    const until = Math.max(given + 1, Math.round((workers * shares) / whole));
    const worker = part.open(stage);
    for (; given < until; given++) running.push(repeat(worker(given), stop));
  }
  await Promise.all(running);
}

async function repeat(step: Step, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    const nextMs = performance.now() + STEP_MS_MIN;
    await step();
    const leftMs = nextMs - performance.now();
    if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
  }
}

export function clientOf({ cluster }: Stage, index: number): Quorate {
  return cluster.clients[index % cluster.clients.length] as Quorate;
}
