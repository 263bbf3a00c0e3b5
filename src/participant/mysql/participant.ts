/**
 * MariaDB and MySQL as a participant: XA branches on the user's own pool.
 *
 * Decides: what each call of the contract means in XA. Once the connection that prepared a branch is closed, any connection of the server
 * may finish it, so any instance of the participant can.
 */
import { gidProblem, gidTimeMs, nameProblem, QuorateError, silentLogger, type Gid, type Logger } from "../../base/index.js";
import type {
  BranchRef,
  BroughtBranch,
  BroughtParticipant,
  InDoubtFilter,
  OnePhaseResult,
  ParticipantManifest,
  PrepareRequest,
  SettleResult,
  VoteResult,
} from "../contract.js";
import { NewWork, NoRoomError } from "../new-work.js";
import { prepareAsked, standing } from "./asked.js";
import { beginBrought, rollbackPrepared, type MysqlHandle } from "./brought.js";
import { couldNotTell, type Context, type Isolation } from "./context.js";
import { Forgetter } from "./forget.js";
import { InDoubt } from "./in-doubt.js";
import { commitAsked, refuse } from "./one-phase.js";
import { markRolledBack, raiseEpoch, readOutcome } from "./outcomes.js";
import { setUp, tablesIn } from "./schema.js";
import { poolLimit, promisePool, Session, sqlMessage, type MysqlPool } from "./session.js";
import { settleBranch } from "./xa.js";
import { fitProblem, formatXid, xidScope } from "./xid.js";

export interface MysqlOptions {
  /** The participant's name in the cluster. With a branch's id it has at most 63 characters. */
  readonly name: string;
  /** The user's own `mysql2` pool. One connection is held per open branch; it must have one to spare. It is never ended here. */
  readonly pool: MysqlPool;
  /** Database of the adapter's two tables, the same for every instance. Default: the pool's own. */
  readonly database?: string;
  /** Isolation of branches. Default: the connections' own, which must not be serializable. */
  readonly isolation?: Isolation;
  /** How long a statement of an asked branch waits for a row lock before the vote is no, ms; whole seconds. Default 2000. */
  readonly lockTimeoutMs?: number;
  /** How long a statement of an asked branch may run before the vote is no, ms. MySQL bounds only SELECT so. Default 10000. */
  readonly statementTimeoutMs?: number;
  /** See Participant.scanIntervalMs. Default 1000. */
  readonly scanIntervalMs?: number;
  readonly logger?: Logger;
}

export interface MysqlParticipant extends BroughtParticipant<MysqlHandle> {
  readonly kind: "mysql";
  readonly scanIntervalMs: number;
  commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult>;
  forgetBelow(floorMs: number): Promise<void>;
}

/** Makes a MariaDB or MySQL participant of a pool. Nothing is sent before `start`. Throws QUORATE_INVALID_ARGUMENT on a bad option. */
export function mysql(options: MysqlOptions): MysqlParticipant {
  return new MysqlAdapter(options);
}

const DONE: SettleResult = { kind: "done" };

interface Started {
  readonly clusterId: string;
  readonly context: Context;
  readonly forgetter: Forgetter;
  readonly newWork: NewWork;
  readonly inDoubt: InDoubt;
}

class MysqlAdapter implements MysqlParticipant {
  readonly kind = "mysql";
  readonly name: string;
  readonly manifest: ParticipantManifest = { asked: true, brought: true, readOnlyVote: true, onePhase: true };
  readonly scanIntervalMs: number;
  readonly #options: MysqlOptions;
  readonly #logger: Logger;
  #starting: Promise<Started> | undefined;
  #started: Started | undefined;
  #closed = false;
  /** The highest epoch known to be stored. */
  #epoch = 0;
  /** Prepares under way in this process: a repeated one joins instead of waiting for a lock in the database. */
  readonly #preparing = new Map<string, Promise<VoteResult>>();
  /** One-phase commits, likewise. */
  readonly #committing = new Map<string, Promise<OnePhaseResult>>();

  constructor(options: MysqlOptions) {
    const problem = nameProblem("participant name", options.name) ?? optionsProblem(options);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    if (options.database !== undefined) tablesIn(options.database);
    promisePool(options.pool);
    this.name = options.name;
    this.scanIntervalMs = options.scanIntervalMs ?? 1000;
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  async start(clusterId: string): Promise<void> {
    if (this.#closed) throw new QuorateError("QUORATE_CLOSED", `participant "${this.name}" is closed`);
    this.#starting ??= this.#start(clusterId);
    let started: Started;
    try {
      started = await this.#starting;
    } catch (error) {
      this.#starting = undefined;
      throw error;
    }
    if (started.clusterId !== clusterId)
      throw new QuorateError("QUORATE_WRONG_STATE", `participant "${this.name}" serves cluster ${started.clusterId}, not ${clusterId}`);
  }

  async #start(clusterId: string): Promise<Started> {
    const { name, isolation, lockTimeoutMs = 2000, statementTimeoutMs = 10_000 } = this.#options;
    const pool = promisePool(this.#options.pool);
    const { epoch, floorMs, flavour, tables } = await setUp(pool, name, { database: this.#options.database, isolation });
    this.#epoch = epoch;
    const scope = xidScope(clusterId, name);
    const lockTimeoutS = lockTimeoutMs / 1000;
    const context: Context = { participant: name, pool, tables, flavour, scope, isolation, lockTimeoutS, statementTimeoutMs };
    this.#logger.info({ participant: name, flavour, clusterTag: scope.tag, epoch, floorMs }, "MariaDB or MySQL participant started");
    const newWork = new NewWork(this.#options.pool, poolLimit(pool), lockTimeoutMs);
    return (this.#started = { clusterId, context, forgetter: new Forgetter(context, floorMs), inDoubt: new InDoubt(context), newWork });
  }

  async begin(ref: BranchRef): Promise<BroughtBranch<MysqlHandle>> {
    const problem = refProblem(ref) ?? fitProblem(this.name, ref.branch);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    const { context, forgetter } = this.#use();
    return beginBrought(context, { gid: ref.gid, branch: ref.branch }, formatXid(context.scope, ref), () => forgetter.floorMs);
  }

  async prepare(request: PrepareRequest): Promise<VoteResult> {
    const problem = refProblem(request) ?? fitProblem(this.name, request.branch);
    if (problem !== undefined) return { vote: "no", detail: problem };
    const started = this.#use();
    const xid = formatXid(started.context.scope, request);
    const underway = this.#preparing.get(xid);
    if (underway !== undefined) return underway;
    const vote = this.#prepare(started, request, xid);
    this.#preparing.set(xid, vote);
    try {
      return await vote;
    } finally {
      this.#preparing.delete(xid);
    }
  }

  async #prepare(started: Started, request: PrepareRequest, xid: string): Promise<VoteResult> {
    const { context } = started;
    if (!isEpoch(request.epoch)) return { vote: "no", detail: `epoch ${request.epoch} is no epoch` };
    await this.#storeEpoch(context, request);
    return this.#inTurn(
      started,
      request,
      () => prepareAsked(context, request, xid),
      () => standing(context, request, xid),
    );
  }

  async commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult> {
    const started = this.#use();
    const { context } = started;
    checkRef(request);
    if (!isEpoch(request.epoch)) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `epoch ${request.epoch} is no epoch`);
    const unfit = fitProblem(this.name, request.branch);
    // No branch of this name can ever be run here: the refusal is for ever too.
    if (unfit !== undefined) return refuse(context, request, unfit);
    const xid = formatXid(context.scope, request);
    const underway = this.#committing.get(xid);
    if (underway !== undefined) return underway;
    const result = this.#storeEpoch(context, request).then(() => this.#inTurn(started, request, () => commitAsked(context, request, xid)));
    this.#committing.set(xid, result);
    try {
      return await result;
    } finally {
      this.#committing.delete(xid);
    }
  }

  /** In its turn; see NewWork. */
  async #inTurn<Result>(
    { context, newWork }: Started,
    request: PrepareRequest,
    work: () => Promise<Result>,
    standing?: () => Promise<Result | undefined>,
  ): Promise<Result> {
    try {
      return await newWork.run(work, standing);
    } catch (error) {
      throw error instanceof NoRoomError ? couldNotTell(context, request.gid, "the work was not begun", error) : error;
    }
  }

  async #storeEpoch(context: Context, request: PrepareRequest): Promise<void> {
    if (request.epoch <= this.#epoch) return;
    try {
      // On its own, before the branch: inside it, the row would stay locked until the decision, and every other prepare with it.
      await raiseEpoch(context.pool, context.tables, this.name, request.epoch);
    } catch (error) {
      throw couldNotTell(context, request.gid, "the epoch could not be stored", error);
    }
    this.#epoch = Math.max(this.#epoch, request.epoch);
  }

  async commit(ref: BranchRef): Promise<SettleResult> {
    const { context } = this.#use();
    const xid = this.#xidOf(context, ref);
    try {
      return await Session.use(context.pool, async (session): Promise<SettleResult> => {
        // Durability: InnoDB syncs its log before it answers, with innodb_flush_log_at_trx_commit = 1, which `start` checks.
        if (xid !== undefined && (await settleBranch(session, xid, "commit")) === "done") return DONE;
        // There is no such branch: its row tells which of its ends this is.
        const outcome = await readOutcome(session, context.tables, ref);
        if (outcome === "committed") return DONE;
        if (outcome === "rolled-back") return this.#heuristic(ref, "rolled-back", "the branch was rolled back here before");
        if (await this.#isBelowFloor(session, context, ref.gid)) return DONE;
        return this.#heuristic(
          ref,
          "hazard",
          `the prepared branch ${xid ?? ref.branch} is gone and left no outcome: rolled back by hand, or lost by the database`,
        );
      });
    } catch (error) {
      throw couldNotTell(context, ref.gid, "XA COMMIT failed", error);
    }
  }

  async rollback(ref: BranchRef): Promise<SettleResult> {
    const { context } = this.#use();
    const xid = this.#xidOf(context, ref);
    if (xid !== undefined) {
      // A prepare under way in this process holds the branch's row; it ends within the lock and the statement timeout.
      await this.#preparing.get(xid)?.catch(() => undefined);
      await rollbackPrepared(context, ref, xid);
    }
    let mark: Awaited<ReturnType<typeof markRolledBack>> | "below-floor";
    try {
      mark = await Session.use(context.pool, async (session) => {
        if (await this.#isBelowFloor(session, context, ref.gid)) {
          const outcome = await readOutcome(session, context.tables, ref);
          return outcome === "committed" ? "committed" : "below-floor";
        }
        return markRolledBack(session, context.tables, this.name, ref);
      });
    } catch (error) {
      throw couldNotTell(context, ref.gid, "the roll back could not be recorded", error);
    }
    if (mark === "committed") return this.#heuristic(ref, "committed", "the branch was committed here before");
    if (mark === "busy")
      throw new QuorateError("QUORATE_PARTICIPANT", `participant "${this.name}": a session is preparing branch ${ref.branch} right now`, {
        retry: "safe",
        gid: ref.gid,
      });
    return DONE;
  }

  async listInDoubt(filter: InDoubtFilter = {}): Promise<readonly BranchRef[]> {
    const { inDoubt } = this.#use();
    try {
      return await inDoubt.list(filter.olderThanMs ?? 0);
    } catch (error) {
      throw new QuorateError(
        "QUORATE_PARTICIPANT",
        `participant "${this.name}": the prepared branches could not be listed: ${sqlMessage(error)}`,
        { retry: "safe", cause: error },
      );
    }
  }

  async forgetBelow(floorMs: number): Promise<void> {
    if (!Number.isSafeInteger(floorMs) || floorMs < 0)
      throw new QuorateError("QUORATE_INVALID_ARGUMENT", `floorMs must be milliseconds since 1970, got ${floorMs}`);
    return this.#use().forgetter.forgetBelow(floorMs);
  }

  /** The pool is the user's and stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#started?.newWork.close();
    await Promise.allSettled([...this.#preparing.values(), ...this.#committing.values()]);
  }

  /** Below the floor a row may be gone: the cluster forgot the gid, which it does only after this participant acknowledged. */
  async #isBelowFloor(session: Session, context: Context, gid: Gid): Promise<boolean> {
    const rows = await session.rows(
      `select 1 from ${context.tables.participants} where participant = '${this.name}' and floor_ms > ${gidTimeMs(gid)}`,
    );
    return rows.length > 0;
  }

  #heuristic(ref: BranchRef, outcome: "committed" | "rolled-back" | "hazard", detail: string): SettleResult {
    this.#logger.error({ participant: this.name, gid: ref.gid, branch: ref.branch, outcome }, detail);
    return { kind: "heuristic", outcome, detail };
  }

  /** Undefined: a branch of this name never was one here, because its id does not fit. */
  #xidOf(context: Context, ref: BranchRef): string | undefined {
    checkRef(ref);
    return fitProblem(this.name, ref.branch) === undefined ? formatXid(context.scope, ref) : undefined;
  }

  #use(): Started {
    if (this.#closed) throw new QuorateError("QUORATE_CLOSED", `participant "${this.name}" is closed`);
    if (this.#started === undefined)
      throw new QuorateError("QUORATE_PARTICIPANT", `participant "${this.name}" is not started: attach it to a cluster first`, {
        retry: "safe",
      });
    return this.#started;
  }
}

function isEpoch(epoch: number): boolean {
  return Number.isSafeInteger(epoch) && epoch >= 0;
}

function refProblem(ref: BranchRef): string | undefined {
  return gidProblem(ref.gid) ?? nameProblem("branch", ref.branch);
}

function checkRef(ref: BranchRef): void {
  const problem = refProblem(ref);
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
}

const TIMEOUT_MS_MAX = 2 ** 31 - 1;

function optionsProblem({ lockTimeoutMs = 1000, statementTimeoutMs = 1, isolation }: MysqlOptions): string | undefined {
  const isMs = (value: number): boolean => Number.isSafeInteger(value) && value > 0 && value <= TIMEOUT_MS_MAX;
  if (!isMs(lockTimeoutMs) || lockTimeoutMs % 1000 !== 0)
    return `lockTimeoutMs must be a multiple of 1000 above 0, because the server counts whole seconds; got ${lockTimeoutMs}`;
  if (!isMs(statementTimeoutMs)) return `statementTimeoutMs must be a whole number of milliseconds above 0, got ${statementTimeoutMs}`;
  if (isolation !== undefined && isolation !== "read committed" && isolation !== "repeatable read")
    return `isolation must be "read committed" or "repeatable read", got ${JSON.stringify(isolation)}; read with "for update" what must not change`;
  return undefined;
}
