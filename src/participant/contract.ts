/**
 * The contract between Quorate and a resource that takes part in transactions. docs/participants.md says it in prose; the
 * conformance suite in test/conformance proves it of an adapter in two lines.
 *
 * Every call is idempotent, may be repeated and may arrive late. A vote of yes is durable before it is given, and from then on the
 * participant never decides alone.
 */
import type { Gid } from "../base/index.js";

export type ParticipantVote = "yes" | "read-only" | "no";

export interface BranchRef {
  readonly gid: Gid;
  /** The branch's id inside its transaction. */
  readonly branch: string;
}

/** `2pc`: prepared, then committed or rolled back. `tcc`: tried, then confirmed or cancelled, by the same three calls. */
export type ParticipantBranchKind = "2pc" | "tcc";

export interface PrepareRequest extends BranchRef {
  /** The work of an asked branch; empty where the client brought it. */
  readonly payload: Uint8Array;
  /** The leader's epoch. A participant that has seen a higher one refuses to prepare (vote no); a decision is never refused for it. */
  readonly epoch: number;
  /** Absent: `2pc`. */
  readonly kind?: ParticipantBranchKind;
}

/** A decision. */
export interface SettleRequest extends BranchRef {
  /** Of a branch of kind `tcc` that the cluster calls about. Absent of others, and when the outcome was asked for. */
  readonly kind?: ParticipantBranchKind;
  /** The leader's epoch, likewise. A decision is never refused for it. */
  readonly epoch?: number;
}

export interface VoteResult {
  readonly vote: ParticipantVote;
  /** For people: why no. Empty otherwise. */
  readonly detail: string;
}

/** Which branches an in-doubt scan is after. */
export interface InDoubtFilter {
  /** Only branches prepared at least this long ago, so that a scan does not ask about one that is being committed right now. */
  readonly olderThanMs?: number;
}

/**
 * `done`: the outcome is durable here; also for a roll back of a branch this participant never saw or already rolled back.
 * `heuristic`: the branch was settled another way (by hand, or lost): recorded and alarmed, never retried.
 */
export type SettleResult =
  | { readonly kind: "done" }
  | { readonly kind: "heuristic"; readonly outcome: "committed" | "rolled-back" | "mixed" | "hazard"; readonly detail: string };

/**
 * `committed`: the branch's work is durable here. `refused`: it is not, and never will be; that is durable too, so a late or repeated
 * one-phase commit, and a prepare, are refused for ever.
 */
export type OnePhaseResult = { readonly kind: "committed" } | { readonly kind: "refused"; readonly detail: string };

export interface ParticipantManifest {
  /** Runs work sent as payload inside prepare. */
  readonly asked: boolean;
  /** Finishes branches that a client prepared itself. */
  readonly brought: boolean;
  readonly readOnlyVote: boolean;
  /** Has `commitOnePhase`. Absent: no, and every transaction is prepared here first. */
  readonly onePhase?: boolean;
  /** The kinds of branches it takes; a branch of another kind is a no. Absent: `2pc` alone. */
  readonly kinds?: readonly ParticipantBranchKind[];
  /**
   * It is asked to prepare only what is begun: once the record of the commit is committed and applied. For a participant that cannot ask
   * for outcomes. It costs a log round. Absent: no. Branches of kind `tcc` are never tried earlier.
   */
  readonly afterBegin?: boolean;
}

/** Called once, possibly before the call returns. `result` is there exactly when there is no error. */
export type Answered<T> = (error: unknown, result: T | undefined) => void;

/**
 * The calls of every transaction once more, answered by calling back. Optional, for participants so cheap that the promises around a
 * call cost as much as the call; whoever serves the participant uses them instead. Same meaning, same results.
 */
export interface ParticipantCalls {
  /** Whose calls they are. Who wraps a participant and passes them on unawares is not gone around: they count only for this one. */
  readonly of: Participant;
  prepare(request: PrepareRequest, done: Answered<VoteResult>): void;
  commit(ref: BranchRef, done: Answered<SettleResult>): void;
  rollback(ref: BranchRef, done: Answered<SettleResult>): void;
}

export interface Participant {
  /** The resource's name in the cluster; several instances may serve one name. See NAME_PATTERN. */
  readonly name: string;
  /** "kv", "postgres", ... */
  readonly kind: string;
  readonly manifest: ParticipantManifest;
  /**
   * Called once before the first attach, with the cluster's id: checks that the resource can do what the contract needs.
   * Throws QuorateError QUORATE_PARTICIPANT_SETUP naming the setting and the value needed.
   */
  start(clusterId: string): Promise<void>;
  /**
   * Votes. Work or a branch that this participant does not hold is a no, never a read-only and never an empty yes.
   * A rejection means "could not tell": the coordinator asks again.
   */
  prepare(request: PrepareRequest): Promise<VoteResult>;
  /**
   * The branch is the only voting one of its transaction, and its outcome is up to this participant: does the work of `payload` and
   * commits it, or refuses it, in either case durably before it says so. Repeated calls get the same result from what is durable; a branch
   * that is prepared here is committed. New work of an epoch below the highest seen, and of a gid below the floor, is neither done nor
   * refused: a rejection, which means "could not tell". Required where the manifest says `onePhase`.
   */
  commitOnePhase?(request: PrepareRequest): Promise<OnePhaseResult>;
  /** Resolves when the commit is durable. A rejection is retried. */
  commit(request: SettleRequest): Promise<SettleResult>;
  rollback(request: SettleRequest): Promise<SettleResult>;
  /**
   * Prepared branches of this cluster whose outcome this participant does not know, including those found after a restart.
   * All of them without a filter, which is what an attach sends.
   */
  listInDoubt(filter?: InDoubtFilter): Promise<readonly BranchRef[]>;
  /** See ParticipantCalls. */
  readonly direct?: ParticipantCalls;
  /**
   * How often, ms, whoever serves this participant scans `listInDoubt({ olderThanMs: scanIntervalMs })` while it is attached, to
   * find branches that a vanished client left behind. 0 or absent: only at attach.
   */
  readonly scanIntervalMs?: number;
  /**
   * The cluster has forgotten every gid whose own time is below `floorMs`. Stores that floor durably first, refuses new work below it
   * from then on, and only then drops outcome rows below it; decisions for branches still held are obeyed. Never goes back. Rows that
   * cannot go yet may wait for a later call with the same floor or a higher one: whoever serves the participant makes a second one.
   * Absent: the participant keeps its rows for ever.
   */
  forgetBelow?(floorMs: number): Promise<void>;
  close(): Promise<void>;
}

/** One branch whose work the client runs itself, on a connection of its own. */
export interface BroughtBranch<Handle = unknown> {
  /** What the user's function works with, for example a database session inside the branch's transaction. */
  readonly handle: Handle;
  /**
   * Ends the work and votes; the handle is dead afterwards. "yes" is durable before it is returned. A rejection means "could not
   * tell": the branch may be prepared, and only an abort of the transaction settles it.
   */
  prepare(): Promise<VoteResult>;
  /** Gives the branch up, prepared or not. Only for a client that never sent Commit for this gid and never will. Idempotent. */
  rollback(): Promise<void>;
}

/** A participant that clients can bring branches to. `Handle` is what the user's function gets. */
export interface BroughtParticipant<Handle = unknown> extends Participant {
  /** Starts a branch. The transaction must be open at the cluster before its `prepare` is called. */
  begin(ref: BranchRef): Promise<BroughtBranch<Handle>>;
}
