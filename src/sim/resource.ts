/**
 * A simulated key-value store that takes part in transactions: accounts, locks, prepared branches, outcome rows.
 *
 * Durable state survives a crash, work that was not prepared does not. It remembers roll backs and so refuses a late prepare. It
 * never decides alone. Calls are idempotent. Rows of gids that the cluster has forgotten are dropped, and such gids take no new
 * work; what effects there were is kept apart from them, for the run's oracles.
 */
import { assert, gidTimeMs, type Gid, type Prng } from "../base/index.js";
import type { Vote } from "../txn/index.js";
import {
  AskTimes,
  gidOf,
  keyOf,
  OVERDRAFT,
  type Attachment,
  type BranchName,
  type EffectRow,
  type OnePhaseEnd,
  type ResourceManager,
  type ResourceWatcher,
  type Voted,
  type Work,
} from "./resource-manager.js";
import { sleep, type Task } from "./task.js";
import type { World } from "./world.js";

interface Prepared {
  readonly gid: Gid;
  readonly branch: string;
  readonly work: Work;
  readonly preparedAt: number;
}

export type PrepareOutcome = Voted | "locked";
export type OnePhaseOutcome = OnePhaseEnd | "locked" | undefined;

const LOCK_POLL_MS = 15;
const BRING_ATTEMPTS = 5;
const LOCKED_PAUSE_MS = 20;
/** Chance that a branch that only reads is prepared all the same, as it may be: also when an earlier prepare of it voted read-only. */
const READER_PREPARES_CHANCE = 0.3;

export class KvResource implements ResourceManager {
  readonly kind = "kv";
  readonly name: string;
  readonly #world: World;
  readonly #watcher: ResourceWatcher;
  // ---- durable
  readonly #accounts = new Map<string, number>();
  readonly #prepared = new Map<string, Prepared>();
  readonly #outcomes = new Map<string, "committed" | "rolled-back">();
  readonly #effects = new Map<string, EffectRow>();
  #highestEpoch = 0;
  #floorMs = 0;
  // ---- volatile, but for the locks of prepared branches, which come back with them
  readonly #locks = new Map<string, string>();
  readonly #working = new Map<string, { readonly work: Work; readonly owner: string }>();
  #up = true;

  constructor(world: World, name: string, accounts: readonly string[], watcher: ResourceWatcher) {
    this.#world = world;
    this.name = name;
    this.#watcher = watcher;
    for (const account of accounts) this.#accounts.set(account, 0);
  }

  get up(): boolean {
    return this.#up;
  }

  get accounts(): readonly string[] {
    return [...this.#accounts.keys()];
  }

  get lockCount(): number {
    return this.#locks.size;
  }

  get preparedCount(): number {
    return this.#prepared.size;
  }

  get total(): number {
    let sum = 0;
    for (const balance of this.#accounts.values()) sum += balance;
    return sum;
  }

  effects(): readonly EffectRow[] {
    return [...this.#effects.values()];
  }

  /** Every prepared branch, oldest first. */
  prepared(): readonly Prepared[] {
    return [...this.#prepared.values()];
  }

  // ---- work that a client brings

  /** Runs a client's work and takes its locks; false when one is taken. */
  begin(gid: Gid, branch: string, work: Work, owner: string): boolean {
    const key = keyOf(gid, branch);
    if (!this.#lock(key, work)) return false;
    this.#working.set(key, { work, owner });
    return true;
  }

  /** The owner's connections are closed: its unprepared work is rolled back. */
  ownerGone(owner: string): void {
    for (const [key, working] of this.#working) {
      if (working.owner !== owner) continue;
      this.#working.delete(key);
      this.#unlock(key, working.work);
    }
  }

  /** The client prepares its own branch. */
  prepareBrought(gid: Gid, branch: string): { readonly vote: Vote; readonly detail: string } {
    const key = keyOf(gid, branch);
    const work = this.#working.get(key)?.work;
    if (this.#prepared.has(key)) return { vote: "yes", detail: "" };
    if (work === undefined) return this.#no(gid, branch, "the work is lost");
    this.#working.delete(key);
    if (this.#isForgotten(gid)) {
      this.#unlock(key, work);
      return this.#no(gid, branch, "below the floor");
    }
    if (work.deltas.length === 0) {
      this.#unlock(key, work);
      return { vote: "read-only", detail: "" };
    }
    if (this.#outcomes.has(key)) {
      this.#unlock(key, work);
      return this.#no(gid, branch, "rolled back before");
    }
    this.#remember(key, gid, branch, work);
    return { vote: "yes", detail: "" };
  }

  // ---- the participant's contract

  /** The coordinator asks for a vote. `work` undefined: the client brought the branch. */
  prepare(gid: Gid, branch: string, work: Work | undefined, epoch: number, readerPrepares = false): PrepareOutcome {
    const key = keyOf(gid, branch);
    if (epoch < this.#highestEpoch) return this.#no(gid, branch, `epoch ${epoch} is over, ${this.#highestEpoch} was seen`);
    this.#highestEpoch = epoch;
    const outcome = this.#outcomes.get(key);
    if (outcome === "committed" || this.#prepared.has(key)) return { vote: "yes", detail: "" };
    if (outcome === "rolled-back") return this.#no(gid, branch, "rolled back before");
    if (this.#isForgotten(gid)) {
      this.#world.cover("forgotten-prepare-refused");
      return this.#no(gid, branch, "below the floor");
    }
    const problem = this.#obstacle(work);
    if (work === undefined || problem !== undefined) return this.#no(gid, branch, problem ?? "unknown branch");
    if (work.deltas.length === 0 && !this.#canRead(key, work)) return "locked";
    if (work.deltas.length === 0 && !readerPrepares) return { vote: "read-only", detail: "" };
    if (!this.#lock(key, work)) return "locked";
    this.#remember(key, gid, branch, work);
    return { vote: "yes", detail: "" };
  }

  /**
   * The outcome is left to this resource. The work and its row are one durable step, and so is the row of a refusal. What is settled is
   * said again; nothing is done for a leader of the past.
   */
  onePhase(gid: Gid, branch: string, work: Work | undefined, epoch: number, refuse: string | undefined): OnePhaseOutcome {
    const key = keyOf(gid, branch);
    const outcome = this.#outcomes.get(key);
    if (outcome !== undefined) {
      this.#world.cover(`one-phase-repeated ${outcome}`);
      return outcome === "committed" ? { kind: "done" } : this.#refused(gid, branch, "rolled back before");
    }
    if (this.#isForgotten(gid)) return undefined;
    if (epoch < this.#highestEpoch) {
      this.#world.cover("one-phase-fenced");
      return undefined;
    }
    this.#highestEpoch = epoch;
    if (this.#prepared.has(key)) {
      this.#world.cover("one-phase-found-prepared");
      this.commit(gid, branch);
      return { kind: "done" };
    }
    const why = refuse ?? this.#obstacle(work);
    if (work === undefined || why !== undefined) {
      this.#outcomes.set(key, "rolled-back");
      return this.#refused(gid, branch, why ?? "unknown branch");
    }
    if (!this.#lock(key, work)) return "locked";
    this.#take(key, gid, branch, work);
    return { kind: "done" };
  }

  #obstacle(work: Work | undefined): string | undefined {
    if (work === undefined) return "unknown branch";
    if (work.deltas.some(([account]) => !this.#accounts.has(account))) return "no such account";
    const low = work.deltas.some(([account, amount]) => (this.#accounts.get(account) ?? 0) + amount < -OVERDRAFT);
    return low ? "insufficient funds" : undefined;
  }

  #refused(gid: Gid, branch: string, detail: string): OnePhaseEnd {
    this.#watcher.votedNo(this, gid, branch);
    this.#watcher.refused(this, gid, branch);
    return { kind: "refused", detail };
  }

  /** Votes no, for a reason of its caller's. */
  refuse(gid: Gid, branch: string, detail: string): Voted {
    const key = keyOf(gid, branch);
    // What was promised stays promised.
    if (this.#prepared.has(key) || this.#outcomes.get(key) === "committed") return { vote: "yes", detail: "" };
    return this.#no(gid, branch, detail);
  }

  commit(gid: Gid, branch: string): void {
    const key = keyOf(gid, branch);
    const outcome = this.#outcomes.get(key);
    if (outcome === "committed") return;
    const prepared = this.#prepared.get(key);
    // Its row is gone: what this participant acknowledged is the only thing that could have made the cluster forget it.
    if (prepared === undefined && outcome === undefined && this.#isForgotten(gid) && this.#effects.has(key)) return;
    assert(
      prepared !== undefined,
      () =>
        `${this.name} is told to commit branch ${branch} of ${gid}, which it ${outcome === undefined ? "never prepared" : "rolled back"}`,
    );
    this.#prepared.delete(key);
    this.#take(key, gid, branch, prepared.work);
  }

  /** The work takes effect, and its locks are free. */
  #take(key: string, gid: Gid, branch: string, work: Work): void {
    for (const [account, amount] of work.deltas) this.#accounts.set(account, (this.#accounts.get(account) ?? 0) + amount);
    this.#outcomes.set(key, "committed");
    this.#effects.set(key, { gid, branch, effects: (this.#effects.get(key)?.effects ?? 0) + 1 });
    this.#unlock(key, work);
    this.#watcher.committed(this, gid, branch);
  }

  rollback(gid: Gid, branch: string): void {
    const key = keyOf(gid, branch);
    assert(!this.#effects.has(key), () => `${this.name} is told to roll back branch ${branch} of ${gid}, which it committed`);
    const working = this.#working.get(key);
    if (working !== undefined) {
      this.#working.delete(key);
      this.#unlock(key, working.work);
    }
    const prepared = this.#prepared.get(key);
    if (prepared !== undefined) {
      this.#prepared.delete(key);
      this.#unlock(key, prepared.work);
      this.#watcher.rolledBack(this, gid, branch);
    }
    if (!this.#isForgotten(gid)) this.#outcomes.set(key, "rolled-back");
  }

  /** The cluster has forgotten every gid older than this. The floor and the rows change in one durable step. */
  forgetBelow(floorMs: number): void {
    if (floorMs <= this.#floorMs) return;
    this.#floorMs = floorMs;
    for (const key of this.#outcomes.keys()) {
      if (!this.#isForgotten(gidOf(key))) continue;
      this.#outcomes.delete(key);
      this.#world.cover("outcome-row-dropped");
    }
  }

  attach(owner: string, prng: Prng, lockTimeoutMs: number): Attachment {
    return new KvAttachment(this.#world, this, owner, prng, lockTimeoutMs);
  }

  /** It runs inside its process: there is no connection. */
  breakSession(): boolean {
    return false;
  }

  crash(): void {
    this.#up = false;
    for (const [key, { work }] of this.#working) this.#unlock(key, work);
    this.#working.clear();
  }

  restart(): void {
    this.#up = true;
  }

  #isForgotten(gid: Gid): boolean {
    return gidTimeMs(gid) < this.#floorMs;
  }

  #no(gid: Gid, branch: string, detail: string): { readonly vote: Vote; readonly detail: string } {
    this.#watcher.votedNo(this, gid, branch);
    return { vote: "no", detail };
  }

  #remember(key: string, gid: Gid, branch: string, work: Work): void {
    this.#prepared.set(key, { gid, branch, work, preparedAt: this.#world.now });
  }

  #canRead(key: string, work: Work): boolean {
    return work.reads.every((account) => (this.#locks.get(account) ?? key) === key);
  }

  #lock(key: string, work: Work): boolean {
    const accounts = work.deltas.map(([account]) => account);
    if (accounts.some((account) => (this.#locks.get(account) ?? key) !== key)) return false;
    for (const account of accounts) this.#locks.set(account, key);
    return true;
  }

  #unlock(key: string, work: Work): void {
    for (const [account] of work.deltas) if (this.#locks.get(account) === key) this.#locks.delete(account);
  }
}

class KvAttachment implements Attachment {
  readonly #world: World;
  readonly #resource: KvResource;
  readonly #owner: string;
  readonly #prng: Prng;
  readonly #lockTimeoutMs: number;
  readonly #asks = new AskTimes();

  constructor(world: World, resource: KvResource, owner: string, prng: Prng, lockTimeoutMs: number) {
    this.#world = world;
    this.#resource = resource;
    this.#owner = owner;
    this.#prng = prng;
    this.#lockTimeoutMs = lockTimeoutMs;
  }

  *prepare({ gid, branch }: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<Voted | undefined> {
    const lockUntil = this.#world.now + this.#lockTimeoutMs;
    const resource = this.#resource;
    const readerPrepares = work?.deltas.length === 0 && this.#prng.chance(READER_PREPARES_CHANCE);
    for (;;) {
      if (!resource.up) return undefined;
      const late = this.#world.now >= lockUntil;
      const outcome = refuse ? resource.refuse(gid, branch, "refused") : resource.prepare(gid, branch, work, epoch, readerPrepares);
      if (outcome !== "locked") return outcome;
      if (late) return resource.refuse(gid, branch, "lock timeout");
      yield* sleep(this.#world, LOCK_POLL_MS * (0.5 + this.#prng.float()));
    }
  }

  *onePhase({ gid, branch }: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<OnePhaseEnd | undefined> {
    const lockUntil = this.#world.now + this.#lockTimeoutMs;
    for (;;) {
      if (!this.#resource.up) return undefined;
      const late = this.#world.now >= lockUntil ? "lock timeout" : undefined;
      const outcome = this.#resource.onePhase(gid, branch, work, epoch, refuse ? "refused" : late);
      if (outcome !== "locked") return outcome;
      yield* sleep(this.#world, LOCK_POLL_MS * (0.5 + this.#prng.float()));
    }
  }

  *commit({ gid, branch }: BranchName): Task<boolean> {
    if (!this.#resource.up) return false;
    this.#resource.commit(gid, branch);
    return true;
  }

  *rollback({ gid, branch }: BranchName): Task<boolean> {
    if (!this.#resource.up) return false;
    this.#resource.rollback(gid, branch);
    return true;
  }

  *bring({ gid, branch }: BranchName, work: Work, pauseMs: () => number): Task<Vote> {
    for (let attempt = 0; attempt < BRING_ATTEMPTS; attempt++) {
      yield* sleep(this.#world, pauseMs());
      if (!this.#resource.up) return "no";
      if (!this.#resource.begin(gid, branch, work, this.#owner)) {
        yield* sleep(this.#world, LOCKED_PAUSE_MS);
        continue;
      }
      yield* sleep(this.#world, pauseMs());
      if (!this.#resource.up) return "no";
      const { vote } = this.#resource.prepareBrought(gid, branch);
      yield* sleep(this.#world, pauseMs());
      return vote;
    }
    return "no";
  }

  inDoubt(): readonly BranchName[] {
    return this.#resource.up ? this.#resource.prepared() : [];
  }

  due(firstDelayMs: number): readonly BranchName[] {
    return this.#resource.up ? this.#asks.due(this.#resource.prepared(), this.#world.now, firstDelayMs) : [];
  }

  *forgetBelow(floorMs: number): Task<void> {
    if (this.#resource.up) this.#resource.forgetBelow(floorMs);
  }
}
