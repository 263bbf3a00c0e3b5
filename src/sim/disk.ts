/**
 * One node's disk: the log with its queue of operations, the promises record, the state checkpoint, pinned snapshots.
 *
 * What is queued or being synced when the process dies is lost from any point on: a random prefix of the queue survives, and the
 * operation after it may be torn. The same when a write or a sync fails: then the process has to end, for the next sync would say all
 * is well. What was reported durable survives, except for planned rot, which is found at the next start.
 */
import { assert, compareZxid, equalZxid, formatZxid, must, type Prng, type Zxid } from "../base/index.js";
import type { Recovered, StateWrite } from "../replica/index.js";
import type { Configuration, Damage, Entry, EpochRecord, PersistOp, PersistRequest } from "../zab/index.js";
import { ZXID_ZERO } from "../base/index.js";
import type { World } from "./world.js";

export interface DiskOptions {
  readonly syncMsMin: number;
  readonly syncMsMean: number;
  /** Chance that one sync takes `stallMs`. */
  readonly stallChance: number;
  readonly stallMs: number;
  readonly checkpointMsMean: number;
  /** Chance that nothing of the unsynced queue survives a crash; else a random prefix does. */
  readonly loseAllChance: number;
  readonly tornChance: number;
}

interface Checkpoint {
  readonly at: Zxid;
  readonly data: ReadonlyMap<string, Uint8Array>;
}

interface PendingCheckpoint {
  readonly at: Zxid;
  readonly writes: Iterable<StateWrite>;
}

interface PendingInstall {
  readonly at: Zxid;
  readonly data: ReadonlyMap<string, Uint8Array>;
}

/** Told about every durable change, for the oracles of the run. */
export interface DiskWatcher {
  truncated(entries: readonly Entry[]): void;
  madeCurrent(disk: Disk, epoch: number): void;
}

export class Disk {
  readonly #world: World;
  readonly name: string;
  readonly #prng: Prng;
  readonly #watcher: DiskWatcher;
  options: DiskOptions;
  /** Multiplies every latency: an episode of a slow disk. */
  slowness = 1;
  /** No room: every write fails. */
  full = false;
  /** The next sync fails: what it was to make durable is gone, and a later sync would say all is well. */
  failNextSync = false;
  /** A write or a sync failed: whoever uses this disk has to end. */
  onFailed: () => void = () => undefined;
  #life = 0;
  // ---- durable
  #epochs: EpochRecord;
  #found = false;
  #base: Zxid = ZXID_ZERO;
  #entries: Entry[] = [];
  #checkpoint: Checkpoint = { at: ZXID_ZERO, data: new Map() };
  /** The checkpoint's own map, when nobody else has it. */
  #state = new Map<string, Uint8Array>();
  #ownState = false;
  // ---- in flight
  #queued: PersistRequest[] = [];
  #syncing: PersistRequest[] = [];
  #pendingCheckpoint: PendingCheckpoint | undefined;
  #pendingInstall: PendingInstall | undefined;
  /** Where the log will end when everything submitted is written. */
  #submittedLast: Zxid = ZXID_ZERO;
  readonly #pins = new Map<string, Checkpoint>();
  #nextPin = 1;

  constructor(world: World, name: string, configuration: Configuration, options: DiskOptions, watcher: DiskWatcher) {
    this.#world = world;
    this.name = name;
    this.#prng = world.fork(`disk/${name}`);
    this.#watcher = watcher;
    this.options = options;
    this.#epochs = { acceptedEpoch: 0, currentEpoch: 0, configuration, damage: undefined };
  }

  get damage(): Damage | undefined {
    return this.#epochs.damage;
  }

  /** Stored as damaged, or found to be by a process that has yet to store it. */
  get damaged(): boolean {
    return this.#found || this.damage !== undefined;
  }

  /** The running process is told that it reads something wrong. Forgotten with the process, unless it stores it before. */
  found(): void {
    this.#found = true;
  }

  get epochs(): EpochRecord {
    return this.#epochs;
  }

  get submittedLast(): Zxid {
    return this.#submittedLast;
  }

  get last(): Zxid {
    return this.#entries.at(-1)?.zxid ?? this.#base;
  }

  /** True when this entry, or a checkpoint that includes it, is durable here. */
  holds(zxid: Zxid): boolean {
    return compareZxid(zxid, this.#checkpoint.at) <= 0 || compareZxid(zxid, this.#base) <= 0 || this.#indexOf(zxid) >= 0;
  }

  /** Durable entries after `from` up to `to`; undefined when `from` is before the log's beginning. */
  between(from: Zxid, to: Zxid): readonly Entry[] | undefined {
    const start = equalZxid(from, this.#base) ? 0 : this.#indexOf(from) + 1;
    if (start === 0 && !equalZxid(from, this.#base)) return undefined;
    const end = equalZxid(to, this.#base) ? 0 : this.#indexOf(to) + 1;
    return this.#entries.slice(start, end);
  }

  // ---- the log port

  submit(requests: readonly PersistRequest[], done: (seq: number) => void): void {
    for (const request of requests) {
      this.#queued.push(request);
      const { op } = request;
      if (op.kind === "append") this.#submittedLast = op.entries.at(-1)?.zxid ?? this.#submittedLast;
      else if (op.kind === "truncate") this.#submittedLast = op.after;
      else if (op.kind === "reset") this.#submittedLast = op.base;
    }
    if (this.#syncing.length === 0) this.#startSync(done);
  }

  #startSync(done: (seq: number) => void): void {
    if (this.#queued.length === 0) return;
    this.#syncing = this.#queued;
    this.#queued = [];
    const life = this.#life;
    this.#world.after(this.#latency(), () => {
      if (life !== this.#life) return;
      if (this.full || this.failNextSync) {
        this.#fail();
        return;
      }
      let seq = 0;
      for (const request of this.#syncing) {
        this.#perform(request.op);
        seq = request.seq;
      }
      this.#syncing = [];
      this.#startSync(done);
      done(seq);
    });
  }

  /**
   * A full disk took a part of what was written. A failed sync dropped its pages (what PostgreSQL calls fsync-gate): a prefix may
   * have reached the disk, and nobody will ever be told how much.
   */
  #fail(): void {
    this.#world.cover(this.full ? "write-failed" : "sync-failed");
    this.#world.mark(this.name, this.full ? "write failed" : "sync failed");
    this.failNextSync = false;
    this.#loseInFlight(this.#syncing);
    this.#syncing = [];
    this.#queued = [];
    this.onFailed();
  }

  #latency(): number {
    const { syncMsMin, syncMsMean, stallChance, stallMs } = this.options;
    const usual = syncMsMin + this.#prng.exponential(syncMsMean);
    return (this.#prng.chance(stallChance) ? usual + this.#prng.float() * stallMs : usual) * this.slowness;
  }

  #perform(op: PersistOp): void {
    switch (op.kind) {
      case "append":
        assert(
          equalZxid(op.previous, this.last),
          () => `${this.name}: append after ${formatZxid(op.previous)}, but the log ends with ${formatZxid(this.last)}`,
        );
        for (const entry of op.entries) this.#append(entry);
        return;
      case "truncate": {
        const keep = equalZxid(op.after, this.#base) ? 0 : this.#indexOf(op.after) + 1;
        assert(
          keep > 0 || equalZxid(op.after, this.#base),
          () => `${this.name}: truncate to ${formatZxid(op.after)}, which is not in the log`,
        );
        this.#watcher.truncated(this.#entries.slice(keep));
        this.#entries.length = keep;
        return;
      }
      case "reset":
        assert(
          compareZxid(op.base, this.#checkpoint.at) <= 0,
          () => `${this.name}: log reset to ${formatZxid(op.base)}, above the checkpoint at ${formatZxid(this.#checkpoint.at)}`,
        );
        this.#base = op.base;
        this.#entries = [];
        return;
      case "epochs":
        assert(
          op.record.acceptedEpoch >= this.#epochs.acceptedEpoch && op.record.currentEpoch >= this.#epochs.currentEpoch,
          () => `${this.name}: a promise went back from ${JSON.stringify(this.#epochs)} to ${JSON.stringify(op.record)}`,
        );
        if (op.record.currentEpoch > this.#epochs.currentEpoch) this.#watcher.madeCurrent(this, op.record.currentEpoch);
        this.#epochs = op.record;
        if (op.record.damage !== undefined) this.#found = false;
        return;
      case "compact": {
        assert(
          compareZxid(op.upTo, this.#checkpoint.at) <= 0,
          () => `${this.name}: compact up to ${formatZxid(op.upTo)}, above the checkpoint at ${formatZxid(this.#checkpoint.at)}`,
        );
        const index = this.#indexOf(op.upTo);
        if (index < 0) return;
        this.#base = op.upTo;
        this.#entries = this.#entries.slice(index + 1);
        return;
      }
    }
  }

  #append(entry: Entry): void {
    const { last } = this;
    const follows =
      entry.zxid.epoch === last.epoch ? entry.zxid.counter === last.counter + 1 : entry.zxid.epoch > last.epoch && entry.zxid.counter === 1;
    assert(follows, () => `${this.name}: ${formatZxid(entry.zxid)} does not follow ${formatZxid(last)}`);
    this.#entries.push(entry);
  }

  // ---- the state port

  checkpoint(at: Zxid, writes: Iterable<StateWrite>, done: () => void): void {
    assert(this.#pendingCheckpoint === undefined, `${this.name}: two checkpoints at once`);
    this.#pendingCheckpoint = { at, writes };
    const life = this.#life;
    this.#world.after(this.#prng.exponential(this.options.checkpointMsMean) * this.slowness, () => {
      if (life !== this.#life) return;
      if (this.full) {
        this.#pendingCheckpoint = undefined;
        this.#fail();
        return;
      }
      this.#landCheckpoint();
      done();
    });
  }

  #landCheckpoint(): void {
    const pending = must(this.#pendingCheckpoint, "a checkpoint under way");
    this.#pendingCheckpoint = undefined;
    // Changed in place unless a snapshot still shows it as it was.
    const data = this.#ownState ? this.#state : new Map(this.#checkpoint.data);
    for (const { key, value } of pending.writes) {
      if (value === undefined) data.delete(key);
      else data.set(key, value);
    }
    this.#state = data;
    this.#ownState = true;
    this.#checkpoint = { at: pending.at, data };
  }

  pin(): { readonly snapshotId: string; readonly at: Zxid } {
    const snapshotId = `${this.name}-${this.#life}-${this.#nextPin++}`;
    this.#pins.set(snapshotId, this.#checkpoint);
    this.#ownState = false;
    return { snapshotId, at: this.#checkpoint.at };
  }

  release(snapshotId: string): void {
    this.#pins.delete(snapshotId);
  }

  snapshot(snapshotId: string): Checkpoint | undefined {
    return this.#pins.get(snapshotId);
  }

  /** Makes a fetched snapshot the state, in one atomic step after a write's time. */
  install(at: Zxid, data: ReadonlyMap<string, Uint8Array>, done: () => void): void {
    this.#pendingInstall = { at, data };
    const life = this.#life;
    this.#world.after(this.#prng.exponential(this.options.checkpointMsMean) * this.slowness, () => {
      if (life !== this.#life) return;
      this.#pendingInstall = undefined;
      if (this.full) {
        this.#fail();
        return;
      }
      this.#replaceState({ at, data });
      done();
    });
  }

  stateEntries(): Iterable<StateWrite> {
    const { data } = this.#checkpoint;
    return [...data].map(([key, value]) => ({ key, value }));
  }

  // ---- the end of a process, and a start

  /** The process died: in-flight work is lost from some point on. */
  crash(): void {
    this.#life += 1;
    this.#found = false;
    const inFlight = [...this.#syncing, ...this.#queued];
    this.#syncing = [];
    this.#queued = [];
    this.#loseInFlight(inFlight);
    if (this.#pendingCheckpoint !== undefined && this.#prng.chance(0.5)) this.#landCheckpoint();
    if (this.#pendingInstall !== undefined && this.#prng.chance(0.5)) {
      this.#replaceState(this.#pendingInstall);
      this.#world.cover("crash-between-install-and-reset");
    }
    this.#pendingCheckpoint = undefined;
    this.#pendingInstall = undefined;
    this.#pins.clear();
  }

  /** A random prefix survives, and the operation after it may be torn. */
  #loseInFlight(inFlight: readonly PersistRequest[]): void {
    const survive = this.#prng.chance(this.options.loseAllChance) ? 0 : this.#prng.int(0, inFlight.length);
    for (const request of inFlight.slice(0, survive)) this.#perform(request.op);
    const torn = inFlight[survive];
    if (torn?.op.kind === "append" && this.#prng.chance(this.options.tornChance)) {
      for (const entry of torn.op.entries.slice(0, this.#prng.int(0, torn.op.entries.length - 1))) this.#append(entry);
      this.#world.cover("torn-append");
    }
    if (survive < inFlight.length) this.#world.cover("unsynced-lost");
  }

  /** Rot: the log is readable only up to a random entry. Returns false when there is nothing to lose. */
  rot(): boolean {
    if (this.#entries.length === 0) return false;
    this.#entries.length = this.#prng.int(0, this.#entries.length - 1);
    this.#epochs = { ...this.#epochs, damage: this.#epochs.damage ?? "log" };
    return true;
  }

  /** The whole folder is gone; the node is given an empty one in a cluster that exists. */
  wipe(): void {
    this.#epochs = { acceptedEpoch: 0, currentEpoch: 0, configuration: this.#epochs.configuration, damage: "identity" };
    this.#base = ZXID_ZERO;
    this.#entries = [];
    this.#replaceState({ at: ZXID_ZERO, data: new Map() });
  }

  #replaceState(checkpoint: Checkpoint): void {
    this.#checkpoint = checkpoint;
    this.#ownState = false;
  }

  /** What storage hands to a replica at start. */
  recover(): Recovered {
    const { at } = this.#checkpoint;
    // An installed snapshot whose log reset was lost, or rot before the checkpoint: the log says nothing about what follows.
    if (!equalZxid(at, this.#base) && this.#indexOf(at) < 0) {
      this.#base = at;
      this.#entries = [];
    }
    this.#submittedLast = this.last;
    return {
      log: { epochs: this.#epochs, applied: at, base: this.#base, entries: [...this.#entries] },
      state: this.stateEntries(),
      findings: this.#epochs.damage === undefined ? [] : [`damage: ${this.#epochs.damage}`],
    };
  }

  /** Position of this very entry; -1 when it is not in the log. */
  #indexOf(zxid: Zxid): number {
    let low = 0;
    let high = this.#entries.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = compareZxid((this.#entries[middle] as Entry).zxid, zxid);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}
