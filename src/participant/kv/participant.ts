/**
 * The embedded key-value participant: lifecycle, the contract's calls, and a local read API.
 *
 * Decides: when it may be used and with whom. What a call does is in branch-table.ts, what is durable in store.ts.
 */
import { gidProblem, nameProblem, QuorateError, silentLogger, type Logger } from "../../base/index.js";
import type {
  BranchRef,
  InDoubtFilter,
  OnePhaseResult,
  Participant,
  ParticipantCalls,
  ParticipantManifest,
  PrepareRequest,
  SettleResult,
  VoteResult,
} from "../contract.js";
import { BranchTable } from "./branch-table.js";
import type { Settled } from "./deferred.js";
import type { KvValue } from "./operation.js";
import { DATA_PREFIX, dataKey, decodeRow, decodeValue, type PreparedRow } from "./record.js";
import { StoreKey } from "./store-key.js";
import { KvStore } from "./store.js";

export interface KvOptions {
  /** The participant's name in the cluster. */
  readonly name: string;
  /** A folder of its own, made when missing. One process at a time. */
  readonly dir: string;
  /** How long a branch waits for a lock held by younger transactions before it votes no, ms. Default 2000. */
  readonly lockWaitMs?: number;
  /** How long it waits for one held by an older transaction, ms: no deadlock lasts longer. Default 100; 0 is plain wait-die. */
  readonly youngerLockWaitMs?: number;
  /** Branches held at once; prepares beyond it are rejected to be asked again. Default 100000. */
  readonly branchesMax?: number;
  /** See Participant.scanIntervalMs. Default 1000. */
  readonly scanIntervalMs?: number;
  /** Bytes of log after which its content is moved to LevelDB: bounds the log and the time of a start. Default 32 MiB. */
  readonly checkpointBytes?: number;
  /** Changed keys after which it is: bounds memory. Default 100000. */
  readonly checkpointRecords?: number;
  /** Size of a file of the log, filled before it is used. Default 8 MiB. */
  readonly logSegmentBytes?: number;
  readonly logger?: Logger;
}

export interface KvEntry {
  readonly key: string;
  readonly value: KvValue;
}

export interface KvRange {
  readonly gte?: string;
  readonly lt?: string;
  readonly limit?: number;
}

/** What is known of one branch. `reads`: what its `get` operations read, in their order; null: the key was not there. */
export interface KvBranchView {
  readonly state: "waiting" | "voting" | "prepared" | "committing" | "rolling-back" | "committed" | "rolled-back" | "unknown";
  readonly reads: readonly (KvValue | null)[];
}

export interface KvStats {
  /** Keys and branch rows stored. */
  readonly records: number;
  /** Groups of writes made durable since the store was made. */
  readonly groups: number;
  readonly epoch: number;
  readonly floorMs: number;
  /** Branches waiting for a lock. */
  readonly waiting: number;
  /** Branches that voted yes and wait for their decision. */
  readonly prepared: number;
  /** Branches that hold or wait for locks, in any phase: also those whose decision has arrived and is not durable yet. */
  readonly held: number;
}

export interface KvParticipant extends Participant {
  readonly kind: "kv";
  readonly scanIntervalMs: number;
  commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult>;
  forgetBelow(floorMs: number): Promise<void>;
  /** The committed value, outside any transaction: no lock is taken, a prepared change is not seen. */
  get(key: string): Promise<KvValue | undefined>;
  /** Committed entries in key order (by their UTF-8 bytes), outside any transaction, as of the first step. */
  scan(range?: KvRange): AsyncGenerator<KvEntry>;
  branch(ref: BranchRef): Promise<KvBranchView>;
  stats(): KvStats;
}

/** Makes an embedded key-value participant. Nothing is opened before `start`. Throws QUORATE_INVALID_ARGUMENT on a bad name. */
export function kv(options: KvOptions): KvParticipant {
  return new EmbeddedKv(options);
}

interface Opened {
  readonly store: KvStore;
  readonly branches: BranchTable;
}

const MIB = 1024 * 1024;
/** Default, least and most of each size that may be set. */
const SIZES = {
  checkpointBytes: { value: 32 * MIB, min: 64 * 1024, max: 4096 * MIB },
  checkpointRecords: { value: 100_000, min: 1, max: 10_000_000 },
  logSegmentBytes: { value: 8 * MIB, min: 8 * 1024, max: 1024 * MIB },
} as const;
type Size = keyof typeof SIZES;

/** After the last data key: the byte after the prefix's colon. */
const DATA_END = ";";

function promised<T>(call: (done: Settled<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => call((error, value) => (error === undefined ? resolve(value as T) : reject(error as Error))));
}

class EmbeddedKv implements KvParticipant {
  readonly kind = "kv";
  readonly name: string;
  readonly manifest: ParticipantManifest = { asked: true, brought: false, readOnlyVote: false, onePhase: true };
  readonly scanIntervalMs: number;
  readonly direct: ParticipantCalls = {
    of: this,
    prepare: (request, done) => this.#prepare(request, done),
    commit: (ref, done) => this.#use().branches.commit(ref, done),
    rollback: (ref, done) => this.#use().branches.rollback(ref, done),
  };
  readonly #options: KvOptions;
  readonly #logger: Logger;
  #opening: Promise<Opened> | undefined;
  #opened: Opened | undefined;
  #closed = false;

  constructor(options: KvOptions) {
    const problem = nameProblem("participant name", options.name);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    for (const setting of Object.keys(SIZES) as Size[]) {
      const { min, max } = SIZES[setting];
      const given = options[setting];
      if (given !== undefined && !(Number.isSafeInteger(given) && given >= min && given <= max))
        throw new QuorateError("QUORATE_INVALID_ARGUMENT", `${setting} must be an integer from ${min} to ${max}, got ${given}`);
    }
    this.name = options.name;
    this.scanIntervalMs = options.scanIntervalMs ?? 1000;
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  async start(clusterId: string): Promise<void> {
    if (this.#closed) throw new QuorateError("QUORATE_CLOSED", `participant "${this.name}" is closed`);
    const { store } = await (this.#opening ??= this.#open());
    const { clusterId: owner } = store.state;
    if (owner === clusterId) return;
    if (owner !== "")
      throw new QuorateError(
        "QUORATE_DATA_FOLDER",
        `key-value data folder ${this.#options.dir} belongs to cluster ${owner}, not ${clusterId}: its promises can only be settled there`,
      );
    store.amend({ clusterId });
    await new Promise<void>((resolve, reject) => store.submit([], (error) => (error === undefined ? resolve() : reject(error))));
  }

  async #open(): Promise<Opened> {
    const { name, dir, lockWaitMs = 2000, youngerLockWaitMs = 100, branchesMax = 100_000 } = this.#options;
    const size = (setting: Size): number => this.#options[setting] ?? SIZES[setting].value;
    const { store, prepared, findings } = await KvStore.open({
      dir,
      participant: name,
      checkpointBytes: size("checkpointBytes"),
      checkpointRecords: size("checkpointRecords"),
      logSegmentBytes: size("logSegmentBytes"),
      onFailure: (error) => this.#logger.error({ participant: name, dir, err: error }, error.message),
    });
    for (const finding of findings) this.#logger.warn({ participant: name, dir }, finding);
    const branches = new BranchTable(store, { waitMs: lockWaitMs, youngerWaitMs: youngerLockWaitMs }, branchesMax);
    try {
      for (const [key, record] of prepared) branches.recover(key, decodeRow(record) as PreparedRow);
    } catch (error) {
      await store.close();
      throw error;
    }
    this.#logger.info({ participant: name, dir, records: store.state.records, prepared: prepared.length }, "key-value participant opened");
    return (this.#opened = { store, branches });
  }

  async prepare(request: PrepareRequest): Promise<VoteResult> {
    return promised((done) => this.#prepare(request, done));
  }

  #prepare(request: PrepareRequest, done: Settled<VoteResult>): void {
    const problem = gidProblem(request.gid) ?? nameProblem("branch", request.branch);
    if (problem !== undefined) return done(undefined, { vote: "no", detail: problem });
    this.#use().branches.prepare(request, done);
  }

  async commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult> {
    const problem = gidProblem(request.gid) ?? nameProblem("branch", request.branch);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    return this.#use().branches.commitOnePhase(request);
  }

  async commit(ref: BranchRef): Promise<SettleResult> {
    const { branches } = this.#use();
    return promised((done) => branches.commit(ref, done));
  }

  async rollback(ref: BranchRef): Promise<SettleResult> {
    const { branches } = this.#use();
    return promised((done) => branches.rollback(ref, done));
  }

  async listInDoubt(filter: InDoubtFilter = {}): Promise<readonly BranchRef[]> {
    return this.#use().branches.inDoubt(filter.olderThanMs ?? 0);
  }

  async forgetBelow(floorMs: number): Promise<void> {
    if (!Number.isSafeInteger(floorMs) || floorMs < 0 || floorMs >= 2 ** 48)
      throw new QuorateError("QUORATE_INVALID_ARGUMENT", `floorMs must be milliseconds since 1970, got ${floorMs}`);
    return this.#use().branches.forgetBelow(floorMs);
  }

  async get(key: string): Promise<KvValue | undefined> {
    const record = this.#use().store.read(new StoreKey(dataKey(key)));
    return record === undefined ? undefined : decodeValue(record);
  }

  async *scan(range: KvRange = {}): AsyncGenerator<KvEntry> {
    const gte = dataKey(range.gte ?? "");
    const lt = range.lt === undefined ? DATA_PREFIX.slice(0, -1) + DATA_END : dataKey(range.lt);
    let left = range.limit ?? Number.POSITIVE_INFINITY;
    if (left <= 0) return;
    for await (const [key, record] of this.#use().store.range(gte, lt)) {
      yield { key: key.slice(DATA_PREFIX.length), value: decodeValue(record) };
      if (--left <= 0) return;
    }
  }

  async branch(ref: BranchRef): Promise<KvBranchView> {
    return this.#use().branches.look(ref);
  }

  stats(): KvStats {
    const { store, branches } = this.#use();
    const { records, sequence, epoch, floorMs } = store.state;
    const { waiting, prepared, held } = branches.counts();
    return { records, groups: sequence, epoch, floorMs, waiting, prepared, held };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const opening = this.#opening;
    if (opening === undefined) return;
    const opened = await opening.catch(() => undefined);
    await opened?.store.close();
  }

  #use(): Opened {
    if (this.#closed) throw new QuorateError("QUORATE_CLOSED", `participant "${this.name}" is closed`);
    if (this.#opened === undefined)
      throw new QuorateError("QUORATE_PARTICIPANT", `participant "${this.name}" is not started`, { retry: "safe" });
    return this.#opened;
  }
}
