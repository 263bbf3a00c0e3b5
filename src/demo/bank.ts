/**
 * A bank of the demo: one participant with accounts and a ledger, checked by reading its own store, not by asking the cluster.
 */
import type { Transaction } from "../client/index.js";
import type { Participant } from "../participant/index.js";

export interface Bank {
  readonly name: string;
  /** What is attached to the cluster. */
  readonly participant: Participant;
  /** One side of a transfer inside `tx`: the account moves by `delta`, and the ledger gets one row for this transaction. */
  move(tx: Transaction, account: number, delta: number): Promise<void>;
  /** Ledger rows as they stand in the store: amount by gid. */
  ledger(): Promise<ReadonlyMap<string, number>>;
  /** Sum over all accounts as they stand in the store. */
  total(): Promise<number>;
  /** Prepared branches that nobody has finished. */
  orphans(): Promise<number>;
  /** Locks still held by prepared branches. */
  locks(): Promise<number>;
  /** The store and everything that was started for it. */
  close(): Promise<void>;
  /** Removes what `close` would, at once, for a process that is about to end. */
  discard(): void;
}
