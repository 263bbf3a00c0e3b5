/**
 * Records of the replicated log, as the state machine sees them. docs/records.md has one row for each.
 *
 * Every record carries the leader's stamp: milliseconds of the cluster's clock, never going back along the log. Apply never reads a clock.
 */
import type { Gid } from "../base/index.js";

export type Decision = "commit" | "abort";

/**
 * Why a transaction was aborted, for people and for `abortsByReason`.
 * `vote-no`: a branch voted no. `timeout`: undecided at its deadline. `client`: the client asked. `client-lost`: an open transaction
 * whose client's stream stayed lost. `inquiry`: a participant in doubt asked about a gid that has no record and is past its commit window.
 */
export type AbortReason = "vote-no" | "timeout" | "client" | "client-lost" | "inquiry";

/**
 * `asked`: the work travels as a payload and runs inside PREPARE at the participant.
 * `brought`: the client ran the work on its own connection and prepares it itself; its vote comes with Commit.
 */
export type BranchMode = "asked" | "brought";

/**
 * `2pc`: prepare, then commit or roll back; locks are held between. `tcc`: the same three calls under the names of their meaning for
 * the business: try reserves, confirm takes what was reserved, cancel gives it back. See docs/protocol.md, condition 14.
 */
export type BranchKind = "2pc" | "tcc";

export interface BranchSpec {
  /** Unique in its transaction; see NAME_PATTERN. */
  readonly id: string;
  readonly participant: string;
  readonly mode: BranchMode;
  /** The work of an asked branch; empty for a brought one. */
  readonly payload: Uint8Array;
  /** Absent: `2pc`. */
  readonly kind?: BranchKind | undefined;
}

export type Vote = "yes" | "read-only" | "no";

/**
 * Names one request of one client for ever: the same id gets the same answer, across leaders and restarts.
 * `client` is a UUID v7 (32 hex digits) made when the client starts, `seq` counts its requests from 1; everything below `ackBelow`
 * has been answered and its memory may be dropped. A lone request without a session uses a fresh `client` and seq 1.
 */
export interface RequestId {
  readonly client: string;
  readonly seq: number;
  readonly ackBelow: number;
}

export type Command =
  /** A transaction with a brought branch begins, or a client without the library asked for a gid. Carries the branches known so far. */
  | {
      readonly kind: "OPEN";
      readonly gid: Gid;
      readonly client: string;
      readonly timeoutMs: number;
      readonly branches: readonly BranchSpec[];
    }
  /** A branch joins an open transaction. */
  | { readonly kind: "ENLIST"; readonly gid: Gid; readonly branch: BranchSpec }
  /**
   * Sealed: a client asked to commit; the list is complete. `votes` are those of brought branches. Starts the transaction when it has no
   * record. `delegated`: its only voting branch is to commit in one phase, and from here on nobody but that participant may refuse it.
   */
  | {
      readonly kind: "BEGIN";
      readonly gid: Gid;
      readonly client: string;
      readonly timeoutMs: number;
      readonly branches: readonly BranchSpec[];
      readonly votes: readonly { readonly branch: string; readonly vote: Vote }[];
      readonly delegated: boolean;
    }
  /** The decision. The first one in the log wins, for ever. Commit names every branch of the sealed set in exactly one of yes and readOnly. */
  | {
      readonly kind: "DECIDE";
      readonly gid: Gid;
      readonly decision: Decision;
      readonly reason: AbortReason | undefined;
      /** The branch a `vote-no` abort is about, and what it said. */
      readonly detail: string;
      readonly yes: readonly string[];
      readonly readOnly: readonly string[];
      /** The delegated branch whose participant refused its one-phase commit, durably; empty otherwise. */
      readonly refusedBy: string;
    }
  /** Branches whose participant acknowledged a durable commit or roll back. Batched and lazy. */
  | { readonly kind: "DONE"; readonly branches: readonly { readonly gid: Gid; readonly branch: string }[] }
  /** Finished outcomes below the floor are dropped. Each gid is checked again at apply. */
  | { readonly kind: "FORGET"; readonly gids: readonly Gid[] }
  /** The floor: gids and request clients older than this (ms of their own UUID time) without a record are expired. Never goes back. */
  | { readonly kind: "FLOOR"; readonly timeMs: number }
  /** An operator resolved a branch by hand, or a participant reported a heuristic outcome. Never a second decision. */
  | {
      readonly kind: "HEURISTIC";
      readonly gid: Gid;
      readonly branch: string;
      readonly outcome: "committed" | "rolled-back" | "mixed" | "hazard";
      readonly by: string;
      readonly note: string;
    }
  /** A participant's name is seen for the first time: from then on it is known, attached or not. */
  | { readonly kind: "REGISTER"; readonly participant: string; readonly participantKind: string }
  /** One put into the register space. `expect` undefined = unconditional; 0:0 = only if absent; else only if the version is this. */
  | {
      readonly kind: "PUT";
      readonly request: RequestId;
      readonly name: string;
      readonly value: Uint8Array;
      readonly expect: { readonly epoch: number; readonly counter: number } | undefined;
    }
  /** Nothing. Used by `health` to prove that a proposal commits. */
  | { readonly kind: "NOOP" };

export interface StampedCommand {
  readonly stampMs: number;
  readonly command: Command;
}
