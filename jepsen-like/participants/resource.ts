/**
 * A participant under test as the workloads and the judge see it: work for its branches, and its books, read from the store itself
 * and never by asking the cluster.
 */
import type { BranchKind, BranchSpec, Transaction } from "../../src/index.js";
import type { BranchRef } from "../../src/participant/index.js";
import type { LedgerRow } from "../../src/check/index.js";
import type { Observer } from "./observer.js";
import type { ParticipantProcess } from "./participant-process.js";

export const ACCOUNTS = 64;
export const BALANCE = 1_000_000;

/** What one branch of a transfer does. Every branch writes one ledger row, inside its own resource's transaction. */
export interface Work {
  readonly gid: string;
  readonly branch: string;
  /** Undefined: only the ledger row. */
  readonly move: { readonly account: number; readonly delta: number } | undefined;
  /** Asks for something that must be refused. */
  readonly doomed: boolean;
}

/** A database server below a participant, which faults can hit as well. */
export interface DatabaseServer {
  readonly pid: number | undefined;
  kill9(): Promise<void>;
  /** After `kill9`; resolves when it takes connections. */
  restart(): Promise<void>;
  /** The server's process and every child of the moment. */
  freeze(): void;
  thaw(): void;
  /** The kernel shows the server's process stopped. */
  readonly frozen: boolean;
}

/** `tcc` is attached, `tcc-service` is called over HTTP. */
export type ResourceKind = "kv" | "postgres" | "mariadb" | "tcc" | "tcc-service";

/** What is needed to make one, whatever it is. */
export interface ResourceOptions {
  readonly name: string;
  /** Holds the store's folder and the process's log. */
  readonly dir: string;
  readonly endpoints: string;
  /** Where these and other addresses of nodes are dialed from here, where that is elsewhere. */
  readonly routes: Readonly<Record<string, string>>;
  readonly duplicatesSeed: string | undefined;
  readonly observer: Observer;
}

export interface Resource {
  readonly name: string;
  readonly kind: ResourceKind;
  readonly branchKind: BranchKind;
  /** Serves it to the cluster. */
  readonly process: ParticipantProcess;
  readonly database: DatabaseServer | undefined;
  payload(work: Work): Uint8Array;
  /** The client runs the same work itself, as its branch of this transaction; undefined: it can only be asked for. */
  readonly bring: ((tx: Transaction, work: Work) => Promise<void>) | undefined;
  /** Before the first `bring`. */
  start(clusterId: string): Promise<void>;
  /** Every account is written once, by amounts of 0: shows that nothing is locked. */
  touchAll(): Uint8Array;
  /** What a committed branch read; undefined: it has not committed here yet. */
  reads(ref: BranchRef): Promise<readonly (string | number | null)[] | undefined>;
  ledger(): AsyncIterable<readonly LedgerRow[]>;
  balances(): Promise<{ readonly total: number; readonly lowest: number }>;
  /** Branches prepared and undecided. */
  orphans(): Promise<number>;
  /** Locks that nobody alive holds: of prepared branches, or of waits for them; of a store that reserves, accounts with a reserve. */
  locks(): Promise<number>;
  /** What is reserved, in all; undefined: this kind reserves nothing. */
  readonly reserved: (() => Promise<number>) | undefined;
  /** Faults say what they are about to do: a participant that is away is not in doubt by the cluster's fault. */
  leaving(): void;
  returned(): void;
  close(): Promise<void>;
}

/** A branch whose work the cluster asks for. */
export function askedBranch({ name, branchKind }: Resource, id: string, payload: Uint8Array): BranchSpec {
  return { id, participant: name, mode: "asked", kind: branchKind, payload };
}
