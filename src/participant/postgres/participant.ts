/**
 * PostgreSQL as a participant: PREPARE TRANSACTION on the user's own pool.
 *
 * Decides: what each call of the contract means in PostgreSQL. Any connection of the same role and database may finish a prepared
 * branch, so any instance of the participant can.
 */
import { gidProblem, gidTimeMs, messageOf, nameProblem, QuorateError, silentLogger, type Gid, type Logger } from "../../base/index.js";
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
import { beginBrought, rollbackPrepared, type PostgresHandle } from "./brought.js";
import { couldNotTell, type Context, type Isolation } from "./context.js";
import { Forgetter } from "./forget.js";
import { commitAsked } from "./one-phase.js";
import { markRolledBack, raiseEpoch, readOutcome } from "./outcomes.js";
import { setUp, tablesIn } from "./schema.js";
import { poolLimit, Session, SQLSTATE, sqlStateOf, type PgPool } from "./session.js";
import { formatXid, parseXid, xidPrefix } from "./xid.js";

export interface PostgresOptions {
  /** The participant's name in the cluster. */
  readonly name: string;
  /** The user's own `pg` Pool. One connection is held per open branch; it must have one to spare. It is never ended here. */
  readonly pool: PgPool;
  /** Schema of the adapter's two tables, the same for every instance. Default "public". */
  readonly schema?: string;
  /** Isolation of branches. Default: the database's own. */
  readonly isolation?: Isolation;
  /** How long a statement of an asked branch waits for a lock before the vote is no, ms. Default 2000. */
  readonly lockTimeoutMs?: number;
  /** How long a statement of an asked branch may run before the vote is no, ms. Default 10000. */
  readonly statementTimeoutMs?: number;
  /** See Participant.scanIntervalMs. Default 1000. */
  readonly scanIntervalMs?: number;
  readonly logger?: Logger;
}

export interface PostgresParticipant extends BroughtParticipant<PostgresHandle> {
  readonly kind: "postgres";
  readonly scanIntervalMs: number;
  commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult>;
  forgetBelow(floorMs: number): Promise<void>;
}

/** Makes a PostgreSQL participant of a pool. Nothing is sent before `start`. Throws QUORATE_INVALID_ARGUMENT on a bad option. */
export function postgres(options: PostgresOptions): PostgresParticipant {
  return new PostgresAdapter(options);
}

const DONE: SettleResult = { kind: "done" };

interface Started {
  readonly clusterId: string;
  readonly context: Context;
  readonly forgetter: Forgetter;
  readonly newWork: NewWork;
}

class PostgresAdapter implements PostgresParticipant {
  readonly kind = "postgres";
  readonly name: string;
  readonly manifest: ParticipantManifest = { asked: true, brought: true, readOnlyVote: true, onePhase: true };
  readonly scanIntervalMs: number;
  readonly #options: PostgresOptions;
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

  constructor(options: PostgresOptions) {
    const problem =
      nameProblem("participant name", options.name) ??
      timeoutProblem("lockTimeoutMs", options.lockTimeoutMs) ??
      timeoutProblem("statementTimeoutMs", options.statementTimeoutMs);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    tablesIn(options.schema ?? "public");
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
    const { name, pool, schema = "public", isolation, lockTimeoutMs = 2000, statementTimeoutMs = 10_000 } = this.#options;
    const tables = tablesIn(schema);
    const { epoch, floorMs } = await setUp(pool, tables, name);
    this.#epoch = epoch;
    const prefix = xidPrefix(clusterId, name);
    const context: Context = { participant: name, pool, tables, prefix, isolation, lockTimeoutMs, statementTimeoutMs };
    this.#logger.info({ participant: name, xidPrefix: prefix, epoch, floorMs }, "PostgreSQL participant started");
    const newWork = new NewWork(pool, poolLimit(pool), lockTimeoutMs);
    return (this.#started = { clusterId, context, forgetter: new Forgetter(context, floorMs), newWork });
  }

  async begin(ref: BranchRef): Promise<BroughtBranch<PostgresHandle>> {
    const problem = refProblem(ref);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    const { context, forgetter } = this.#use();
    return beginBrought(context, { gid: ref.gid, branch: ref.branch }, formatXid(context.prefix, ref), () => forgetter.floorMs);
  }

  async prepare(request: PrepareRequest): Promise<VoteResult> {
    const problem = refProblem(request);
    if (problem !== undefined) return { vote: "no", detail: problem };
    const started = this.#use();
    const xid = formatXid(started.context.prefix, request);
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
    const xid = this.#xidOf(context, request);
    if (!isEpoch(request.epoch)) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `epoch ${request.epoch} is no epoch`);
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
        try {
          // Durability: PostgreSQL syncs its log before it answers COMMIT PREPARED, whatever synchronous_commit says.
          await session.query(`commit prepared '${xid}'`);
          return DONE;
        } catch (error) {
          if (sqlStateOf(error) !== SQLSTATE.undefinedObject) throw error;
        }
        // There is no such prepared transaction: the branch's row tells which of its ends this is.
        const outcome = await readOutcome(session, context.tables, ref);
        if (outcome === "committed") return DONE;
        if (outcome === "rolled-back") return this.#heuristic(ref, "rolled-back", "the branch was rolled back here before");
        if (await this.#isBelowFloor(session, context, ref.gid)) return DONE;
        return this.#heuristic(
          ref,
          "hazard",
          `the prepared transaction ${xid} is gone and left no outcome: rolled back by hand, or lost by the database`,
        );
      });
    } catch (error) {
      throw couldNotTell(context, ref.gid, "COMMIT PREPARED failed", error);
    }
  }

  async rollback(ref: BranchRef): Promise<SettleResult> {
    const { context } = this.#use();
    const xid = this.#xidOf(context, ref);
    // A prepare under way in this process holds the branch's row; it ends within the lock and the statement timeout.
    await this.#preparing.get(xid)?.catch(() => undefined);
    await rollbackPrepared(context, ref, xid);
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
      throw new QuorateError("QUORATE_PARTICIPANT", `participant "${this.name}": a session is preparing branch ${xid} right now`, {
        retry: "safe",
        gid: ref.gid,
      });
    return DONE;
  }

  async listInDoubt(filter: InDoubtFilter = {}): Promise<readonly BranchRef[]> {
    const { context } = this.#use();
    const { olderThanMs = 0 } = filter;
    try {
      return await Session.use(context.pool, async (session) => {
        const age = olderThanMs > 0 ? "and prepared <= now() - $2 * interval '1 millisecond'" : "and $2::int is not null";
        const { rows } = await session.query(
          `select gid from pg_prepared_xacts where database = current_database() and starts_with(gid, $1) ${age} order by prepared, gid`,
          [context.prefix, olderThanMs],
        );
        const refs: BranchRef[] = [];
        for (const { gid } of rows as { readonly gid: string }[]) {
          const parsed = parseXid(gid);
          if (parsed !== undefined) refs.push(parsed.ref);
        }
        return refs;
      });
    } catch (error) {
      throw new QuorateError(
        "QUORATE_PARTICIPANT",
        `participant "${this.name}": the prepared transactions could not be listed: ${messageOf(error)}`,
        {
          retry: "safe",
          cause: error,
        },
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
    const { rows } = await session.query(
      `select 1 from ${context.tables.participants} where participant = $1 and floor_ms > ${gidTimeMs(gid)}`,
      [this.name],
    );
    return rows.length > 0;
  }

  #heuristic(ref: BranchRef, outcome: "committed" | "rolled-back" | "hazard", detail: string): SettleResult {
    this.#logger.error({ participant: this.name, gid: ref.gid, branch: ref.branch, outcome }, detail);
    return { kind: "heuristic", outcome, detail };
  }

  #xidOf(context: Context, ref: BranchRef): string {
    const problem = refProblem(ref);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    return formatXid(context.prefix, ref);
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

function timeoutProblem(field: string, value: number | undefined): string | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value > 0 && value <= 2 ** 31 - 1)) return undefined;
  return `${field} must be a whole number of milliseconds above 0, got ${value}`;
}
