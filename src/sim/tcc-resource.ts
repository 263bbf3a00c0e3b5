/**
 * A simulated service that reserves, confirms and cancels, with a barrier: one row a branch, written together with the business change.
 *
 * A change counts at once and is durable when its sync is over; a crash takes back what was not, except perhaps a first part of it.
 * Nothing is answered before it is durable. A cancel without a try leaves its row, so that a try that comes late is refused.
 */
import { assert, gidTimeMs, type Gid, type Prng } from "../base/index.js";
import { TccAttachment } from "./tcc-attachment.js";
import type { TccWatch } from "./tcc-watch.js";
import {
  gidOf,
  keyOf,
  OVERDRAFT,
  type Attachment,
  type EffectRow,
  type ResourceManager,
  type ResourceWatcher,
  type Voted,
  type Work,
} from "./resource-manager.js";
import { sleep, type Task } from "./task.js";
import type { World } from "./world.js";

export interface TccOptions {
  readonly syncMsMean: number;
  /** Chance that a try is long on its way, and how long. */
  readonly lateChance: number;
  readonly lateMsMean: number;
  /** Whether somebody asks what became of a branch that was tried. Most services cannot: they are told. */
  readonly asks: boolean;
}

/** A row of the barrier, with what is reserved. */
interface Row {
  readonly gid: Gid;
  readonly branch: string;
  readonly state: "tried" | "confirmed" | "cancelled";
  readonly work: Work;
  /** The write that made it. */
  readonly write: number;
  readonly preparedAt: number;
}

/** The outcome of a call, valid when `write` is durable. */
export interface Written<T> {
  readonly result: T;
  readonly write: number;
}

const NOTHING: Work = { deltas: [], reads: [] };
const DURABLE_POLL_MS = 0.5;

export class TccResource implements ResourceManager {
  readonly kind = "tcc";
  readonly name: string;
  readonly options: TccOptions;
  readonly #world: World;
  readonly #watcher: ResourceWatcher;
  readonly #watch: TccWatch;
  readonly #prng: Prng;
  readonly #balances = new Map<string, number>();
  readonly #rows = new Map<string, Row>();
  readonly #confirms = new Map<string, EffectRow>();
  #floorMs = 0;
  /** How each write that is not durable yet is taken back, and what is to be told once it is, oldest first. */
  #pending: { readonly undo: () => void; readonly durable: () => void }[] = [];
  #written = 0;
  #synced = 0;
  #syncing = false;
  #up = true;
  #life = 0;

  constructor(world: World, name: string, accounts: readonly string[], options: TccOptions, watcher: ResourceWatcher, watch: TccWatch) {
    this.#world = world;
    this.name = name;
    this.options = options;
    this.#watcher = watcher;
    this.#watch = watch;
    this.#prng = world.fork(`tcc/${name}`);
    for (const account of accounts) this.#balances.set(account, 0);
  }

  get up(): boolean {
    return this.#up;
  }

  get accounts(): readonly string[] {
    return [...this.#balances.keys()];
  }

  /** A reservation holds no lock. */
  get lockCount(): number {
    return 0;
  }

  /** Nor is it a promise that blocks anybody: that none is left is a rule of its own, I8. */
  get preparedCount(): number {
    return 0;
  }

  get total(): number {
    let sum = 0;
    for (const balance of this.#balances.values()) sum += balance;
    return sum;
  }

  /** What is reserved and neither confirmed nor cancelled, over all accounts. */
  get reserved(): number {
    let sum = 0;
    for (const { work } of this.prepared()) for (const [, amount] of work.deltas) sum += Math.abs(amount);
    return sum;
  }

  effects(): readonly EffectRow[] {
    return [...this.#confirms.values()].filter(({ effects }) => effects > 0);
  }

  /** Every branch that is tried and not settled, oldest first. */
  prepared(): readonly Row[] {
    return [...this.#rows.values()].filter(({ state }) => state === "tried");
  }

  // ---- the three functions, behind the barrier

  try(gid: Gid, branch: string, work: Work | undefined, refuse: boolean): Written<Voted> {
    const row = this.#rows.get(keyOf(gid, branch));
    if (row !== undefined && row.state !== "cancelled") {
      this.#world.cover("tcc repeated try");
      return { result: { vote: "yes", detail: "" }, write: row.write };
    }
    if (row !== undefined) {
      this.#world.cover("tcc late try refused");
      return this.#no(gid, branch, "cancelled before");
    }
    if (this.#isForgotten(gid)) return this.#no(gid, branch, "below the floor");
    const problem = refuse ? "refused" : this.#obstacle(work);
    if (work === undefined || problem !== undefined) return this.#no(gid, branch, problem ?? "no work");
    this.#watch.reserved(this.name, gid, branch);
    const write = this.#put(gid, branch, "tried", work, () => undefined);
    return { result: { vote: "yes", detail: "" }, write };
  }

  confirm(gid: Gid, branch: string): number {
    const key = keyOf(gid, branch);
    const row = this.#rows.get(key);
    if (row?.state === "confirmed") {
      this.#world.cover("tcc repeated confirm");
      return row.write;
    }
    if (row === undefined && this.#isForgotten(gid) && this.#confirms.has(key)) return this.#synced;
    assert(
      row?.state === "tried",
      () => `${this.name} is told to confirm branch ${branch} of ${gid}, which is ${row?.state ?? "not tried"}`,
    );
    for (const [account, amount] of row.work.deltas) this.#add(account, amount);
    this.#count(gid, branch, 1);
    return this.#put(
      gid,
      branch,
      "confirmed",
      row.work,
      () => {
        for (const [account, amount] of row.work.deltas) this.#add(account, -amount);
        this.#count(gid, branch, -1);
      },
      () => this.#watcher.committed(this, gid, branch),
    );
  }

  cancel(gid: Gid, branch: string): number {
    const key = keyOf(gid, branch);
    const row = this.#rows.get(key);
    assert(row?.state !== "confirmed", () => `${this.name} is told to cancel branch ${branch} of ${gid}, which it confirmed`);
    if (row?.state === "cancelled") {
      this.#world.cover("tcc repeated cancel");
      return row.write;
    }
    if (row === undefined) {
      if (this.#isForgotten(gid)) return this.#synced;
      this.#world.cover("tcc empty cancel");
    } else this.#watcher.rolledBack(this, gid, branch);
    const told = (): void => this.#watch.cancelled(this.name, gid, branch, row !== undefined);
    return this.#put(gid, branch, "cancelled", NOTHING, () => undefined, told);
  }

  /** True when everything up to this write is durable; false when a crash came first. */
  *durable(write: number): Task<boolean> {
    const life = this.#life;
    while (life === this.#life && this.#up && this.#synced < write) yield* sleep(this.#world, DURABLE_POLL_MS);
    return life === this.#life && this.#up;
  }

  saidYes(gid: Gid, branch: string): void {
    this.#watch.saidYes(this.name, gid, branch);
  }

  #obstacle(work: Work | undefined): string | undefined {
    if (work === undefined) return "no work";
    if (work.deltas.some(([account]) => !this.#balances.has(account))) return "no such account";
    const reserved = new Map<string, number>();
    for (const { work: held } of this.prepared())
      for (const [account, amount] of held.deltas) if (amount < 0) reserved.set(account, (reserved.get(account) ?? 0) + amount);
    const low = work.deltas.some(
      ([account, amount]) => amount < 0 && (this.#balances.get(account) ?? 0) + (reserved.get(account) ?? 0) + amount < -OVERDRAFT,
    );
    return low ? "insufficient funds" : undefined;
  }

  #no(gid: Gid, branch: string, detail: string): Written<Voted> {
    this.#watcher.votedNo(this, gid, branch);
    return { result: { vote: "no", detail }, write: 0 };
  }

  #add(account: string, amount: number): void {
    this.#balances.set(account, (this.#balances.get(account) ?? 0) + amount);
  }

  #count(gid: Gid, branch: string, by: number): void {
    const key = keyOf(gid, branch);
    this.#confirms.set(key, { gid, branch, effects: (this.#confirms.get(key)?.effects ?? 0) + by });
  }

  // ---- the disk

  /** The row and the change of business, in one write. */
  #put(gid: Gid, branch: string, state: Row["state"], work: Work, undo: () => void, durable: () => void = () => undefined): number {
    const key = keyOf(gid, branch);
    const before = this.#rows.get(key);
    this.#written += 1;
    this.#rows.set(key, { gid, branch, state, work, write: this.#written, preparedAt: before?.preparedAt ?? this.#world.now });
    this.#pending.push({
      durable,
      undo: () => {
        undo();
        if (before === undefined) this.#rows.delete(key);
        else this.#rows.set(key, before);
      },
    });
    this.#sync();
    return this.#written;
  }

  #sync(): void {
    if (this.#syncing || this.#pending.length === 0) return;
    this.#syncing = true;
    const life = this.#life;
    const upTo = this.#written;
    this.#world.after(this.#prng.exponential(this.options.syncMsMean), () => {
      if (life !== this.#life) return;
      this.#syncing = false;
      this.#land(upTo);
      this.#sync();
    });
  }

  #land(upTo: number): void {
    const landed = this.#pending.splice(0, upTo - this.#synced);
    this.#synced = upTo;
    for (const { durable } of landed) durable();
  }

  crash(): void {
    if (!this.#up) return;
    this.#up = false;
    this.#life += 1;
    this.#syncing = false;
    // What was being written may have reached the disk, a first part of it, or nothing.
    if (this.#pending.length > 0) this.#land(this.#synced + this.#prng.int(0, this.#pending.length));
    if (this.#pending.length > 0) this.#world.cover("tcc write lost");
    for (const { undo } of this.#pending.reverse()) undo();
    this.#pending = [];
    this.#synced = this.#written;
  }

  restart(): void {
    this.#up = true;
  }

  forgetBelow(floorMs: number): void {
    if (floorMs <= this.#floorMs) return;
    this.#floorMs = floorMs;
    for (const [key, { state }] of this.#rows) {
      if (state === "tried" || !this.#isForgotten(gidOf(key))) continue;
      this.#rows.delete(key);
      this.#world.cover("tcc row dropped");
    }
  }

  #isForgotten(gid: Gid): boolean {
    return gidTimeMs(gid) < this.#floorMs;
  }

  attach(_owner: string, prng: Prng): Attachment {
    return new TccAttachment(this.#world, this, prng);
  }

  ownerGone(): void {
    // A service keeps nothing of a connection.
  }

  breakSession(): boolean {
    return false;
  }
}
