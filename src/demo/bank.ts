/**
 * A bank of the demo: one participant with accounts and a ledger, checked by reading its own store, not by asking the cluster.
 */
import type { Transaction } from "../client/index.js";
import type { Participant } from "../participant/index.js";
import type { Evidence } from "./evidence.js";

export interface Bank {
  readonly name: string;
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
  /** What the store shows of single calls. Absent: this bank's calls are not repeated on purpose. */
  evidence?(): Promise<Evidence>;
  /** The store and everything that was started for it. */
  close(): Promise<void>;
  /** Removes what `close` would, at once, for a process that is about to end. */
  discard(): void;
}

/** A bank whose participant runs in this process. */
export interface AttachedBank extends Bank {
  /** What is attached to the cluster. */
  readonly participant: Participant;
}
