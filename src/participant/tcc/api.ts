/**
 * The shapes of a participant made of three functions. docs/participants.md, "Try, confirm, cancel".
 */
import type { Gid } from "../../base/index.js";

export type TccPhase = "try" | "confirm" | "cancel";

/** What each function is told. */
export interface TccCall {
  readonly gid: Gid;
  /** The branch's id inside its transaction. */
  readonly branch: string;
  readonly phase: TccPhase;
  /** The leader's epoch; 0 when it is not known, which is so of an outcome that was asked for. */
  readonly epoch: number;
  readonly participant: string;
  /** The cluster's id. */
  readonly cluster: string;
  /** The work of a try, as `tx.ask` was given it. Empty otherwise. */
  readonly payload: Uint8Array;
}

/** What a barrier is told of a call. */
export type TccBarrierCall = Omit<TccCall, "payload">;

/** `done`: the function ran and its work is durable. `duplicate`: it was done before. `refused`: it never will be. */
export type TccBarrierResult = { readonly kind: "done" | "duplicate" } | { readonly kind: "refused"; readonly detail: string };

/**
 * Runs each function once, in the same local transaction as its mark, refuses a try that comes after its cancel, and lets a cancel
 * without a try succeed. That of `quorate/barrier` is one.
 */
export interface TccBarrier<Handle = unknown> {
  /** What `fn` returns is for the barrier: a list of operations, where it writes them itself. */
  call(call: TccBarrierCall, fn: (handle: Handle) => unknown): Promise<TccBarrierResult>;
}

/**
 * A function of the business. It returns when what it did is durable; with a barrier, when `handle` has been told everything, and what it
 * returns is what that barrier wants of it.
 */
export type TccFunction<Handle> = (call: TccCall, handle: Handle) => unknown;

interface Functions<Handle> {
  /** The participant's name in the cluster. */
  readonly name: string;
  /** Reserves. Throws `TccRefusal` to say no. */
  readonly try: TccFunction<Handle>;
  /** Takes what was reserved. Repeated until it returns. */
  readonly confirm: TccFunction<Handle>;
  /** Gives back what was reserved. Repeated until it returns; it may come without a try, before it, and while it runs. */
  readonly cancel: TccFunction<Handle>;
}

/** Without a barrier the three functions must keep its rules themselves. */
export type TccOptions<Handle = undefined> = Functions<Handle> &
  (undefined extends Handle ? { readonly barrier?: TccBarrier<Handle> } : { readonly barrier: TccBarrier<Handle> });
