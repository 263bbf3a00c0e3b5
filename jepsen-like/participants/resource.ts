/**
 * A participant under test as the workloads and the judge see it: work for its branches, and its books, read from the store itself
 * and never by asking the cluster.
 */
import type { BranchRef, BroughtParticipant } from "../../src/participant/index.js";
import type { PostgresHandle } from "../../src/participant/postgres/index.js";
import type { LedgerRow } from "../../src/check/index.js";
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
  /** The postmaster and every backend of the moment. */
  freeze(): void;
  thaw(): void;
  /** The kernel shows the postmaster stopped. */
  readonly frozen: boolean;
}

export interface Resource {
  readonly name: string;
  readonly kind: "kv" | "postgres";
  /** Serves it to the cluster. */
  readonly process: ParticipantProcess;
  readonly database: DatabaseServer | undefined;
  /** For branches whose work the client runs itself; undefined: this kind takes none. */
  readonly brought: BroughtParticipant<PostgresHandle> | undefined;
  payload(work: Work): Uint8Array;
  /** The same work on the handle of a brought branch. */
  work(handle: PostgresHandle, work: Work): Promise<void>;
  /** Every account is written once, by amounts of 0: shows that nothing is locked. */
  touchAll(gid: string): Uint8Array;
  /** What a committed branch read; undefined: it has not committed here yet. */
  reads(ref: BranchRef): Promise<readonly (string | number | null)[] | undefined>;
  ledger(): AsyncIterable<readonly LedgerRow[]>;
  balances(): Promise<{ readonly total: number; readonly lowest: number }>;
  /** Branches prepared and undecided. */
  orphans(): Promise<number>;
  /** Locks that nobody alive holds: of prepared branches, or of waits for them. */
  locks(): Promise<number>;
  /** Faults say what they are about to do: a participant that is away is not in doubt by the cluster's fault. */
  leaving(): void;
  returned(): void;
  close(): Promise<void>;
}
