/**
 * What a replica needs from the world. storage and transport implement these for real processes, sim for simulated ones.
 *
 * No port ever calls back from inside a call made to it: completions arrive later, as inputs of the replica.
 */
import type { NodeId, Zxid } from "../base/index.js";
import type { Answer, BranchCall, ClientSession, InquiryAnswer, InstanceId } from "../coordinator/index.js";
import type { NodeView } from "../wire/index.js";
import type { ControlMessage, PersistRequest, RecoveredLog, SessionId, SessionMessage } from "../zab/index.js";

/** One key of the replicated state in its stored form. `value` undefined removes the key. */
export interface StateWrite {
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

export interface LogPort {
  /**
   * Queues operations in order. Group commit: whenever the previous sync ends, everything queued is written and synced once.
   * Completion: `onPersisted(seq)` of the last durable request, in order. Any write or sync error ends the process.
   */
  submit(requests: readonly PersistRequest[]): void;
}

export interface StatePort {
  /**
   * Writes one checkpoint: all `writes` and the applied zxid in one atomic, synced batch. `writes` is consumed lazily in slices so
   * that encoding a large checkpoint never stalls the loop; the iterator's values are frozen by the caller at the time of the call.
   * Completion: `onCheckpointed(at)`. One checkpoint runs at a time.
   */
  checkpoint(at: Zxid, writes: Iterable<StateWrite>): void;
  /**
   * Pins the state as of the last finished checkpoint for reading by a learner. Returns its id; the pin ends with `releaseSnapshot`.
   */
  pinSnapshot(): { readonly snapshotId: string; readonly at: Zxid };
  releaseSnapshot(snapshotId: string): void;
  /**
   * Fetches a snapshot from a leader into a staged generation and, when it is complete and verified, makes it the state in one
   * atomic, synced step. Completion: `onInstalled(session, at, entries | undefined)`; undefined means it failed and nothing changed.
   */
  install(session: SessionId, peer: NodeId, at: Zxid, snapshotId: string): void;
  /**
   * Nobody wants this session's install any more: it is given up, even if its stream hangs, unless it is becoming the state already. It
   * completes either way.
   */
  cancelInstall(session: SessionId): void;
}

export interface NetPort {
  /** Best effort, never blocks; dropped when the link is down or its bounded queue is full. */
  control(to: NodeId, message: ControlMessage): void;
  dial(session: SessionId, peer: NodeId): void;
  /** In order; the transport batches what is sent in one turn of the event loop. */
  session(session: SessionId, message: SessionMessage): void;
  close(session: SessionId): void;
}

/** What storage found at start. */
export interface Recovered {
  readonly log: RecoveredLog;
  /** Every key of the state as of `log.applied`. */
  readonly state: Iterable<StateWrite>;
  /** What was found wrong, in words for `status`; empty when nothing was. */
  readonly findings: readonly string[];
}

/** Streams of clients and participant instances on this node. */
export interface SessionPort {
  answer(session: ClientSession, request: number, answer: Answer): void;
  call(call: BranchCall): void;
  inquiryAnswers(instance: InstanceId, answers: readonly InquiryAnswer[]): void;
  /** This node's view of the cluster changed. */
  setView(view: NodeView): void;
}

export interface ClockPort {
  /** Monotonic milliseconds with fraction; any origin, never jumps. */
  monotonicMs(): number;
  /** Milliseconds since 1970; may jump. */
  wallMs(): number;
}

export interface ReplicaObserver {
  /** Facts for logs, metrics and coverage. */
  event(name: string, fields: Readonly<Record<string, string | number | boolean>>): void;
  /**
   * A named point of the protocol is reached. "halt" stops this replica for good: it sends and writes nothing more (the process is
   * about to die). Used by fault tests only; see docs/testing.md.
   */
  failpoint(name: FailpointName): "continue" | "halt";
}

/** Points of the commit path where a fault test may end the process. */
export const REPLICA_FAILPOINTS = [
  "begin-propose",
  "prepare-send",
  "one-phase-send",
  "decision-propose",
  "decision-applied",
  "commit-send-first",
  "commit-send-second",
  "client-answer",
  "done-propose",
  "forget-propose",
  "establish",
  "checkpoint-start",
  "snapshot-install",
] as const;
export type FailpointName = (typeof REPLICA_FAILPOINTS)[number];
