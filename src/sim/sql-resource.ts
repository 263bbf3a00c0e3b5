/**
 * A participant over a simulated SQL database, step by step as src/participant/postgres does it over a real one: the witness row
 * before the work, the mark of a roll back under the same key, a lost connection found out, 42704 told apart by the row, outcome
 * rows dropped behind a fence.
 */
import { gidTimeMs, type Gid, type Prng } from "../base/index.js";
import type { Vote } from "../txn/index.js";
import {
  AskTimes,
  type Attachment,
  type BranchName,
  type EffectRow,
  keyOf,
  type OnePhaseEnd,
  type ResourceManager,
  type ResourceWatcher,
  type Voted,
  type Work,
} from "./resource-manager.js";
import { SQLSTATE, type SqlOptions, type SqlReply, type Statement } from "./sql-protocol.js";
import { SqlServer } from "./sql-server.js";
import type { SqlSession } from "./sql-session.js";
import { sleep, waitFor, type Task } from "./task.js";
import type { World } from "./world.js";

const WITNESS_WAIT_MS = 250;
const BARRIER_WAIT_MS = 500;
const LOOKS = 10;
const LOOK_AGAIN_MS = 200;

const YES: Voted = { vote: "yes", detail: "" };

export class SqlResource implements ResourceManager {
  readonly kind = "sql";
  readonly name: string;
  readonly server: SqlServer;
  readonly #world: World;
  readonly #watcher: ResourceWatcher;

  constructor(world: World, name: string, accounts: readonly string[], options: SqlOptions, watcher: ResourceWatcher) {
    this.#world = world;
    this.name = name;
    this.#watcher = watcher;
    this.server = new SqlServer(world, name, accounts, options, {
      committed: ({ gid, branch }) => watcher.committed(this, gid, branch),
      rolledBack: ({ gid, branch }) => watcher.rolledBack(this, gid, branch),
    });
  }

  get accounts(): readonly string[] {
    return this.server.accounts;
  }

  get up(): boolean {
    return this.server.up;
  }

  get preparedCount(): number {
    return this.server.prepared.length;
  }

  get lockCount(): number {
    return this.server.lockCount;
  }

  get total(): number {
    return this.server.total;
  }

  effects(): readonly EffectRow[] {
    return this.server.effects();
  }

  prepared(): readonly BranchName[] {
    return this.server.prepared;
  }

  attach(owner: string, _prng: Prng, _lockTimeoutMs: number): Attachment {
    return new SqlAttachment(this.#world, this.name, this.server, owner, {
      votedNo: (gid, branch) => this.#watcher.votedNo(this, gid, branch),
      refused: (gid, branch) => this.#watcher.refused(this, gid, branch),
    });
  }

  ownerGone(owner: string): void {
    for (const session of this.server.sessions) if (session.owner === owner) session.break();
  }

  breakSession(prng: Prng): boolean {
    const { sessions } = this.server;
    if (sessions.length === 0) return false;
    prng.pick(sessions).break();
    return true;
  }

  crash(): void {
    this.server.crash();
  }

  restart(): void {
    this.server.restart();
  }
}

interface Fence {
  readonly floorMs: number;
  readonly xact: number;
}

interface Told {
  votedNo(gid: Gid, branch: string): void;
  refused(gid: Gid, branch: string): void;
}

class SqlAttachment implements Attachment {
  readonly #world: World;
  readonly #participant: string;
  readonly #server: SqlServer;
  readonly #owner: string;
  readonly #told: Told;
  readonly #asks = new AskTimes();
  /** Prepares under way in this process, and who waits for them: a repeated one joins. */
  readonly #preparing = new Map<string, ((voted: Voted | undefined) => void)[]>();
  /** One-phase commits, likewise. */
  readonly #committing = new Map<string, ((end: OnePhaseEnd | undefined) => void)[]>();
  /** The highest epoch known to be stored. */
  #epoch = 0;
  #floorMs = 0;
  #droppedMs = 0;
  #fences: Fence[] = [];
  #forgetting = false;

  constructor(world: World, participant: string, server: SqlServer, owner: string, told: Told) {
    this.#world = world;
    this.#participant = participant;
    this.#server = server;
    this.#owner = owner;
    this.#told = told;
  }

  // ---- prepare

  *prepare(name: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<Voted | undefined> {
    const key = keyOf(name.gid, name.branch);
    const underway = this.#preparing.get(key);
    if (underway !== undefined) return yield* waitFor<Voted | undefined>((resume) => underway.push(resume));
    const waiting: ((voted: Voted | undefined) => void)[] = [];
    this.#preparing.set(key, waiting);
    const voted = yield* this.#prepareAsked(name, work, epoch, refuse);
    this.#preparing.delete(key);
    for (const resume of waiting) resume(voted);
    return voted;
  }

  *#prepareAsked(name: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<Voted | undefined> {
    if (!(yield* this.#storeEpoch(epoch))) return undefined;
    if (work === undefined) return yield* this.#standing(name, this.#no(name, "unknown branch"));
    const session = this.#server.connect(this.#owner);
    if (session === undefined) return undefined;
    // The witness first: of two prepares of a branch only one does the work.
    const opened = yield* session.run(
      { kind: "begin" },
      { kind: "insert-outcome", name, outcome: "committed", lockTimeoutMs: WITNESS_WAIT_MS },
      { kind: "select-participant" },
    );
    if (!opened.ok) {
      session.release();
      const barrier = opened.about === "outcomes";
      return barrier ? yield* this.#standing(name, undefined) : undefined;
    }
    const seen = opened.values[2] as { readonly epoch: number; readonly floorMs: number };
    if (gidTimeMs(name.gid) < seen.floorMs) {
      this.#world.cover("forgotten-prepare-refused");
      return this.#refuse(session, name, "below the floor");
    }
    if (epoch < seen.epoch) return this.#refuse(session, name, `epoch ${epoch} is over, ${seen.epoch} was seen`);
    const problem = yield* this.#work(session, work);
    if (problem === "lost") {
      session.release();
      return undefined;
    }
    if (problem !== undefined || refuse) return this.#refuse(session, name, problem ?? "refused");
    return yield* this.#prepareTransaction(session, name, yield* session.run({ kind: "prepare", name }));
  }

  *#storeEpoch(epoch: number): Task<boolean> {
    if (epoch <= this.#epoch) return true;
    if (!(yield* this.#once({ kind: "raise-epoch", epoch })).ok) return false;
    this.#epoch = Math.max(this.#epoch, epoch);
    return true;
  }

  // ---- one phase

  *onePhase(name: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<OnePhaseEnd | undefined> {
    const key = keyOf(name.gid, name.branch);
    const underway = this.#committing.get(key);
    if (underway !== undefined) return yield* waitFor<OnePhaseEnd | undefined>((resume) => underway.push(resume));
    const waiting: ((end: OnePhaseEnd | undefined) => void)[] = [];
    this.#committing.set(key, waiting);
    const end = yield* this.#commitAsked(name, work, epoch, refuse);
    this.#committing.delete(key);
    if (end?.kind === "refused") {
      this.#told.votedNo(name.gid, name.branch);
      this.#told.refused(name.gid, name.branch);
    }
    for (const resume of waiting) resume(end);
    return end;
  }

  *#commitAsked(name: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<OnePhaseEnd | undefined> {
    if (!(yield* this.#storeEpoch(epoch))) return undefined;
    const session = this.#server.connect(this.#owner);
    if (session === undefined) return undefined;
    const opened = yield* session.run(
      { kind: "begin" },
      { kind: "insert-outcome", name, outcome: "committed", lockTimeoutMs: WITNESS_WAIT_MS },
      { kind: "select-participant" },
    );
    if (!opened.ok) {
      session.release();
      return opened.about === "outcomes" ? yield* this.#settledBefore(name, epoch) : undefined;
    }
    const seen = opened.values[2] as { readonly epoch: number; readonly floorMs: number };
    if (gidTimeMs(name.gid) < seen.floorMs || epoch < seen.epoch) {
      if (epoch < seen.epoch) this.#world.cover("one-phase-fenced");
      session.release();
      return undefined;
    }
    const problem = work === undefined ? "unknown branch" : yield* this.#work(session, work);
    if (problem !== undefined || refuse) {
      session.release();
      return problem === "lost" ? undefined : yield* this.#refuseForEver(name, problem ?? "refused");
    }
    const reply = yield* session.run({ kind: "commit" });
    session.release();
    if (reply.ok && reply.values[0] === "COMMIT") return { kind: "done" };
    // Whether it took effect the witness tells the next call.
    if (!reply.ok && reply.state === SQLSTATE.connectionLost) this.#world.cover("sql-commit-unknown");
    return reply.ok ? yield* this.#refuseForEver(name, "the transaction had failed") : undefined;
  }

  *#refuseForEver(name: BranchName, detail: string): Task<OnePhaseEnd | undefined> {
    const mark = yield* this.#mark(name);
    if (mark === "committed") return { kind: "done" };
    return mark === "marked" ? { kind: "refused", detail } : undefined;
  }

  /** There is a row, or another session is about to write it. */
  *#settledBefore(name: BranchName, epoch: number): Task<OnePhaseEnd | undefined> {
    const row = yield* this.#once({ kind: "select-outcome", name });
    if (!row.ok) return undefined;
    const [outcome] = row.values;
    if (outcome !== undefined) this.#world.cover(`one-phase-repeated ${String(outcome)}`);
    if (outcome === "committed") return { kind: "done" };
    if (outcome === "rolled-back") return { kind: "refused", detail: "rolled back before" };
    const seen = yield* this.#once({ kind: "select-participant" });
    if (!seen.ok || epoch < (seen.values[0] as { readonly epoch: number }).epoch) return undefined;
    const there = yield* this.#once({ kind: "is-prepared", name });
    if (!there.ok || there.values[0] !== true) return undefined;
    this.#world.cover("one-phase-found-prepared");
    return (yield* this.#once({ kind: "commit-prepared", name })).ok ? { kind: "done" } : undefined;
  }

  /** Why the work fails the branch; "lost" when the connection did, and nothing was promised. */
  *#work(session: SqlSession, work: Work): Task<string | undefined> {
    for (const [account, amount] of work.deltas) {
      const reply = yield* session.run({ kind: "add", account, amount, lockTimeoutMs: this.#server.options.lockTimeoutMs });
      if (!reply.ok) return reply.state === SQLSTATE.connectionLost ? "lost" : reply.state;
      if (reply.values[0] !== 1) return `${account} is no account`;
    }
    return undefined;
  }

  *#prepareTransaction(session: SqlSession, name: BranchName, reply: SqlReply): Task<Voted | undefined> {
    session.release();
    if (reply.ok) return reply.values.at(-1) === "PREPARE" ? YES : this.#no(name, "the transaction had failed");
    if (reply.state === SQLSTATE.connectionLost) return yield* this.#findOut(name);
    return this.#no(name, reply.state === SQLSTATE.uniqueViolation ? "rolled back before" : reply.state);
  }

  /** A PREPARE without an answer: it is there, or the mark of a roll back can be left, or neither yet. */
  *#findOut(name: BranchName): Task<Voted | undefined> {
    this.#world.cover("sql-prepare-unknown");
    for (let look = 1; look <= LOOKS; look++) {
      const there = yield* this.#once({ kind: "is-prepared", name });
      if (there.ok && there.values[0] === true) return YES;
      if (there.ok) {
        const mark = yield* this.#mark(name);
        if (mark === "committed") return YES;
        if (mark === "marked") return this.#no(name, "the connection was lost before the branch was prepared");
      }
      yield* sleep(this.#world, LOOK_AGAIN_MS);
    }
    return undefined;
  }

  /** How the branch stands in the database; `otherwise` when it is neither prepared nor settled. */
  *#standing(name: BranchName, otherwise: Voted | undefined): Task<Voted | undefined> {
    const there = yield* this.#once({ kind: "is-prepared", name });
    if (!there.ok) return undefined;
    if (there.values[0] === true) return YES;
    const row = yield* this.#once({ kind: "select-outcome", name });
    if (!row.ok) return undefined;
    if (row.values[0] === undefined) return otherwise;
    return row.values[0] === "committed" ? YES : this.#no(name, "rolled back before");
  }

  // ---- the ends

  *commit(name: BranchName): Task<boolean> {
    const ended = yield* this.#once({ kind: "commit-prepared", name });
    if (ended.ok) return true;
    if (ended.state !== SQLSTATE.undefinedObject) return false;
    const row = yield* this.#once({ kind: "select-outcome", name });
    if (!row.ok) return false;
    this.#world.cover("sql-commit-found-nothing");
    if (row.values[0] === "committed") return true;
    if (row.values[0] === "rolled-back") return this.#heuristic(name, "it was rolled back before");
    const floor = yield* this.#isBelowFloor(name.gid);
    if (floor === undefined) return false;
    return floor || this.#heuristic(name, "the prepared transaction is gone and left no outcome");
  }

  *rollback(name: BranchName): Task<boolean> {
    const underway = this.#preparing.get(keyOf(name.gid, name.branch));
    if (underway !== undefined) yield* waitFor<Voted | undefined>((resume) => underway.push(resume));
    const ended = yield* this.#once({ kind: "rollback-prepared", name });
    if (!ended.ok && ended.state !== SQLSTATE.undefinedObject) return false;
    const floor = yield* this.#isBelowFloor(name.gid);
    if (floor === undefined) return false;
    if (floor) {
      const row = yield* this.#once({ kind: "select-outcome", name });
      if (!row.ok) return false;
      return row.values[0] !== "committed" || this.#heuristic(name, "it was committed before");
    }
    const mark = yield* this.#mark(name);
    if (mark === "committed") return this.#heuristic(name, "it was committed before");
    return mark === "marked";
  }

  *#mark(name: BranchName): Task<"marked" | "committed" | "busy" | "lost"> {
    const reply = yield* this.#once({ kind: "insert-outcome", name, outcome: "rolled-back", lockTimeoutMs: BARRIER_WAIT_MS });
    if (reply.ok) return "marked";
    if (reply.state === SQLSTATE.lockNotAvailable) return "busy";
    if (reply.state !== SQLSTATE.uniqueViolation) return "lost";
    const row = yield* this.#once({ kind: "select-outcome", name });
    if (!row.ok) return "lost";
    return row.values[0] === "committed" ? "committed" : "marked";
  }

  *#isBelowFloor(gid: Gid): Task<boolean | undefined> {
    const reply = yield* this.#once({ kind: "select-participant" });
    if (!reply.ok) return undefined;
    return gidTimeMs(gid) < (reply.values[0] as { readonly floorMs: number }).floorMs;
  }

  /** An outcome in force against the decision: nobody settles anything by hand here, so it must not happen. */
  #heuristic({ gid, branch }: BranchName, what: string): boolean {
    this.#world.fail({ invariant: "heuristic", message: `${this.#participant}, branch ${branch} of ${gid}: ${what}` });
    return false;
  }

  // ---- brought branches

  *bring(name: BranchName, work: Work, pauseMs: () => number): Task<Vote> {
    yield* sleep(this.#world, pauseMs());
    const session = this.#server.connect(this.#owner);
    if (session === undefined) return "no";
    yield* session.run({ kind: "begin" });
    const problem = yield* this.#work(session, work);
    yield* sleep(this.#world, pauseMs());
    if (problem !== undefined) return this.#refuse(session, name, problem).vote;
    if (gidTimeMs(name.gid) < this.#floorMs) return this.#refuse(session, name, "below the floor").vote;
    if (work.deltas.length === 0) {
      const ended = yield* session.run({ kind: "commit" });
      session.release();
      return ended.ok && ended.values[0] === "COMMIT" ? "read-only" : "no";
    }
    const reply = yield* session.run(
      { kind: "insert-outcome", name, outcome: "committed", lockTimeoutMs: BARRIER_WAIT_MS },
      { kind: "prepare", name },
    );
    const voted = yield* this.#prepareTransaction(session, name, reply);
    yield* sleep(this.#world, pauseMs());
    return voted?.vote ?? "no";
  }

  // ---- questions and forgetting

  inDoubt(): readonly BranchName[] {
    return this.#server.up ? this.#server.prepared : [];
  }

  due(firstDelayMs: number): readonly BranchName[] {
    return this.#server.up ? this.#asks.due(this.#server.prepared, this.#world.now, firstDelayMs) : [];
  }

  *forgetBelow(floorMs: number): Task<void> {
    if (this.#forgetting) return;
    const floor = Math.max(floorMs, this.#floorMs);
    if (this.#fences.length === 0 && floor <= this.#droppedMs) return;
    this.#forgetting = true;
    yield* this.#forget(floor);
    this.#forgetting = false;
  }

  *#forget(floorMs: number): Task<void> {
    if (this.#fences.length > 0) {
      const oldest = yield* this.#once({ kind: "oldest-xact" });
      if (!oldest.ok) return;
      const passed = this.#fences.filter(({ xact }) => xact < Number(oldest.values[0])).at(-1);
      if (passed !== undefined) {
        this.#fences = this.#fences.filter(({ xact }) => xact > passed.xact);
        if (!(yield* this.#once({ kind: "delete-outcomes", belowMs: passed.floorMs })).ok) return;
        this.#droppedMs = passed.floorMs;
      }
    }
    if (floorMs <= this.#droppedMs || this.#fences.at(-1)?.floorMs === floorMs) return;
    if (!(yield* this.#once({ kind: "raise-floor", floorMs })).ok) return;
    this.#floorMs = floorMs;
    const current = yield* this.#once({ kind: "current-xact" });
    if (current.ok) this.#fences.push({ floorMs, xact: Number(current.values[0]) });
  }

  // ---- small things

  /** One message on a connection of its own. */
  *#once(...statements: readonly Statement[]): Task<SqlReply> {
    const session = this.#server.connect(this.#owner);
    if (session === undefined) return { ok: false, state: SQLSTATE.connectionLost, about: "" };
    const reply = yield* session.run(...statements);
    session.release();
    return reply;
  }

  #no({ gid, branch }: BranchName, detail: string): Voted {
    this.#told.votedNo(gid, branch);
    return { vote: "no", detail };
  }

  #refuse(session: SqlSession, name: BranchName, detail: string): Voted {
    session.release();
    return this.#no(name, detail);
  }
}
