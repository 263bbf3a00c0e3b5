/**
 * The store under the key-value participant: a log of its own in front of LevelDB, and the group commit to it.
 *
 * Durability: everything submitted in one turn of the event loop is one group, one entry of the log; whenever the previous write of the
 * log is durable, the groups that came meanwhile are written, and durable, at once (src/storage has the writer). Then a group's changes
 * enter the overlay, where readers see them, and its waiters are told. When the log or the overlay has grown enough, a checkpoint
 * moves the overlay to LevelDB and cuts the log in front.
 *
 * Decides: what is durable. Does not decide whether a store may open (open-store.ts) nor what a record means (branch-table.ts).
 */
import type { Level } from "level";
import { assert, messageOf, QuorateError, zxid } from "../../base/index.js";
import type { LogWriter } from "../../storage/index.js";
import { Checkpoint } from "./checkpoint.js";
import { encodeGroup, writeBytes, type PackedGroup, type StoreState, type Write } from "./group.js";
import { damagedRecord, LOG_EPOCH, openFiles, type OpenedFiles } from "./open-store.js";
import type { Overlay } from "./overlay.js";
import { BRANCH_PREFIX, fingerprintOf, isIntact, SUM_MODULUS } from "./record.js";
import { StoreKey } from "./store-key.js";

/**
 * Whoever submitted writes; called once. With an error the writes may or may not be durable, and the store takes no more; without one
 * they are.
 */
export type Waiter = (error: QuorateError | undefined) => void;

/** What was submitted in one turn of the event loop, and up to which request of the log it is. */
interface Group {
  readonly seq: number;
  readonly sequence: number;
  readonly state: StoreState;
  readonly packed: PackedGroup;
  readonly waiters: readonly Waiter[];
}

/** A turn's submissions are more than one group when they are larger than this. */
const GROUP_BYTES_MAX = 1 << 20;
/** New work waits outside when a checkpoint has fallen behind so much. */
const BEHIND = 4;

export interface StoreOptions {
  readonly dir: string;
  readonly participant: string;
  readonly checkpointBytes: number;
  readonly checkpointRecords: number;
  readonly logSegmentBytes: number;
  /** Told once, when a read or write fails; from then on every submission fails. */
  readonly onFailure: (error: QuorateError) => void;
}

export class KvStore {
  readonly #lock: OpenedFiles["lock"];
  readonly #level: Level<string, Buffer>;
  readonly #log: LogWriter;
  readonly #overlay: Overlay;
  readonly #checkpoint: Checkpoint;
  readonly #options: StoreOptions;
  /** As of everything submitted. */
  #state: StoreState;
  #sequence: number;
  /** As of what is durable. */
  #durable: { readonly sequence: number; readonly state: StoreState };
  #lists: (readonly Write[])[] = [];
  #waiters: Waiter[] = [];
  #scheduled = false;
  /** In the log's hands, oldest first. */
  #groups: Group[] = [];
  #seq = 0;
  /** Bytes of groups since the last checkpoint began. */
  #logBytes: number;
  #checkpointing: Promise<void> | undefined;
  #failure: QuorateError | undefined;
  #idle: (() => void) | undefined;

  private constructor(files: OpenedFiles, options: StoreOptions) {
    this.#lock = files.lock;
    this.#level = files.level;
    this.#log = files.log;
    this.#overlay = files.overlay;
    this.#checkpoint = new Checkpoint(files.level, files.head, files.lastRow);
    this.#options = options;
    this.#state = files.state;
    this.#sequence = files.sequence;
    this.#logBytes = files.replayedBytes;
    this.#durable = { sequence: files.sequence, state: files.state };
  }

  /**
   * Opens or makes the store, checks all of LevelDB and replays the log. Rejects with QUORATE_DATA_FOLDER when the folder is in use,
   * belongs to another participant, or lost something it had promised.
   */
  static async open(options: StoreOptions): Promise<{ readonly store: KvStore } & Pick<OpenedFiles, "prepared" | "findings">> {
    /** What the log says before there is a store to hear it. */
    const opened: { store?: KvStore; failure?: Error } = {};
    const files = await openFiles({
      dir: options.dir,
      participant: options.participant,
      logSegmentBytes: options.logSegmentBytes,
      onPersisted: (seq) => {
        if (opened.store !== undefined) opened.store.#persisted(seq);
      },
      onFatal: (error) => {
        if (opened.store === undefined) opened.failure = error;
        else opened.store.#fail(error);
      },
    });
    const store = new KvStore(files, options);
    opened.store = store;
    if (opened.failure !== undefined) store.#fail(opened.failure);
    store.#checkpointIfDue();
    return { store, prepared: files.prepared, findings: files.findings };
  }

  /** Everything submitted included. `sequence`: groups. */
  get state(): StoreState & { readonly sequence: number } {
    return { ...this.#state, sequence: this.#sequence };
  }

  get epoch(): number {
    return this.#state.epoch;
  }

  get floorMs(): number {
    return this.#state.floorMs;
  }

  /** A checkpoint has fallen so far behind that memory and log would grow beyond their bounds: no new work. */
  get behind(): boolean {
    const { checkpointBytes, checkpointRecords } = this.#options;
    return this.#overlay.dirty >= BEHIND * checkpointRecords || this.#logBytes >= BEHIND * checkpointBytes;
  }

  /** The durable record of a key. Throws when the store has failed, or when the record is damaged: then it fails. */
  read(key: StoreKey): Buffer | undefined {
    // After a failure nothing is answered from what may be in memory only.
    if (this.#failure !== undefined) throw this.#failure;
    const change = this.#overlay.get(key);
    if (change !== undefined) return change ?? undefined;
    const { text } = key;
    if (text.startsWith(BRANCH_PREFIX) && this.#checkpoint.lacks(text)) return undefined;
    let record: Buffer | undefined;
    try {
      record = this.#level.getSync(text);
    } catch (error) {
      throw this.#fail(error);
    }
    if (record === undefined || isIntact(key, record)) return record;
    throw this.#fail(new Error(damagedRecord(text)));
  }

  /** Records of [gte, lt) in key order, as of the first step. Every one is checked. */
  async *range(gte: string, lt: string): AsyncGenerator<readonly [string, Buffer]> {
    if (this.#failure !== undefined) throw this.#failure;
    const bounds = { gte: Buffer.from(gte), lt: Buffer.from(lt) };
    // In one step, before any wait: a checkpoint may move changes from the one to the other afterwards.
    const changes = this.#overlay.range(bounds.gte, bounds.lt);
    const entries = this.#level.iterator<Buffer, Buffer>({ ...bounds, keyEncoding: "buffer", valueEncoding: "buffer" });
    let next = 0;
    try {
      for (;;) {
        const entry = await entries.next().catch((error: unknown) => {
          throw this.#fail(error);
        });
        let replaced = false;
        for (let change = changes[next]; change !== undefined && !replaced; change = changes[++next]) {
          const order = entry === undefined ? -1 : Buffer.compare(change.key, entry[0]);
          if (order > 0) break;
          replaced = order === 0;
          if (change.record !== undefined) yield [change.key.toString("utf8"), change.record];
        }
        if (entry === undefined) return;
        if (replaced) continue;
        const key = entry[0].toString("utf8");
        if (!isIntact(new StoreKey(key), entry[1])) throw this.#fail(new Error(damagedRecord(key)));
        yield [key, entry[1]];
      }
    } finally {
      await entries.close();
    }
  }

  /** Changes of the state that are durable with the next group. */
  amend(change: Partial<Pick<StoreState, "clusterId" | "epoch" | "floorMs">>): void {
    this.#state = { ...this.#state, ...change };
  }

  /** Queues writes; they become durable together, after everything submitted earlier. */
  submit(writes: readonly Write[], waiter: Waiter): void {
    if (this.#failure !== undefined) return waiter(this.#failure);
    this.#lists.push(writes);
    this.#waiters.push(waiter);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // One turn of the event loop is one group, however many calls it brings.
    setImmediate(() => this.#write());
  }

  /** Makes durable what is queued, then closes. */
  async close(): Promise<void> {
    if (this.#scheduled || this.#groups.length > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#failure ??= new QuorateError("QUORATE_CLOSED", "the key-value store is closed");
    await this.#checkpointing;
    await this.#log.close();
    await this.#level.close();
    await this.#lock.release();
  }

  #write(): void {
    this.#scheduled = false;
    const [lists, waiters] = [this.#lists, this.#waiters];
    this.#lists = [];
    this.#waiters = [];
    for (let from = 0, to = 0; from < lists.length; from = to) {
      if (this.#failure !== undefined) return fail(waiters.slice(from), this.#failure);
      let count = 0;
      let bytes = 0;
      while (to < lists.length && bytes < GROUP_BYTES_MAX) {
        const writes = lists[to++] as readonly Write[];
        count += writes.length;
        for (const write of writes) bytes += writeBytes(write);
      }
      const whole = from === 0 && to === lists.length;
      this.#append(whole ? lists : lists.slice(from, to), whole ? waiters : waiters.slice(from, to), count, bytes);
    }
    this.#settleIdle();
  }

  #append(lists: readonly (readonly Write[])[], waiters: readonly Waiter[], count: number, bytes: number): void {
    let { records, sum } = this.#state;
    for (const writes of lists) {
      for (const { record, before } of writes) {
        // Sums of at most a group's records stay far below 2^53 between two reductions.
        if (before !== undefined) sum -= before;
        if (record !== undefined) sum += fingerprintOf(record);
        records += (record === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
      }
    }
    assert(records >= 0, "the store cannot hold fewer than no records");
    this.#state = { ...this.#state, records, sum: ((sum % SUM_MODULUS) + SUM_MODULUS) % SUM_MODULUS };
    const packed = encodeGroup(this.#state, lists, count, bytes);
    const payload = packed.bytes;
    const previous = zxid(LOG_EPOCH, this.#sequence++);
    this.#logBytes += payload.length;
    this.#groups.push({ seq: ++this.#seq, sequence: this.#sequence, state: this.#state, packed, waiters });
    const entries = [{ zxid: zxid(LOG_EPOCH, this.#sequence), payload }];
    this.#log.submit([{ seq: this.#seq, op: { kind: "append", previous, entries } }]);
  }

  /** Every request of the log up to this one is durable. */
  #persisted(seq: number): void {
    if (this.#failure !== undefined) return;
    let count = 0;
    for (let group = this.#groups[0]; group !== undefined && group.seq <= seq; group = this.#groups[++count]) {
      this.#overlay.apply(group.packed);
      this.#durable = group;
    }
    if (count === 0) return;
    for (const { waiters } of this.#groups.splice(0, count)) for (const waiter of waiters) waiter(undefined);
    this.#checkpointIfDue();
    this.#settleIdle();
  }

  #checkpointIfDue(): void {
    const { checkpointBytes, checkpointRecords } = this.#options;
    if (this.#checkpointing !== undefined || this.#failure !== undefined) return;
    if (this.#overlay.dirty < checkpointRecords && this.#logBytes < checkpointBytes) return;
    this.#logBytes = 0;
    this.#checkpointing = this.#runCheckpoint().then(
      () => {
        this.#checkpointing = undefined;
        this.#checkpointIfDue();
      },
      (error: unknown) => void this.#fail(error),
    );
  }

  async #runCheckpoint(): Promise<void> {
    const { sequence, state } = this.#durable;
    const { clusterId, epoch, floorMs } = state;
    const changes = this.#overlay.freeze();
    const next = { sequence, clusterId, epoch, floorMs, log: this.#log.synced };
    await this.#checkpoint.write(changes, next, () => this.#failure === undefined);
    if (this.#failure !== undefined) return;
    this.#overlay.thaw();
    // Durability: LevelDB has what these segments hold before they go.
    this.#log.submit([{ seq: ++this.#seq, op: { kind: "compact", upTo: zxid(LOG_EPOCH, sequence) } }]);
  }

  #settleIdle(): void {
    if (!this.#scheduled && this.#groups.length === 0) this.#idle?.();
  }

  /**
   * No write is tried again after a failed one: the kernel may have dropped the dirty pages and report success the next time
   * ("fsyncgate", 2018). What is durable is found out by opening the store anew.
   */
  #fail(error: unknown): QuorateError {
    if (this.#failure !== undefined) return this.#failure;
    const failure = new QuorateError("QUORATE_PARTICIPANT", `the key-value store stopped: ${messageOf(error)}; restart the participant`, {
      cause: error,
      retry: "safe",
    });
    this.#failure = failure;
    this.#log.stop(error);
    this.#options.onFailure(failure);
    const waiters = [...this.#groups.flatMap((group) => group.waiters), ...this.#waiters];
    this.#groups = [];
    this.#lists = [];
    this.#waiters = [];
    fail(waiters, failure);
    this.#settleIdle();
    return failure;
  }
}

function fail(waiters: readonly Waiter[], error: QuorateError): void {
  for (const waiter of waiters) waiter(error);
}
