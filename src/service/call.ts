/**
 * One call to a service, whatever carries it, and what a service can say.
 */
import type { BranchRef } from "../participant/index.js";
import type { ServicePhaseName } from "../wire/index.js";

/** A branch together with what the leader says of this call. */
export interface CalledBranch extends BranchRef {
  readonly epoch: number;
  /** Counts this leader's calls of the branch and phase, from 1. */
  readonly attempt: number;
}

export interface ServiceCall extends CalledBranch {
  readonly phase: ServicePhaseName;
  /** Empty but for prepare and try. */
  readonly payload: Uint8Array;
}

/** Everything else is an error: it could not be told. */
export type ServiceSaid =
  | { readonly kind: "done"; readonly vote: "yes" | "read-only" }
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "not-yet"; readonly detail: string };

/** How a service is reached. */
export interface Caller {
  /** Rejects with an Error that says, for people, what came instead of an answer. Never later than the deadline, but for a busy loop. */
  call(call: ServiceCall): Promise<ServiceSaid>;
  /** What is under way ends with an error. */
  close(): void;
}

export interface CallerOptions {
  readonly url: string;
  readonly deadlineMs: number;
  readonly clusterId: string;
  readonly participant: string;
  /** Connections at most; one for each call under way. */
  readonly connectionsMax: number;
  /** An answer's body at most. */
  readonly answerBytesMax: number;
  /** What the cluster has forgotten right now, ms of gid time: services may drop rows below it. */
  readonly forgottenBelowMs: () => number;
}

/** New work, which a service may refuse. A decision it may not. */
export function isNewWork(phase: ServicePhaseName): boolean {
  return phase === "prepare" || phase === "try";
}

/** What people need of a text that a service sent: one line, not too long. */
export function oneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= 300 ? line : `${line.slice(0, 300)}...`;
}
