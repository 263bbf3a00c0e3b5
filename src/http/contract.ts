/**
 * What the author of a service writes: handlers for the steps of a branch. docs/participants.md, "Services", has the rules they keep.
 */

export type ServicePhase = "prepare" | "commit" | "rollback" | "try" | "confirm" | "cancel";

/** One call of the cluster's leader. */
export interface ServiceCall<Payload = unknown> {
  /** The transaction's id. */
  readonly gid: string;
  /** The branch's id inside its transaction. */
  readonly branch: string;
  readonly phase: ServicePhase;
  /** Counts this leader's calls of the branch and phase, from 1. */
  readonly attempt: number;
  /** The leader's epoch. Fences new work only. */
  readonly epoch: number;
  /** The cluster's id. */
  readonly cluster: string;
  /** The name that the service is registered under. */
  readonly participant: string;
  /**
   * The cluster has forgotten every gid whose own time is below this, ms since 1970; 0: nothing yet. Rows of finished branches below it
   * may go, once it is stored as a floor below which new work is refused: `forgetBelow` of a barrier.
   */
  readonly forgottenBelowMs: number;
  /** As it came, for a tracer. */
  readonly traceparent: string | undefined;
  /** The branch's work: parsed JSON, to prepare and try. Undefined otherwise: keep what confirm and cancel need. */
  readonly payload: Payload;
}

/** `read-only`, of prepare: nothing was written here and nothing is held; neither commit nor rollback will follow. */
export type NewWorkResult = "yes" | "read-only";

type Step<Handle, Payload, Result> = (call: ServiceCall<Payload>, handle: Handle) => Promise<Result> | Result;

/** Of a service of kind `2pc`. What resolves is durable. */
export interface TwoPhaseHandlers<Handle = undefined, Payload = unknown> {
  readonly prepare: Step<Handle, Payload, NewWorkResult | undefined | void>;
  readonly commit: Step<Handle, undefined, unknown>;
  readonly rollback: Step<Handle, undefined, unknown>;
}

/** Of a service of kind `tcc`. What resolves is durable. */
export interface TccHandlers<Handle = undefined, Payload = unknown> {
  readonly try: Step<Handle, Payload, unknown>;
  readonly confirm: Step<Handle, undefined, unknown>;
  readonly cancel: Step<Handle, undefined, unknown>;
}

/**
 * Runs a handler at most once, in an order that the decision does not contradict. `quorate/barrier` has some; `handle` is what the
 * handler works with, such as a database transaction that holds the barrier's mark too. What the handler returns is passed to the
 * barrier as it is: some want the list of what they are to write.
 */
export interface CallBarrier<Handle> {
  call(
    call: {
      readonly gid: string;
      readonly branch: string;
      readonly phase: ServicePhase;
      readonly epoch: number;
      readonly cluster: string;
      readonly participant: string;
    },
    run: (handle: Handle) => unknown,
  ): Promise<{ readonly kind: "done" } | { readonly kind: "duplicate" } | { readonly kind: "refused"; readonly detail: string }>;
}

interface Common {
  /** Calls for any other name are refused. Default: every name is served. */
  readonly participant?: string | undefined;
  /** Calls of any other cluster are refused. Default: every cluster is served. */
  readonly cluster?: string | undefined;
  /** A longer body is answered 413. Default 65,536, as much as a branch's payload may have. */
  readonly bodyBytesMax?: number | undefined;
  /** An error that a handler threw and that is no refusal: it is answered 500 and comes again. Default: console.error. */
  readonly onError?: ((error: unknown, call: ServiceCall) => void) | undefined;
}

export type HttpServiceOptions<Handle = undefined, Payload = unknown> = Common & {
  readonly handlers: TwoPhaseHandlers<Handle, Payload> | TccHandlers<Handle, Payload>;
} & ([Handle] extends [undefined] ? { readonly barrier?: CallBarrier<Handle> | undefined } : { readonly barrier: CallBarrier<Handle> });

/** Thrown by prepare and try: no, and never for this branch; the transaction is aborted with this message. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

/** Thrown by any handler: not yet. The call comes again soon. */
export class NotYet extends Error {
  override readonly name = "NotYet";
}
