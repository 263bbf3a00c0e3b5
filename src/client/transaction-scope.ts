/**
 * One transaction as its client sees it: gathers branches, prepares the brought ones, and asks for the commit once.
 *
 * It never decides. Rule of who may roll back what: a branch this client prepared is rolled back here only as long as Commit was
 * never written to any stream, and then never will be; afterwards only the replicated decision settles it.
 */
import { performance } from "node:perf_hooks";
import { messageOf, QuorateError } from "../base/index.js";
import type { Gid } from "../base/index.js";
import type { Answer } from "../coordinator/index.js";
import type { BranchRef, BroughtBranch, BroughtParticipant, VoteResult } from "../participant/index.js";
import type { BranchSpec, Decision, Vote } from "../txn/index.js";
import { unexpected } from "./answer-error.js";
import { BranchList } from "./branch-list.js";
import { attachRollbackFailures } from "./rollback-failures.js";
import type { Sent, Session } from "./session.js";
import { abortedError, notRegistered, ofThisRunOnly, recordedIn, vetoedError, withOutcome } from "./transaction-errors.js";
import type { AskOptions, OpenTransaction } from "./transaction.js";
import { Tries } from "./tries.js";
import { tryCall } from "./try-call.js";
import type { TryCall } from "./try-call.js";

/** The cluster decides at the transaction's timeout; its answer may need a failover on top. */
const ANSWER_MARGIN_MS = 2_000;
/** An error is not held back longer than this by a cluster that does not confirm the abort; asking goes on behind it. */
const ABORT_WAIT_MS = 1_000;
/** Nor by a participant that does not finish rolling back: the cluster's own calls and inquiries roll the branch back later. */
const UNDO_WAIT_MS = 5_000;
/** Shortest timeout the cluster takes. */
const TIMEOUT_MS_MIN = 100;

const NO_PAYLOAD = new Uint8Array();

/** Runs a client's own prepare and roll back in turn with the calls that the cluster makes for the same branch. */
export interface BroughtRunner {
  prepareBrought(participant: string, ref: BranchRef, work: () => Promise<VoteResult>): Promise<VoteResult>;
  rollbackBrought(participant: string, ref: BranchRef, work: () => Promise<void>): Promise<void>;
}

export interface ScopeOptions {
  readonly gid: Gid;
  /** The caller made the gid, so an earlier run may have used it. */
  readonly gidOfCaller: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

interface Brought {
  readonly spec: BranchSpec;
  readonly ref: BranchRef;
  readonly begun: Promise<BroughtBranch>;
}

type Vetoed = { readonly spec: BranchSpec; readonly detail: string; readonly error: unknown };

export class TransactionScope implements OpenTransaction {
  readonly gid: Gid;
  readonly #session: Session;
  readonly #runner: BroughtRunner;
  readonly #options: ScopeOptions;
  readonly #deadlineMs: number;
  readonly #branches = new BranchList();
  readonly #brought = new Map<BroughtParticipant, Brought>();
  readonly #tries = new Tries();
  readonly #running = new Set<Promise<unknown>>();
  /** OPEN and every ENLIST: all must be committed before anything is prepared. */
  readonly #registrations: Promise<unknown>[] = [];
  #open: Sent | undefined;
  #state: "active" | "ending" | "ended" = "active";
  /** Why this transaction can no longer commit, and the same as the user's code was told it: before any abort was recorded. */
  #broken: { readonly error: unknown; readonly told: unknown } | undefined;
  #signal: AbortSignal | undefined;

  constructor(session: Session, runner: BroughtRunner, options: ScopeOptions) {
    this.gid = options.gid;
    this.#session = session;
    this.#runner = runner;
    this.#options = options;
    this.#deadlineMs = performance.now() + options.timeoutMs;
  }

  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      const over = AbortSignal.timeout(Math.max(0, Math.ceil(this.#remainingMs())));
      this.#signal = this.#options.signal === undefined ? over : AbortSignal.any([this.#options.signal, over]);
    }
    return this.#signal;
  }

  on<Handle, R>(participant: BroughtParticipant<Handle>, work: (handle: Handle) => R | Promise<R>): Promise<R> {
    return this.#watched(this.#on(participant, work));
  }

  try<R>(participant: string, fn: (call: TryCall) => R | Promise<R>, options: { readonly branch?: string | undefined } = {}): Promise<R> {
    return this.#watched(this.#try(participant, fn, options.branch));
  }

  /** Counted as running until it ends, so that nothing is decided meanwhile. */
  #watched<R>(running: Promise<R>): Promise<R> {
    const ended = (): void => {
      this.#running.delete(watched);
    };
    const watched: Promise<void> = running.then(ended, ended);
    this.#running.add(watched);
    return running;
  }

  async #on<Handle, R>(participant: BroughtParticipant<Handle>, work: (handle: Handle) => R | Promise<R>): Promise<R> {
    this.#checkActive("on");
    const brought = this.#brought.get(participant) ?? this.#bring(participant);
    const branch = (await brought.begun) as BroughtBranch<Handle>;
    return await work(branch.handle);
  }

  /** The branch is recorded first: whatever the try reserves is then cancelled by the cluster, should this process not live to commit. */
  async #try<R>(participant: string, fn: (call: TryCall) => R | Promise<R>, branch: string | undefined): Promise<R> {
    this.#checkActive("try");
    const { gid, signal } = this;
    const spec = this.#branches.add(participant, "brought", NO_PAYLOAD, branch, "tcc");
    await this.#register(spec);
    this.#checkActive("try");
    const view = this.#session.pool.view();
    const call = tryCall({ gid, branch: spec.id, participant, cluster: view?.clusterId ?? "", epoch: view?.epoch ?? 0, signal });
    return this.#tries.run(spec, () => fn(call));
  }

  ask(participant: string, payload: Uint8Array, options: AskOptions = {}): string {
    this.#checkActive("ask");
    return this.#branches.add(participant, "asked", payload, options.branch, options.kind).id;
  }

  async enlist(participant: string, payload: Uint8Array, options: AskOptions = {}): Promise<string> {
    this.#checkActive("enlist");
    const spec = this.#branches.add(participant, "asked", payload, options.branch, options.kind);
    await this.#register(spec);
    return spec.id;
  }

  /** Proposes OPEN with the branches so far. Resolves when it is committed. */
  async open(): Promise<void> {
    await this.#sendOpen(this.#branches.all());
  }

  async commit(): Promise<void> {
    this.#checkState("commit");
    this.#state = "ending";
    try {
      // Nothing was done anywhere: nothing to decide.
      if (this.#branches.size === 0 && this.#open === undefined) return;
      await this.#sendCommit(await this.#prepare());
    } finally {
      this.#state = "ended";
    }
  }

  async abort(): Promise<void> {
    await this.rollback(undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }

  /**
   * Rolls back because of `error`; what goes wrong on the way is kept beside it. Never rejects. Resolves with the error to report:
   * `error` itself unless it is this scope's own.
   */
  async rollback(error: unknown): Promise<unknown> {
    if (this.#state !== "active") return error;
    this.#state = "ending";
    const own = this.#broken !== undefined && this.#broken.told === error;
    const reported = await this.#undo(own ? this.#broken?.error : error, own);
    this.#state = "ended";
    return reported;
  }

  #bring(participant: BroughtParticipant): Brought {
    const spec = this.#branches.add(participant.name, "brought", NO_PAYLOAD, undefined);
    const ref: BranchRef = { gid: this.gid, branch: spec.id };
    // The user's work starts at once; the record must only be there before anything is prepared.
    const begin = async (): Promise<BroughtBranch> => participant.begin(ref);
    const begun = begin().catch((error: unknown) => {
      const failed = new QuorateError("QUORATE_PARTICIPANT", `${participant.name} could not begin a branch: ${messageOf(error)}`, {
        gid: this.gid,
        cause: error,
      });
      throw this.#breaks(failed);
    });
    const brought: Brought = { spec, ref, begun };
    this.#brought.set(participant, brought);
    void this.#register(spec);
    return brought;
  }

  #register(spec: BranchSpec): Promise<unknown> {
    if (this.#open === undefined) return this.#sendOpen([spec]);
    // After OPEN's answer, not only after its sending: a repeated OPEN could arrive behind its own ENLIST.
    const registered = this.#open.answer.then(() =>
      this.#session.request(
        { kind: "enlist", gid: this.gid, branch: spec },
        { timeoutMs: this.#remainingMs(), signal: this.#options.signal },
      ),
    );
    return this.#registration(registered);
  }

  #sendOpen(branches: readonly BranchSpec[]): Promise<unknown> {
    const { timeoutMs, signal } = this.#options;
    try {
      this.#open = this.#session.send(
        { kind: "open", gid: this.gid, client: this.#session.client, timeoutMs, branches },
        { timeoutMs: this.#remainingMs(), signal },
      );
    } catch (error) {
      return this.#registration(Promise.reject(error as Error));
    }
    return this.#registration(this.#open.answer);
  }

  #registration(registered: Promise<unknown>): Promise<unknown> {
    const checked = registered.catch((error: unknown) => {
      throw this.#breaks(notRegistered(error, this.gid));
    });
    checked.catch(() => undefined);
    this.#registrations.push(checked);
    return checked;
  }

  /** From here on it cannot commit. Returns what the user's code is told. */
  #breaks(error: unknown): unknown {
    const told = this.#reported(error, undefined);
    this.#broken ??= { error, told };
    return told;
  }

  #reported(error: unknown, recorded: Decision | undefined): unknown {
    return this.#options.gidOfCaller ? ofThisRunOnly(error, this.gid, recorded) : error;
  }

  async #prepare(): Promise<readonly { readonly branch: string; readonly vote: Vote }[]> {
    if (this.#running.size > 0) {
      const error = new QuorateError(
        "QUORATE_WRONG_STATE",
        `${this.#running.size} call(s) of tx.on or tx.try were still running when the transaction ended; await every one of them`,
        { gid: this.gid, outcome: "aborted" },
      );
      throw await this.#undo(error, true);
    }
    await Promise.allSettled(this.#registrations);
    const stop = this.#stopped();
    if (stop !== undefined) throw await this.#undo(stop, true);
    const { refused } = this.#tries;
    if (refused !== undefined) throw await this.#undo(vetoedError(this.gid, refused.spec, refused.detail, refused.error), true);
    const results = await Promise.all([...this.#brought.values()].map((brought) => this.#prepareOne(brought)));
    const votes: { readonly branch: string; readonly vote: Vote }[] = [...this.#tries.votes];
    let veto: Vetoed | undefined;
    for (const result of results) {
      if ("error" in result) veto ??= result;
      else votes.push(result);
    }
    if (veto !== undefined) throw await this.#undo(vetoedError(this.gid, veto.spec, veto.detail, veto.error), true);
    return votes;
  }

  async #prepareOne(brought: Brought): Promise<{ readonly branch: string; readonly vote: Vote } | Vetoed> {
    const { spec, ref } = brought;
    try {
      const branch = await brought.begun;
      const prepared = this.#runner.prepareBrought(spec.participant, ref, () => branch.prepare());
      const { vote, detail } = await within(prepared, Math.max(TIMEOUT_MS_MIN, this.#remainingMs()), "prepare");
      return vote === "no" ? { spec, detail, error: undefined } : { branch: spec.id, vote };
    } catch (error) {
      return { spec, detail: messageOf(error), error };
    }
  }

  /** The reason not to go on, if there is one. */
  #stopped(): QuorateError | undefined {
    const { signal, timeoutMs } = this.#options;
    const options = { outcome: "aborted", retry: "safe", gid: this.gid } as const;
    if (signal?.aborted === true) {
      return new QuorateError("QUORATE_CANCELLED", "cancelled before the commit was sent; rolled back", {
        ...options,
        cause: signal.reason,
      });
    }
    if (this.#broken !== undefined) {
      const { error } = this.#broken;
      return error instanceof QuorateError ? error : new QuorateError("QUORATE_PARTICIPANT", messageOf(error), options);
    }
    // The signal's timer may be early by a fraction of a millisecond: what it told the user's code holds.
    if (this.#remainingMs() <= 0 || this.#signal?.aborted === true) {
      return new QuorateError("QUORATE_TIMEOUT", `the transaction took longer than its ${timeoutMs} ms; rolled back`, options);
    }
    return undefined;
  }

  async #sendCommit(votes: readonly { readonly branch: string; readonly vote: Vote }[]): Promise<void> {
    const remainingMs = Math.max(TIMEOUT_MS_MIN, Math.ceil(this.#remainingMs()));
    let sent: Sent;
    try {
      const stop = this.#stopped();
      if (stop !== undefined) throw stop;
      sent = this.#session.send(
        { kind: "commit", gid: this.gid, client: this.#session.client, timeoutMs: remainingMs, branches: this.#branches.all(), votes },
        { timeoutMs: remainingMs + ANSWER_MARGIN_MS, signal: this.#options.signal },
      );
    } catch (error) {
      throw await this.#undo(error, true);
    }
    let answer: Answer;
    try {
      answer = await sent.answer;
    } catch (error) {
      // Never written to any stream, and the request is over: it never will be. The branches are still ours to roll back.
      if (!sent.pending.everWritten) throw await this.#undo(withOutcome(error, "aborted", this.gid), true);
      return this.#refused(error);
    }
    if (answer.kind !== "decided") throw unexpected("commit", answer);
    if (answer.decision === "abort") throw abortedError(answer);
  }

  /** Commit was sent, and the answer is an error. Prepared branches are not ours to roll back any more. */
  async #refused(error: unknown): Promise<never> {
    if (!(error instanceof QuorateError) || error.outcome === "unknown") throw withOutcome(error, "unknown", this.gid);
    if (error.outcome !== undefined) throw error;
    // Certainly not proposed, so it can only end as aborted; the record, if there is one, is told so now.
    throw this.#reported(withOutcome(error, "aborted", this.gid), await this.#abortRecord());
  }

  /** Only while Commit was never written: rolls back every branch here and has the record aborted. Resolves with the error to report. */
  async #undo(error: unknown, own: boolean): Promise<unknown> {
    // Rolling back under the user's running statements would race with them.
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
    const failures: unknown[] = [];
    const undone = [...this.#brought.values()].map(async (brought) => {
      const branch = await brought.begun.catch(() => undefined);
      if (branch === undefined) return;
      try {
        await within(
          this.#runner.rollbackBrought(brought.spec.participant, brought.ref, () => branch.rollback()),
          UNDO_WAIT_MS,
          "roll back",
        );
      } catch (failure) {
        failures.push(failure);
      }
    });
    const [recorded] = await Promise.all([this.#abortRecord(), ...undone]);
    const reported = own ? this.#reported(error, recorded) : error;
    attachRollbackFailures(reported, failures);
    return reported;
  }

  /**
   * Resolves with the decision in force when the abort is answered, with undefined when nothing was opened, when the cluster does not
   * say, or after a while: it goes on behind the caller's back then.
   */
  #abortRecord(): Promise<Decision | undefined> {
    const open = this.#open;
    if (open === undefined) return Promise.resolve(undefined);
    if (!open.pending.everWritten) {
      this.#session.cancel(open.pending);
      return open.answer.then(
        () => undefined,
        () => undefined,
      );
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), ABORT_WAIT_MS);
      const end = (recorded: Decision | undefined): void => {
        clearTimeout(timer);
        resolve(recorded);
      };
      const abort = (): Promise<Answer> => this.#session.request({ kind: "abort", gid: this.gid });
      // Whatever OPEN came to: it may be recorded. If the abort is not confirmed the cluster's own timeout aborts the record.
      open.answer.then(abort, abort).then(
        (answer) => end(answer.kind === "decided" ? answer.decision : undefined),
        (error: unknown) => end(recordedIn(error)),
      );
    });
  }

  #checkActive(call: string): void {
    this.#checkState(call);
    if (this.#broken !== undefined) throw this.#broken.told;
  }

  #checkState(call: string): void {
    if (this.#state !== "active") {
      throw new QuorateError("QUORATE_WRONG_STATE", `tx.${call}: the transaction has ended; use it only until its function returns`, {
        gid: this.gid,
      });
    }
  }

  #remainingMs(): number {
    return this.#deadlineMs - performance.now();
  }
}

/** The promise's result, or an error when it takes longer; the work goes on behind it then. */
function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} did not finish within ${Math.ceil(ms)} ms`)), ms);
    const clear = (): void => clearTimeout(timer);
    promise.then(resolve, reject).then(clear, clear);
  });
}
