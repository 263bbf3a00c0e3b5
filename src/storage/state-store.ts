/**
 * The state store: checkpoints, pinned snapshots for learners, and the staged install of a snapshot.
 *
 * Decides nothing about when. Every change of the state is one synced LevelDB batch that carries the new meta record with it; then
 * the witness is written; then the change counts. Checkpoints and the switch of an install exclude each other. A method that
 * rejects has failed on the disk, and the process must end; what can go wrong with a peer's snapshot is a returned value.
 */
import { randomBytes } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ChainedBatch } from "level";
import { assert, compareZxid, formatZxid } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { StateWrite } from "../replica/ports.js";
import { settled } from "./disk.js";
import type { Failpoint } from "./identity.js";
import type { PackedEntries } from "./packed-entries.js";
import type { SnapshotChunk, SnapshotEnd, SnapshotEntry } from "./snapshot.js";
import {
  encodeMeta,
  encodeWitness,
  keyPrefix,
  keyRange,
  loadGeneration,
  META_KEY,
  PAGE_ENTRIES,
  readStamp,
  STAMP_BYTES,
  stampedValue,
} from "./state-files.js";
import type { LoadedState, StateDb, StateMeta } from "./state-files.js";
import { StateDigest } from "./state-index.js";
import type { StateIndex } from "./state-index.js";

/** Work between two turns of the event loop. A longer stall looks like a dead node to its peers. */
const SLICE_MS = 4;
/** Writes between two looks at the clock. */
const SLICE_STEP = 16;
const CHUNK_BYTES = 128 * 1024;
const SCRATCH_BYTES = 64 * 1024;

export interface PinnedSnapshot extends SnapshotEnd {
  readonly snapshotId: string;
  readonly at: Zxid;
}

export interface StateMetrics {
  readonly keys: number;
  readonly applied: Zxid;
  readonly checkpoints: number;
  /** Turns of the event loop the last checkpoint was spread over while it was encoded. */
  readonly lastCheckpointSlices: number;
  readonly lastCheckpointMs: number;
  readonly installs: number;
  readonly pins: number;
}

/** A chained batch of this store. */
type Batch = Pick<ChainedBatch<StateDb, string, Uint8Array>, "put" | "del" | "write">;

export interface StateCallbacks {
  /** What is read back is not what was written. */
  readonly onDamaged: (finding: string) => void;
  /** The disk failed in the background. */
  readonly onFatal: (error: Error) => void;
}

/** The state as of one change, readable for as long as somebody uses it. */
interface View {
  readonly meta: StateMeta;
  readonly snapshot: ReturnType<StateDb["snapshot"]>;
  users: number;
}

export class StateStore {
  readonly #db: StateDb;
  readonly #witness: LoadedState["witness"];
  readonly #failpoint: Failpoint;
  readonly #callbacks: StateCallbacks;
  readonly #pins = new Map<string, View>();
  readonly #scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  readonly #token = randomBytes(4).toString("hex");
  #meta: StateMeta;
  #index: StateIndex;
  #view: View;
  #pinned = 0;
  #newestGeneration: number;
  #exclusive: Promise<unknown> = Promise.resolve();
  #cleaning: Promise<void>;
  #checkpoints = 0;
  #lastSlices = 0;
  #lastMs = 0;
  #installs = 0;

  constructor(loaded: LoadedState, failpoint: Failpoint, callbacks: StateCallbacks) {
    this.#db = loaded.db;
    this.#witness = loaded.witness;
    this.#meta = loaded.meta;
    this.#index = loaded.index;
    this.#failpoint = failpoint;
    this.#callbacks = callbacks;
    this.#newestGeneration = loaded.meta.generation;
    this.#view = this.#look();
    this.#cleaning = Promise.resolve();
    this.#clean(() => this.#cleanOthers());
  }

  get applied(): Zxid {
    return this.#meta.applied;
  }

  metrics(): StateMetrics {
    return {
      keys: this.#index.count,
      applied: this.#meta.applied,
      checkpoints: this.#checkpoints,
      lastCheckpointSlices: this.#lastSlices,
      lastCheckpointMs: this.#lastMs,
      installs: this.#installs,
      pins: this.#pins.size,
    };
  }

  /**
   * Writes `writes` and `at` as one atomic, synced batch, encoding in slices. Resolves with the zxid the durable state is at: `at`, or
   * the installed snapshot's zxid if one became the state after this call was made; then nothing of this checkpoint was written.
   */
  checkpoint(at: Zxid, writes: Iterable<StateWrite>): Promise<Zxid> {
    const { generation } = this.#meta;
    return this.#alone(async () => {
      if (this.#meta.generation !== generation) return this.#meta.applied;
      assert(
        compareZxid(at, this.#meta.applied) >= 0,
        () => `a checkpoint goes forward: ${formatZxid(at)} after ${formatZxid(this.#meta.applied)}`,
      );
      const startedMs = performance.now();
      const batch = this.#db.batch();
      const prefix = keyPrefix(generation);
      let slices = 1;
      let written = 0;
      let sliceMs = startedMs;
      for (const { key, value } of writes) {
        if (value === undefined) {
          this.#index.delete(key);
          batch.del(prefix + key);
        } else batch.put(prefix + key, stampedValue(this.#index.set(key, value), value, this.#scratch));
        if (++written % SLICE_STEP !== 0 || performance.now() - sliceMs < SLICE_MS) continue;
        await nextTurn();
        sliceMs = performance.now();
        slices++;
      }
      this.#failpoint("checkpoint.write.before");
      await this.#commit(batch, { generation, applied: at, installed: false }, this.#index);
      this.#failpoint("checkpoint.write.after");
      this.#checkpoints++;
      this.#lastSlices = slices;
      this.#lastMs = performance.now() - startedMs;
      return at;
    });
  }

  /** Pins the state as of the last change. */
  pin(): PinnedSnapshot {
    const view = this.#view;
    view.users++;
    const snapshotId = `${view.meta.sequence}.${++this.#pinned}.${this.#token}`;
    this.#pins.set(snapshotId, view);
    return { snapshotId, at: view.meta.applied, count: view.meta.count, digest: view.meta.digest };
  }

  /** Unknown ids are ignored: a pin may be released by the end of its reader and by its owner. */
  release(snapshotId: string): void {
    const view = this.#pins.get(snapshotId);
    if (view === undefined) return;
    this.#pins.delete(snapshotId);
    this.#leave(view);
  }

  /**
   * A pinned snapshot in chunks of about 128 KiB, the last with the count and digest. Several may be read at a time. Throws
   * RangeError for an unknown id; throws, after onDamaged, when the state on disk is not what was written.
   */
  async *readSnapshot(snapshotId: string): AsyncGenerator<SnapshotChunk, void, undefined> {
    const view = this.#pins.get(snapshotId);
    if (view === undefined) throw new RangeError(`no snapshot is pinned under ${JSON.stringify(snapshotId)}`);
    view.users++;
    const { generation, count, digest } = view.meta;
    const skip = keyPrefix(generation).length;
    const read = new StateDigest();
    const iterator = this.#db.iterator({ ...keyRange(generation), snapshot: view.snapshot, highWaterMarkBytes: CHUNK_BYTES });
    try {
      for (;;) {
        const page = await iterator.nextv(PAGE_ENTRIES);
        if (page.length === 0) break;
        const entries: SnapshotEntry[] = [];
        for (const [fullKey, bytes] of page) {
          const entry = { key: fullKey.slice(skip), value: bytes.subarray(STAMP_BYTES) };
          if (read.include(entry.key, entry.value) !== readStamp(bytes))
            throw this.#damaged(`the value of key ${JSON.stringify(entry.key)} fails its checksum`);
          entries.push(entry);
        }
        yield { entries };
      }
      if (read.count !== count || read.digest !== digest)
        throw this.#damaged(`the state should hold ${count} keys (digest ${digest}), but reads ${read.count}`);
      yield { entries: [], end: { count, digest } };
    } finally {
      await iterator.close();
      this.#leave(view);
    }
  }

  /** Starts a generation beside the one in force. It becomes the state only by {@link StagedInstall.finish}. */
  async beginInstall(at: Zxid): Promise<StagedInstall> {
    await this.#cleaning;
    const generation = ++this.#newestGeneration;
    const finish = (index: StateIndex): Promise<void> =>
      this.#alone(async () => {
        const old = this.#meta.generation;
        this.#failpoint("install.switch.before");
        await this.#commit(this.#db.batch(), { generation, applied: at, installed: true }, index);
        this.#failpoint("install.switch.after");
        this.#installs++;
        this.#clean(() => this.#cleanGeneration(old));
      });
    return new StagedInstall(this.#db, generation, finish, () => this.#clean(() => this.#cleanGeneration(generation)));
  }

  /** Waits for what is under way and closes the files. */
  async close(): Promise<void> {
    await this.#exclusive.catch(() => undefined);
    await this.#cleaning;
    await this.#db.close();
    await this.#witness.close();
  }

  async #commit(batch: Batch, change: Pick<StateMeta, "generation" | "applied" | "installed">, index: StateIndex): Promise<void> {
    const meta: StateMeta = { ...change, sequence: this.#meta.sequence + 1, count: index.count, digest: index.digest };
    batch.put(META_KEY, encodeMeta(meta));
    await batch.write({ sync: true });
    this.#meta = meta;
    this.#index = index;
    const old = this.#view;
    this.#view = this.#look();
    this.#leave(old);
    await settled((done) => this.#witness.write(encodeWitness(meta), done));
  }

  #look(): View {
    return { meta: this.#meta, snapshot: this.#db.snapshot(), users: 1 };
  }

  #leave(view: View): void {
    view.users--;
    if (view.users === 0) void view.snapshot.close();
  }

  /** One change at a time, in the order asked for. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#exclusive.then(change, change);
    this.#exclusive = result.catch(() => undefined);
    return result;
  }

  /** Removes a generation nobody needs and gives its space back. */
  async #cleanGeneration(generation: number): Promise<void> {
    const { gte, lt } = keyRange(generation);
    await this.#db.clear({ gte, lt });
    await compactRange(this.#db, gte, lt);
  }

  /** Cleaning goes on behind everybody's back, one job at a time. */
  #clean(job: () => Promise<void>): void {
    this.#cleaning = this.#cleaning
      .then(job)
      .catch((error: unknown) => this.#callbacks.onFatal(error instanceof Error ? error : new Error(String(error))));
  }

  /** Removes what an interrupted install or clean-up of an earlier process left. */
  async #cleanOthers(): Promise<void> {
    const { gte, lt } = keyRange(this.#meta.generation);
    await this.#db.clear({ gt: META_KEY, lt: gte });
    await this.#db.clear({ gte: lt });
  }

  #damaged(finding: string): Error {
    this.#callbacks.onDamaged(finding);
    return new Error(finding);
  }
}

/** A snapshot on its way in. Chunks are synced as they come, so that the final switch has only its own record to wait for. */
export class StagedInstall {
  readonly #db: StateDb;
  readonly #generation: number;
  readonly #prefix: string;
  readonly #finish: (index: StateIndex) => Promise<void>;
  readonly #clean: () => void;
  readonly #digest = new StateDigest();
  readonly #scratch = Buffer.allocUnsafe(SCRATCH_BYTES);

  constructor(db: StateDb, generation: number, finish: (index: StateIndex) => Promise<void>, clean: () => void) {
    this.#db = db;
    this.#generation = generation;
    this.#prefix = keyPrefix(generation);
    this.#finish = finish;
    this.#clean = clean;
  }

  async add(entries: readonly SnapshotEntry[]): Promise<void> {
    if (entries.length === 0) return;
    const batch = this.#db.batch();
    for (const { key, value } of entries)
      batch.put(this.#prefix + key, stampedValue(this.#digest.include(key, value), value, this.#scratch));
    // Why synced: LevelDB's sync covers only its current log file, so an unsynced chunk could be lost behind a synced switch.
    await batch.write({ sync: true });
  }

  /**
   * Reads everything back from disk, compares it with what the sender announced, and makes it the state in one synced step.
   * Returns the new state's entries, or what is wrong, in which case the old state is still in force.
   */
  async finish(end: SnapshotEnd): Promise<PackedEntries | string> {
    const expected = `${end.count} keys (digest ${end.digest})`;
    const problem = (got: StateDigest): string => `the snapshot should hold ${expected}, but holds ${got.count} (digest ${got.digest})`;
    const differs = (got: StateDigest): boolean => got.count !== end.count || got.digest !== end.digest;
    if (differs(this.#digest)) return this.#refuse(problem(this.#digest));
    const loaded = await loadGeneration(this.#db, this.#generation);
    if (loaded.problem !== undefined) return this.#refuse(loaded.problem);
    if (differs(loaded.index)) return this.#refuse(problem(loaded.index));
    await this.#finish(loaded.index);
    return loaded.entries;
  }

  abandon(): void {
    this.#clean();
  }

  #refuse(problem: string): string {
    this.abandon();
    return problem;
  }
}

async function compactRange(db: StateDb, start: string, end: string): Promise<void> {
  // LevelDB's own method, which the universal Level type does not declare.
  await (db as StateDb & { compactRange(start: string, end: string): Promise<void> }).compactRange(start, end);
}
