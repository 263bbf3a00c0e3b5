/**
 * The client library's face: transactions, participants, registers and the cluster's own state, over one Session.
 */
import { performance } from "node:perf_hooks";
import { newGid, QuorateError, uuid7 } from "../base/index.js";
import type { Gid, NodeId, Zxid } from "../base/index.js";
import type { Answer, Request, TransactionView } from "../coordinator/index.js";
import type { Participant } from "../participant/index.js";
import type { BranchSpec, RequestId, Vote } from "../txn/index.js";
import type { NodeView } from "../wire/index.js";
import { unexpected } from "./answer-error.js";
import type { Attachment, AttachedParticipants } from "./attachment.js";
import type { AttachOptions } from "./attachment.js";
import { checkedBranch, checkedBytes, checkedGid, checkedLimit, checkedTransactionMs } from "./checked.js";
import { runInTransaction } from "./context.js";
import { random32 } from "./entropy.js";
import { moveLeader, nodeStatus } from "./node-calls.js";
import type { EndpointStatus } from "./node-calls.js";
import { RequestIds } from "./request-ids.js";
import type { AnswerCallback } from "./request-table.js";
import { listServices, registerService, removeService, wakeService } from "./services.js";
import type { ListedService, RegisterServiceOptions, ServiceRegistration } from "./services.js";
import type { CallOptions, Session } from "./session.js";
import { TransactionScope } from "./transaction-scope.js";
import type { Decided, OpenTransaction, Transaction } from "./transaction.js";

export interface QuorateDefaults {
  readonly requestTimeoutMs: number;
  readonly transactionTimeoutMs: number;
}

export interface TransactionOptions {
  /** Undecided for this long since its start: the cluster aborts it. The call answers at most 2 s later. Default 10,000 ms. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * An id of the caller's making, from `newGid()`: known before anything is sent, so that a transaction whose outcome stayed unknown can
   * be run again under it. An earlier run may therefore have committed, and a failure that only shows that this run did nothing (no
   * leader, cancelled, out of time, a branch that votes no) is reported as QUORATE_OUTCOME_UNKNOWN, with the failure as its `cause`,
   * unless the cluster itself recorded the abort. Under ids the library makes such failures say "aborted".
   */
  readonly gid?: string | undefined;
}

export interface PutOptions extends CallOptions {
  /** Only if the register's version is this; ZXID_ZERO: only if it is absent. Default: unconditionally. */
  readonly expect?: Zxid | undefined;
  /** From `newRequestId()`: repeating the put with the same id writes once. */
  readonly requestId?: RequestId | undefined;
}

export interface Health {
  readonly leader: NodeId | undefined;
  readonly epoch: number;
  /** How long an empty proposal took to commit, ms. */
  readonly tookMs: number;
}

const STATUS_TIMEOUT_MS = 1_500;
const CLOSE_DRAIN_MS = 5_000;

type Of<K extends Answer["kind"]> = Extract<Answer, { readonly kind: K }>;

export class Quorate implements AsyncDisposable {
  readonly #session: Session;
  readonly #defaults: QuorateDefaults;
  readonly #attached: AttachedParticipants;
  readonly #requestIds: RequestIds;

  /** Use `connect`. */
  constructor(session: Session, attached: AttachedParticipants, defaults: QuorateDefaults) {
    this.#session = session;
    this.#attached = attached;
    this.#defaults = defaults;
    this.#requestIds = new RequestIds(
      () => uuid7(session.clock.nowMs(), random32),
      () => performance.now(),
    );
  }

  /** What this client calls itself on its streams: a UUID v7 in 32 hex digits. */
  get client(): string {
    return this.#session.client;
  }

  get clusterId(): string | undefined {
    return this.#session.pool.clusterId;
  }

  /** The leader's view of the cluster, or the newest one of any reachable node; undefined when none is reachable. */
  view(): NodeView | undefined {
    return this.#session.pool.view();
  }

  /** A new transaction id, with the cluster's time in it. */
  newGid(): Gid {
    return newGid(this.#session.clock.nowMs(), random32);
  }

  /** Names one put for ever, so that it can be repeated when its outcome stayed unknown. */
  newRequestId(): RequestId {
    return this.#requestIds.hold();
  }

  /**
   * Runs `fn`; its return commits, its throw rolls back and is rethrown as it is (see `rollbackFailures`). Resolves with its result
   * when the decision to commit is replicated; the databases follow within milliseconds, or as soon as they can be reached.
   * Rejects with QUORATE_ABORTED or QUORATE_PARTICIPANT (outcome "aborted"), QUORATE_OUTCOME_UNKNOWN (ask `outcome(error.gid)`), or
   * an error that says why it was never sent (see `TransactionOptions.gid` for ids of your own). A transaction
   * started inside `fn` is one of its own.
   */
  async transaction<R>(fn: (tx: Transaction) => R | Promise<R>, options: TransactionOptions = {}): Promise<R> {
    const scope = this.#scope(options);
    let result: R;
    try {
      result = await runInTransaction(scope, () => fn(scope));
    } catch (error) {
      throw await scope.rollback(error);
    }
    await scope.commit();
    return result;
  }

  /** Opens a transaction that the caller ends. Resolves when it is recorded. */
  async begin(options: TransactionOptions = {}): Promise<OpenTransaction> {
    const scope = this.#scope(options);
    await scope.open();
    return scope;
  }

  /** Adds a branch to an open transaction. Repeatable. */
  async enlist(gid: string, branch: BranchSpec, options: CallOptions = {}): Promise<void> {
    await this.#ask("enlisted", { kind: "enlist", gid: checkedGid(gid), branch: checkedBranch(branch) }, options);
  }

  /**
   * Commits `gid` with its complete list of branches, starting it if it is not recorded, and resolves with the decision, which may be
   * to abort. Repeatable with the same list. `votes` are those of brought branches, each durably prepared before this call.
   */
  async commit(
    gid: string,
    branches: readonly BranchSpec[],
    votes: readonly { readonly branch: string; readonly vote: Vote }[] = [],
    options: CallOptions = {},
  ): Promise<Decided> {
    const timeoutMs = checkedTransactionMs(options.timeoutMs ?? this.#defaults.transactionTimeoutMs);
    const body: Request = {
      kind: "commit",
      gid: checkedGid(gid),
      client: this.client,
      timeoutMs,
      branches: branches.map(checkedBranch),
      votes,
    };
    return this.#ask("decided", body, { timeoutMs, signal: options.signal });
  }

  /** Aborts `gid` unless it is decided; resolves with the decision in force. Repeatable. */
  async abort(gid: string, options: CallOptions = {}): Promise<Decided> {
    return this.#ask("decided", { kind: "abort", gid: checkedGid(gid) }, options);
  }

  /** What is known of `gid`, linearizable. With `wait`, answered when it is decided or at the deadline. */
  async outcome(gid: string, options: CallOptions & { readonly wait?: boolean | undefined } = {}): Promise<TransactionView> {
    const answer = await this.#ask("transaction", { kind: "outcome", gid: checkedGid(gid), wait: options.wait ?? false }, options);
    return answer.transaction;
  }

  /** Transactions by state, newest first; at most `limit` (1 to 1000, default 100). */
  async list(
    options: CallOptions & { readonly state?: "open" | "in-doubt" | "finished" | "all"; readonly limit?: number } = {},
  ): Promise<readonly TransactionView[]> {
    const limit = checkedLimit(options.limit ?? 100);
    const answer = await this.#ask("transactions", { kind: "list", state: options.state ?? "all", limit }, options);
    return answer.transactions;
  }

  /**
   * Writes one register and resolves with its new version. Rejects with QUORATE_CONFLICT, or QUORATE_OUTCOME_UNKNOWN: repeat it with
   * the same `requestId` then.
   */
  async put(name: string, value: Uint8Array, options: PutOptions = {}): Promise<{ readonly version: Zxid }> {
    checkedBytes("value", value);
    const request = options.requestId ?? this.#requestIds.next();
    let forget = true;
    try {
      const answer = await this.#ask("put", { kind: "put", request, name, value, expect: options.expect }, options);
      return { version: answer.version };
    } catch (error) {
      // The caller may repeat it only if it knows the id; then the cluster must go on recognising it.
      forget = !(error instanceof QuorateError && error.retry !== "never" && this.#requestIds.isHeld(request));
      throw error;
    } finally {
      if (forget) this.#requestIds.settled(request);
    }
  }

  /** One register, linearizable; undefined when it is absent. */
  async read(name: string, options: CallOptions = {}): Promise<{ readonly value: Uint8Array; readonly version: Zxid } | undefined> {
    const { value, version } = await this.#ask("read", { kind: "read", name }, options);
    return value === undefined || version === undefined ? undefined : { value, version };
  }

  /**
   * Registers a service that the leader calls by HTTP or gRPC; from then on it is a participant of this name. Registering the same again
   * changes nothing. Rejects with QUORATE_INVALID_ARGUMENT naming the field, or QUORATE_CONFLICT when the name has other settings.
   */
  registerService(registration: ServiceRegistration, options: RegisterServiceOptions = {}): Promise<"added" | "replaced" | "unchanged"> {
    return registerService(this, registration, options);
  }

  /** Every registered service, by name; linearizable. */
  services(options: CallOptions = {}): Promise<readonly ListedService[]> {
    return listServices(this, options);
  }

  /** Rejects with QUORATE_WRONG_STATE while the service has branches in unfinished transactions. */
  removeService(name: string, options: CallOptions = {}): Promise<void> {
    return removeService(this, name, options);
  }

  /** Sends a service everything that waits for it now, paused branches too: for one that has just come up. */
  wakeService(name: string, options: CallOptions = {}): Promise<void> {
    return wakeService(this, name, options);
  }

  /** Asks every known endpoint for its own state, in parallel. Never rejects for a node that does not answer. */
  status(options: { readonly timeoutMs?: number } = {}): Promise<readonly EndpointStatus[]> {
    const timeoutMs = options.timeoutMs ?? STATUS_TIMEOUT_MS;
    return Promise.all(this.#session.pool.endpoints.map((endpoint) => nodeStatus(endpoint, timeoutMs)));
  }

  /** Proposes nothing and waits for it to commit: proves that the cluster takes writes. */
  async health(options: CallOptions = {}): Promise<Health> {
    const startMs = performance.now();
    await this.#ask("ok", { kind: "noop" }, options);
    const view = this.view();
    return { leader: view?.leader, epoch: view?.epoch ?? 0, tookMs: performance.now() - startMs };
  }

  /** Hands leadership over, to `to` or to the most advanced follower. Resolves with the new leader when it is established. */
  moveLeader(to?: NodeId, options: { readonly timeoutMs?: number } = {}): Promise<NodeId> {
    const endpoint = this.#session.pool.leaderEndpoint;
    if (endpoint === undefined) {
      const message = `no leader is known, so there is nothing to hand over (${this.#session.pool.report()})`;
      return Promise.reject(new QuorateError("QUORATE_NO_QUORUM", message, { retry: "safe" }));
    }
    return moveLeader(endpoint, to, options.timeoutMs ?? this.#defaults.requestTimeoutMs);
  }

  /** For operators: everything owed by this transaction is sent again now, and its branches are un-paused. */
  async retry(gid: string, options: CallOptions = {}): Promise<void> {
    await this.#ask("ok", { kind: "retry", gid: checkedGid(gid) }, options);
  }

  /** For operators: records that a branch was settled by hand. Never changes the decision. */
  async resolve(
    gid: string,
    branch: string,
    outcome: "committed" | "rolled-back",
    options: CallOptions & { readonly by: string; readonly note?: string },
  ): Promise<void> {
    const body: Request = { kind: "resolve", gid: checkedGid(gid), branch, outcome, by: options.by, note: options.note ?? "" };
    await this.#ask("ok", body, options);
  }

  /**
   * Serves these participants to the cluster as long as this process lives: prepares asked branches, carries out decisions, finds
   * out about branches in doubt. Resolves when the leader has all of them. Participants stay open after `close`: whoever made them
   * closes them.
   */
  async attach(...participants: readonly (Participant | AttachOptions)[]): Promise<Attachment> {
    return this.#attached.attach(participants, this.#defaults.requestTimeoutMs);
  }

  /**
   * One request without a promise: the answer, or a local failure in the same shape, goes to `done` exactly once. For loads where a
   * promise per request is felt.
   */
  submit(request: Request, done: AnswerCallback, timeoutMs: number = this.#defaults.requestTimeoutMs): void {
    this.#session.submit(request, done, timeoutMs);
  }

  /** Lets requests and calls in flight end (at most `drainMs`, default 5,000), then closes every stream. */
  async close(options: { readonly drainMs?: number } = {}): Promise<void> {
    const drainMs = options.drainMs ?? CLOSE_DRAIN_MS;
    await this.#session.drain(drainMs);
    await this.#attached.close(drainMs);
    this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #scope(options: TransactionOptions): TransactionScope {
    return new TransactionScope(this.#session, this.#attached, {
      gid: options.gid === undefined ? this.newGid() : checkedGid(options.gid),
      gidOfCaller: options.gid !== undefined,
      timeoutMs: checkedTransactionMs(options.timeoutMs ?? this.#defaults.transactionTimeoutMs),
      signal: options.signal,
    });
  }

  async #ask<K extends Answer["kind"]>(kind: K, body: Request, options: CallOptions): Promise<Of<K>> {
    const answer = await this.#session.request(body, options);
    if (answer.kind !== kind) throw unexpected(body.kind, answer);
    return answer as Of<K>;
  }
}
