/**
 * The face of the replicated state machine.
 */
import type { Gid, Zxid } from "../base/index.js";
import type { BranchSpec, Decision, RequestId, StampedCommand } from "./command.js";
import type { OutcomePage } from "./outcome-pages.js";
import type { FinishedOutcome, Transaction } from "./transaction.js";

/** Constants of the state machine: equal on every node because they are part of it, never configuration. Changing one needs a feature level. */
export interface TxnLimits {
  readonly payloadBytesMax: number;
  readonly transactionBytesMax: number;
  readonly branchesMax: number;
  readonly registerNameMax: number;
  readonly registerValueBytesMax: number;
  readonly registersMax: number;
  readonly timeoutMsMin: number;
  readonly timeoutMsMax: number;
  /** A Commit without a record is taken only while the gid is younger than this against the stamp. */
  readonly commitWindowMs: number;
  /** A gid this far ahead of the stamp is refused. */
  readonly futureMsMax: number;
  /** Names that may ever attach. */
  readonly participantsMax: number;
  /** Request clients remembered at once; the floor drops idle ones. */
  readonly clientsMax: number;
  /** Idle clients that one FLOOR looks at, so that the first one after a long outage does not stall every replica; the next goes on. */
  readonly idleClientsPerFloorMax: number;
  /** Answers remembered for one client: the most requests it may have unacknowledged. */
  readonly clientAnswersMax: number;
  /** Characters of a heuristic's `by` and `note`. */
  readonly noteCharsMax: number;
}

export type RefusalReason =
  | "unknown"
  | "expired"
  | "future"
  | "wrong-state"
  | "branch-mismatch"
  | "duplicate-branch"
  | "unknown-participant"
  | "no-branches"
  | "too-large"
  | "already-decided"
  | "incomplete-votes"
  | "delegated"
  | "version-conflict"
  | "not-forgettable"
  | "invalid";

/** What apply made of one command. A refusal changes nothing. */
export type ApplyResult =
  | { readonly kind: "opened"; readonly transaction: Transaction }
  | { readonly kind: "enlisted"; readonly transaction: Transaction }
  | { readonly kind: "sealed"; readonly transaction: Transaction }
  /** `first`: this record made the decision. Otherwise `decision` is the one already in force. */
  | { readonly kind: "decided"; readonly gid: Gid; readonly decision: Decision; readonly first: boolean }
  | { readonly kind: "done"; /** those that are now finished */ readonly finished: readonly Gid[] }
  | { readonly kind: "forgotten"; readonly gids: readonly Gid[]; readonly refused: readonly Gid[] }
  | { readonly kind: "floor"; readonly timeMs: number }
  | { readonly kind: "heuristic"; readonly gid: Gid; readonly branch: string }
  | { readonly kind: "registered"; readonly participant: string }
  | {
      readonly kind: "put";
      readonly request: RequestId;
      readonly version: Zxid;
      /** answered from memory of an earlier apply */ readonly repeated: boolean;
    }
  | { readonly kind: "noop" }
  | {
      readonly kind: "refused";
      readonly reason: RefusalReason;
      /** Names the field, the values and the fix. */
      readonly message: string;
      readonly gid: Gid | undefined;
      readonly request: RequestId | undefined;
      /** The decision in force, where the refusal is because of one. */
      readonly decision: Decision | undefined;
      /** The register's version, for version-conflict. */
      readonly version: Zxid | undefined;
    };

export interface Register {
  readonly name: string;
  readonly value: Uint8Array;
  readonly version: Zxid;
}

export interface KnownParticipant {
  readonly name: string;
  readonly participantKind: string;
}

/** One client's remembered answers, newest last; dropped below `ackBelow` and by the floor. */
export interface ClientMemory {
  readonly client: string;
  readonly ackBelow: number;
  readonly answers: readonly { readonly seq: number; readonly outcome: "put" | "version-conflict"; readonly version: Zxid }[];
  readonly lastStampMs: number;
}

/** One key of the state in its stored form; `undefined` value = removed. Values are immutable. */
export type StateChange =
  | { readonly kind: "transaction"; readonly key: Gid; readonly value: Transaction | undefined }
  /** A page of finished outcomes; the key is its number. */
  | { readonly kind: "outcomes"; readonly key: string; readonly value: OutcomePage | undefined }
  /** One finished outcome, as earlier versions stored it. Read, and removed when its page is stored; never written. */
  | { readonly kind: "outcome"; readonly key: Gid; readonly value: FinishedOutcome | undefined }
  | { readonly kind: "register"; readonly key: string; readonly value: Register | undefined }
  | { readonly kind: "participant"; readonly key: string; readonly value: KnownParticipant | undefined }
  | { readonly kind: "client"; readonly key: string; readonly value: ClientMemory | undefined }
  | { readonly kind: "meta"; readonly key: "meta"; readonly value: StateMeta };

export interface StateMeta {
  readonly floorMs: number;
  readonly stampMs: number;
  /** Chain over every applied (zxid, result kind): equal on every replica at the same zxid. */
  readonly digest: number;
  readonly featureLevel: number;
}

/** What is known of a gid, in the order of the rule: record first, then the floor. */
export type Lookup =
  | { readonly kind: "transaction"; readonly transaction: Transaction }
  | { readonly kind: "outcome"; readonly outcome: FinishedOutcome }
  | { readonly kind: "expired" }
  | { readonly kind: "none" };

/** A new state that is read in beside the one in force. It costs the memory of both until it is finished or dropped. */
export interface Restoring {
  /** In any order, each key once. */
  take(change: StateChange): void;
  /** Everything was taken: from here on this is the state. */
  finish(): void;
}

export interface StateMachine {
  /** Pure in (state, command, zxid). */
  apply(entry: StampedCommand, zxid: Zxid): ApplyResult;
  lookup(gid: Gid): Lookup;
  /** Open, sealed, and decided transactions that are still owed acknowledgements, in insertion order. */
  transactions(): IterableIterator<Transaction>;
  /** Newest first, at most `limit`. */
  outcomes(limit: number): readonly FinishedOutcome[];
  register(name: string): Register | undefined;
  /** The registers below SERVICE_PREFIX, removed services too. Another map whenever one of them changed. */
  services(): ReadonlyMap<string, Register>;
  /** Why apply refuses a branch because of its service, in words: removed, or of another kind. */
  serviceProblem(branch: BranchSpec): string | undefined;
  participants(): readonly KnownParticipant[];
  isParticipant(name: string): boolean;
  meta(): StateMeta;
  counts(): {
    readonly open: number;
    readonly sealed: number;
    readonly decidedUnfinished: number;
    readonly finished: number;
    readonly registers: number;
    readonly clients: number;
  };
  /** Finished gids below the floor, at most `limit`: candidates for FORGET. */
  forgettable(limit: number): readonly Gid[];
  /**
   * Every gid whose own time (ms) is below this is forgotten: the floor is at or above it, no record of such a gid is left, and none
   * can ever come back. A multiple of FORGOTTEN_STEP_MS; never goes back along the log. Constant time.
   */
  forgottenBelowMs(): number;
  /** Takes and clears the changes since the last call; values frozen as of now. Meta is always included. */
  takeChanges(): readonly StateChange[];
  /** Replaces the whole state, as loaded from a checkpoint or snapshot. */
  restore(changes: Iterable<StateChange>): void;
  /** The same in pieces: the state in force stays as it is until the new one is whole. */
  restoring(): Restoring;
  /** A canonical text of the whole state, for comparing replicas in tests and simulation. */
  canonical(): string;
}

/** Early check of a branch list or open request with the same rules as apply; undefined when fine. Lets the leader refuse before proposing. */
export type CheckBranches = (
  branches: readonly BranchSpec[],
  limits: TxnLimits,
) => { readonly reason: RefusalReason; readonly message: string } | undefined;
