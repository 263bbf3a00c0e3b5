/**
 * A simulated PostgreSQL, as far as a participant depends on it: sessions, transactions with row locks and lock timeouts, a unique
 * key, PREPARE TRANSACTION and its two ends, SQLSTATEs, crashes.
 *
 * Rules it keeps, as the real one does: a prepared transaction survives a crash and keeps its locks; a second COMMIT PREPARED finds
 * nothing and says 42704, whatever became of the first; a name in use is 42710; an insert of a key that another transaction has
 * inserted waits for its end; what is on its way to the server when a connection breaks may still be carried out. Nothing is durable
 * before its sync ends, and a crash in between may keep it or lose it.
 */
import { gidTimeMs, must, type Gid, type Prng } from "../base/index.js";
import { gidOf, keyOf, OVERDRAFT, type BranchName, type EffectRow } from "./resource-manager.js";
import { SqlLocks, type LockOwner } from "./sql-locks.js";
import { SQLSTATE, type RowOutcome, type SqlOptions, type SqlReply, type SqlState, type SqlValue, type Statement } from "./sql-protocol.js";
import { SqlSession } from "./sql-session.js";
import { sleep, waitFor, type Task } from "./task.js";
import type { World } from "./world.js";

/** The server's side of a session. */
export interface Backend {
  readonly owner: string;
  transaction: Transaction | undefined;
  dead: boolean;
}

interface Transaction extends LockOwner {
  /** Its id; 0 until it writes. */
  xact: number;
  failed: boolean;
  readonly adds: Map<string, number>;
  readonly outcomes: Map<string, RowOutcome>;
  /** The participant's row as it will be; 0 where it stays. */
  epoch: number;
  floorMs: number;
}

interface Prepared extends BranchName {
  readonly transaction: Transaction;
  readonly preparedAt: number;
  /** Its sync is over: it is listed, and survives. */
  durable: boolean;
  /** A session is ending it. */
  busy: boolean;
}

export interface SqlWatcher {
  committed(name: BranchName): void;
  rolledBack(name: BranchName): void;
}

export class SqlServer {
  readonly world: World;
  readonly prng: Prng;
  readonly options: SqlOptions;
  readonly #watcher: SqlWatcher;
  readonly #sessions = new Set<SqlSession>();
  readonly #locks: SqlLocks;
  // ---- durable
  readonly #balances = new Map<string, number>();
  readonly #outcomes = new Map<string, RowOutcome>();
  readonly #prepared = new Map<string, Prepared>();
  readonly #effects = new Map<string, EffectRow>();
  #epoch = 0;
  #floorMs = 0;
  #lastXact = 0;
  // ---- of this life
  #up = true;
  readonly #active = new Set<Transaction>();
  /** What a sync under way will have done: a crash may find it done. */
  readonly #syncing = new Set<() => void>();

  constructor(world: World, name: string, accounts: readonly string[], options: SqlOptions, watcher: SqlWatcher) {
    this.world = world;
    this.prng = world.fork(`sql/${name}`);
    this.options = options;
    this.#watcher = watcher;
    this.#locks = new SqlLocks(world);
    for (const account of accounts) this.#balances.set(account, 0);
  }

  get up(): boolean {
    return this.#up;
  }

  get lockCount(): number {
    return this.#locks.size;
  }

  get accounts(): readonly string[] {
    return [...this.#balances.keys()];
  }

  get total(): number {
    let sum = 0;
    for (const balance of this.#balances.values()) sum += balance;
    return sum;
  }

  get sessions(): readonly SqlSession[] {
    return [...this.#sessions];
  }

  /** pg_prepared_xacts, oldest first. */
  get prepared(): readonly Prepared[] {
    return [...this.#prepared.values()].filter(({ durable }) => durable);
  }

  effects(): readonly EffectRow[] {
    return [...this.#effects.values()];
  }

  // ---- lives and sessions

  connect(owner: string): SqlSession | undefined {
    if (!this.#up) return undefined;
    const session = new SqlSession(this, { owner, transaction: undefined, dead: false });
    this.#sessions.add(session);
    return session;
  }

  forget(session: SqlSession): void {
    this.#sessions.delete(session);
  }

  /** The backend ends; what it had open is rolled back. */
  end(backend: Backend): void {
    if (backend.dead) return;
    backend.dead = true;
    this.#rollback(backend);
  }

  crash(): void {
    if (!this.#up) return;
    this.#up = false;
    for (const session of this.#sessions) session.serverDied();
    this.#sessions.clear();
    for (const land of this.#syncing) if (this.prng.chance(0.5)) land();
    this.#syncing.clear();
    this.#active.clear();
    for (const [key, prepared] of this.#prepared) {
      prepared.busy = false;
      if (!prepared.durable) this.#prepared.delete(key);
    }
    this.#locks.keepOnly([...this.#prepared.values()].map(({ transaction }) => transaction));
  }

  restart(): void {
    this.#up = true;
  }

  // ---- statements

  /** One message of a session: statements in order, up to the first that fails. Outside of a transaction they are one of their own. */
  *message(backend: Backend, statements: readonly Statement[]): Task<SqlReply> {
    const single = statements[0]?.kind;
    const implicit =
      backend.transaction === undefined && single !== "begin" && single !== "commit-prepared" && single !== "rollback-prepared";
    if (implicit) this.#begin(backend);
    const values: SqlValue[] = [];
    for (const statement of statements) {
      const reply = yield* this.#execute(backend, statement);
      if (reply !== null && typeof reply === "object" && "state" in reply) {
        const { transaction } = backend;
        if (transaction !== undefined) transaction.failed = true;
        if (implicit) this.#rollback(backend);
        return { ok: false, state: reply.state, about: reply.about };
      }
      values.push(reply);
    }
    if (implicit && backend.transaction !== undefined) yield* this.#commit(backend);
    return { ok: true, values };
  }

  *#execute(backend: Backend, statement: Statement): Task<SqlValue | { readonly state: SqlState; readonly about: string }> {
    const { transaction } = backend;
    const failed = transaction?.failed === true;
    switch (statement.kind) {
      case "begin":
        this.#begin(backend);
        return undefined;
      case "rollback":
        this.#rollback(backend);
        return undefined;
      case "commit":
        if (failed) {
          this.#rollback(backend);
          return "ROLLBACK";
        }
        yield* this.#commit(backend);
        return "COMMIT";
      case "prepare":
        if (failed) {
          this.#rollback(backend);
          return "ROLLBACK";
        }
        return yield* this.#prepare(backend, statement.name);
      case "commit-prepared":
        return yield* this.#endPrepared(statement.name, true);
      case "rollback-prepared":
        return yield* this.#endPrepared(statement.name, false);
      default:
        if (failed) return { state: SQLSTATE.inFailedTransaction, about: "" };
        return yield* this.#query(must(transaction, "an open transaction"), statement);
    }
  }

  *#query(
    transaction: Transaction,
    statement: Exclude<Statement, { kind: "begin" | "rollback" | "commit" | "prepare" | "commit-prepared" | "rollback-prepared" }>,
  ): Task<SqlValue | { readonly state: SqlState; readonly about: string }> {
    switch (statement.kind) {
      case "add":
        return yield* this.#add(transaction, statement.account, statement.amount, statement.lockTimeoutMs);
      case "insert-outcome":
        return yield* this.#insertOutcome(transaction, statement.name, statement.outcome, statement.lockTimeoutMs);
      case "select-outcome":
        return this.#outcomes.get(keyOf(statement.name.gid, statement.name.branch));
      case "select-participant":
        return { epoch: this.#epoch, floorMs: this.#floorMs };
      case "raise-epoch":
        this.#assignXact(transaction);
        transaction.epoch = statement.epoch;
        return undefined;
      case "raise-floor":
        this.#assignXact(transaction);
        transaction.floorMs = statement.floorMs;
        return undefined;
      case "delete-outcomes":
        return this.#deleteOutcomes(statement.belowMs);
      case "current-xact":
        this.#assignXact(transaction);
        return transaction.xact;
      case "oldest-xact":
        return this.#oldestXact();
      case "is-prepared":
        return this.#prepared.get(keyOf(statement.name.gid, statement.name.branch))?.durable === true;
    }
  }

  #begin(backend: Backend): void {
    backend.transaction = { xact: 0, failed: false, locks: new Set(), adds: new Map(), outcomes: new Map(), epoch: 0, floorMs: 0 };
    this.#active.add(backend.transaction);
  }

  #assignXact(transaction: Transaction): void {
    if (transaction.xact === 0) transaction.xact = ++this.#lastXact;
  }

  /** pg_snapshot_xmin: every lower id is finished. */
  #oldestXact(): number {
    let oldest = this.#lastXact + 1;
    for (const { xact } of this.#active) if (xact > 0) oldest = Math.min(oldest, xact);
    for (const { transaction } of this.#prepared.values()) if (transaction.xact > 0) oldest = Math.min(oldest, transaction.xact);
    return oldest;
  }

  *#lock(transaction: Transaction, name: string, timeoutMs: number): Task<boolean> {
    if (this.#locks.take(name, transaction)) return true;
    this.world.cover("sql-lock-wait");
    const granted = yield* waitFor(this.#locks.wait(name, transaction, timeoutMs));
    if (!granted) this.world.cover("sql-lock-timeout");
    return granted;
  }

  *#add(transaction: Transaction, account: string, amount: number, timeoutMs: number): Task<SqlValue | { state: SqlState; about: string }> {
    if (!this.#balances.has(account)) return 0;
    if (!(yield* this.#lock(transaction, `account ${account}`, timeoutMs))) return { state: SQLSTATE.lockNotAvailable, about: account };
    this.#assignXact(transaction);
    const added = (transaction.adds.get(account) ?? 0) + amount;
    if ((this.#balances.get(account) ?? 0) + added < -OVERDRAFT) return { state: SQLSTATE.checkViolation, about: account };
    transaction.adds.set(account, added);
    return 1;
  }

  *#insertOutcome(
    transaction: Transaction,
    { gid, branch }: BranchName,
    outcome: RowOutcome,
    timeoutMs: number,
  ): Task<SqlValue | { state: SqlState; about: string }> {
    const key = keyOf(gid, branch);
    this.#assignXact(transaction);
    if (!(yield* this.#lock(transaction, `outcome ${key}`, timeoutMs))) return { state: SQLSTATE.lockNotAvailable, about: "outcomes" };
    if (this.#outcomes.has(key) || transaction.outcomes.has(key)) return { state: SQLSTATE.uniqueViolation, about: "outcomes" };
    transaction.outcomes.set(key, outcome);
    return 1;
  }

  #deleteOutcomes(belowMs: number): number {
    let count = 0;
    for (const key of this.#outcomes.keys()) {
      if (gidTimeMs(gidOf(key)) >= belowMs) continue;
      this.#outcomes.delete(key);
      count += 1;
      this.world.cover("outcome-row-dropped");
    }
    return count;
  }

  // ---- the ends of transactions

  /** Waits for the log; then, or perhaps in a crash before that, `land` takes effect. */
  *#sync(land: () => void): Task<void> {
    this.#syncing.add(land);
    yield* sleep(this.world, this.prng.exponential(this.options.syncMsMean));
    this.#syncing.delete(land);
    land();
  }

  *#commit(backend: Backend): Task<void> {
    const transaction = must(backend.transaction, "an open transaction");
    const finish = (): void => {
      this.#apply(transaction);
      // Work that was never prepared: its witness commits with it.
      for (const [key, outcome] of transaction.outcomes)
        if (outcome === "committed") this.#tookEffect(gidOf(key), key.slice(key.indexOf("/") + 1));
      this.#active.delete(transaction);
      this.#locks.release(transaction);
    };
    if (transaction.xact === 0) finish();
    else yield* this.#sync(finish);
    backend.transaction = undefined;
  }

  #rollback(backend: Backend): void {
    const { transaction } = backend;
    if (transaction === undefined) return;
    backend.transaction = undefined;
    this.#active.delete(transaction);
    this.#locks.release(transaction);
  }

  #apply({ adds, outcomes, epoch, floorMs }: Transaction): void {
    this.#epoch = Math.max(this.#epoch, epoch);
    this.#floorMs = Math.max(this.#floorMs, floorMs);
    for (const [account, amount] of adds) this.#balances.set(account, (this.#balances.get(account) ?? 0) + amount);
    for (const [key, outcome] of outcomes) this.#outcomes.set(key, outcome);
  }

  *#prepare(backend: Backend, { gid, branch }: BranchName): Task<SqlValue | { state: SqlState; about: string }> {
    const transaction = must(backend.transaction, "an open transaction");
    const key = keyOf(gid, branch);
    if (this.#prepared.has(key)) {
      this.#rollback(backend);
      return { state: SQLSTATE.duplicateObject, about: key };
    }
    const prepared: Prepared = { gid, branch, transaction, preparedAt: this.world.now, durable: false, busy: false };
    this.#prepared.set(key, prepared);
    // It does not belong to the session any more: the end of the connection does not end it.
    backend.transaction = undefined;
    yield* this.#sync(() => {
      prepared.durable = true;
      this.#active.delete(transaction);
    });
    return "PREPARE";
  }

  *#endPrepared({ gid, branch }: BranchName, commit: boolean): Task<SqlValue | { state: SqlState; about: string }> {
    const key = keyOf(gid, branch);
    const prepared = this.#prepared.get(key);
    if (prepared?.durable !== true) return { state: SQLSTATE.undefinedObject, about: key };
    if (prepared.busy) return { state: SQLSTATE.busy, about: key };
    prepared.busy = true;
    yield* this.#sync(() => {
      this.#prepared.delete(key);
      if (commit) this.#apply(prepared.transaction);
      this.#locks.release(prepared.transaction);
      if (commit) this.#tookEffect(gid, branch);
      else this.#watcher.rolledBack(prepared);
    });
    return undefined;
  }

  #tookEffect(gid: Gid, branch: string): void {
    const key = keyOf(gid, branch);
    this.#effects.set(key, { gid, branch, effects: (this.#effects.get(key)?.effects ?? 0) + 1 });
    this.#watcher.committed({ gid, branch });
  }

  hasEffect(gid: Gid, branch: string): boolean {
    return this.#effects.has(keyOf(gid, branch));
  }
}
