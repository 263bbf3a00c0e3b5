/**
 * The leader-local driver: which participant to call next, whose votes are in, what to sweep after a failover, when to retry.
 *
 * Pure. It exists on every node but acts only between `establish` and `resign`: only an established leader sends to participants
 * and proposes. Effects on participants follow only from applied decisions. It reads the replicated state, it never writes it:
 * every change goes out as a command to propose.
 */
import type { Buggify, Gid, Zxid } from "../base/index.js";
import type { ApplyResult, BranchKind, Command, Decision, StampedCommand, StateMachine, Vote } from "../txn/index.js";
import type { Answer, Request } from "./request.js";

/** One client stream on this node. Unique within the process life. */
export type ClientSession = number;
/** One attached instance of a participant: one stream on this node. Unique within the process life. */
export type InstanceId = number;

/** What an instance says of itself when it attaches. */
export interface Abilities {
  /** It knows one-phase commit. Others are never sent it. */
  readonly onePhase: boolean;
  /**
   * It is asked to prepare only what is begun: once BEGIN is committed and applied. For a participant that cannot ask for outcomes, so
   * that whatever it holds has a record, and somebody who tells it. A branch of kind `tcc` is never tried earlier anywhere.
   */
  readonly afterBegin: boolean;
  /** The kinds of branches it takes. Others are never sent to it. */
  readonly kinds: readonly BranchKind[];
  /** How long one call to it may stay unanswered, ms, in place of the option. */
  readonly callTimeoutMs?: number;
}

/** The abilities of an instance that says nothing of them: one of the first version. */
export const PLAIN_ABILITIES: Abilities = Object.freeze({ onePhase: false, afterBegin: false, kinds: Object.freeze(["2pc"] as const) });

/** `one-phase`: do the work and commit it, or refuse it for ever; only of a delegated transaction. The others: see docs/protocol.md. */
export type BranchPhase = "prepare" | "commit" | "rollback" | "one-phase";

/** One call to a participant instance. At-least-once: every call may be repeated and reordered. */
export interface BranchCall {
  readonly instance: InstanceId;
  readonly phase: BranchPhase;
  /** `tcc`: the phases are called try, confirm and cancel. */
  readonly kind: BranchKind;
  readonly gid: Gid;
  readonly branch: string;
  /** The leader's epoch: fences prepare and one-phase commit. A decision is never refused for its epoch. */
  readonly epoch: number;
  readonly attempt: number;
  /** The work, for prepare and one-phase commit. Empty otherwise. */
  readonly payload: Uint8Array;
}

/** What an instance answered to one call. */
export type BranchReply =
  | {
      readonly phase: "prepare";
      readonly gid: Gid;
      readonly branch: string;
      readonly result: { readonly kind: "vote"; readonly vote: Vote; readonly detail: string };
    }
  | {
      readonly phase: "commit" | "rollback" | "one-phase";
      readonly gid: Gid;
      readonly branch: string;
      readonly result: { readonly kind: "done" };
    }
  /** To a one-phase commit: not committed, and never will be. Durable before it is said. */
  | {
      readonly phase: "one-phase";
      readonly gid: Gid;
      readonly branch: string;
      readonly result: { readonly kind: "refused"; readonly detail: string };
    }
  | {
      readonly phase: "commit" | "rollback";
      readonly gid: Gid;
      readonly branch: string;
      readonly result: {
        readonly kind: "heuristic";
        readonly outcome: "committed" | "rolled-back" | "mixed" | "hazard";
        readonly detail: string;
      };
    }
  /** Could not be done now: retried with back-off. For prepare this is no vote, for one-phase no outcome. */
  | {
      readonly phase: BranchPhase;
      readonly gid: Gid;
      readonly branch: string;
      /** `notYet`: it is there, and says that it cannot yet. Asked again soon; no failure. Only of services that this node calls. */
      readonly result: { readonly kind: "failed"; readonly detail: string; readonly notYet?: boolean };
    };

/** A prepared branch that does not know its outcome asks. */
export interface Inquiry {
  readonly gid: Gid;
  readonly branch: string;
}

/**
 * `commit` / `rollback`: the outcome (rollback also for an expired gid). `pending`: open or undecided. `wait`: no record, and younger
 * than the commit window; ask again. `ask-leader`: this node may not answer.
 */
export interface InquiryAnswer {
  readonly gid: Gid;
  readonly branch: string;
  readonly answer: "commit" | "rollback" | "pending" | "wait" | "ask-leader";
}

export interface CoordinatorOptions {
  readonly transactionTimeoutMs: number;
  readonly clientLostMs: number;
  /** Added to the commit window before an inquiry may write the abort. */
  readonly inquiryMarginMs: number;
  readonly retryDelayMsMin: number;
  readonly retryDelayMsMax: number;
  /** Attempts of one branch and phase before it is paused with an alarm (re-attach or `retry` un-pauses it). */
  readonly attemptsBeforePause: number;
  /** How long one call may stay unanswered before it is sent again. */
  readonly callTimeoutMs: number;
  readonly breakerFailures: number;
  readonly breakerOpenMs: number;
  /** Finished outcomes and idle clients are kept at least this long (ms of stamp) before the floor passes them. */
  readonly retentionMs: number;
  readonly floorIntervalMs: number;
  readonly doneBatchMax: number;
  readonly doneDelayMs: number;
  readonly forgetBatchMax: number;
  readonly openTransactionsMax: number;
  /** A transaction that one participant alone decides is delegated to it: see docs/protocol.md, condition 13. */
  readonly delegation: boolean;
}

export interface Alarm {
  readonly name: "branch-paused" | "branch-unpaused" | "branch-unsuited" | "heuristic" | "clock" | "vote-changed";
  readonly gid: Gid | undefined;
  readonly branch: string | undefined;
  readonly message: string;
}

export interface CoordinatorReady {
  /** To propose, in order, in one batch. */
  readonly propose: readonly Command[];
  readonly calls: readonly BranchCall[];
  readonly answers: readonly { readonly session: ClientSession; readonly request: number; readonly answer: Answer }[];
  readonly inquiryAnswers: readonly { readonly instance: InstanceId; readonly answers: readonly InquiryAnswer[] }[];
  readonly alarms: readonly Alarm[];
  readonly wakeAtMs: number;
}

export interface Coordinator {
  /** This node is the established leader of `epoch`, and the state holds every entry of earlier epochs: sweep and carry on. */
  establish(epoch: number, nowMs: number): void;
  /** No longer: every waiter is answered "outcome unknown" (retry same-request-id); nothing more is sent or proposed. */
  resign(nowMs: number): void;
  /** A request of a client stream. `request` is the stream's own number; the answer carries it back. Only called while established, except reads of state. */
  request(session: ClientSession, request: number, body: Request, nowMs: number): void;
  /**
   * The proposals of the last ready, these very objects, were refused (overloaded, transferring): their waiters are answered with a
   * safe retry.
   */
  refused(commands: readonly Command[], why: string, nowMs: number): void;
  /** The replica applied an entry; on every node, in order, right after the state machine did. */
  applied(entry: StampedCommand, zxid: Zxid, result: ApplyResult, nowMs: number): void;
  clientUp(session: ClientSession, client: string, nowMs: number): void;
  clientDown(session: ClientSession, nowMs: number): void;
  /** What is not said of its abilities is as in PLAIN_ABILITIES. */
  instanceUp(instance: InstanceId, participant: string, participantKind: string, nowMs: number, abilities?: Partial<Abilities>): void;
  instanceDown(instance: InstanceId, nowMs: number): void;
  replies(instance: InstanceId, replies: readonly BranchReply[], nowMs: number): void;
  /** On any node: followers answer what their applied state allows. */
  inquiries(instance: InstanceId, inquiries: readonly Inquiry[], nowMs: number): void;
  tick(nowMs: number): void;
  /** The cluster's stamp clock right now, for ages: last stamp plus monotonic time since; used for windows. */
  drain(nowMs: number): CoordinatorReady;
  /** In doubt: sealed and undecided, or decided and not yet acknowledged, for status. */
  counts(): { readonly waiting: number; readonly inDoubt: number; readonly paused: number; readonly instances: number };
}

export type CreateCoordinator = (
  state: StateMachine,
  options: CoordinatorOptions,
  /** 32 random bits */ random32: () => number,
  /** ms of the cluster's clock as the leader would stamp now; monotone */ stampNow: () => number,
  /** Only of a simulator. */ buggify?: Buggify,
) => Coordinator;

export type { Answer, Decision, Request };
