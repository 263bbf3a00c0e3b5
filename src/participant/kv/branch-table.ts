/**
 * The branches this participant holds, and what each call does to them.
 *
 *   (none) --prepare--> waiting --locks--> voting --durable--> prepared --commit--> committing --durable--> (committed row)
 *                                                                \------rollback--> rolling-back --durable--> (rolled-back row)
 *   (none) --one-phase--> waiting --locks--> committing --durable--> (committed row), or on any obstacle rolling-back
 *
 * `waiting` is for locks; `voting`, `committing` and `rolling-back` are for the group commit. A rollback may arrive in any phase and
 * of a branch never seen: it leaves its row, so that a late prepare is refused. A branch in the table answers from memory, one that
 * is not from its row, one that has no row from the floor.
 *
 * Invariant: from a durable yes until the outcome is durable the branch keeps every lock, reads included. Therefore it never votes
 * read-only: only those who voted yes are told the outcome, and releasing read locks at the vote would let another transaction
 * change what this one read before it commits elsewhere.
 */
import { gidTimeMs, must, QuorateError, unreachable } from "../../base/index.js";
import type { BranchRef, OnePhaseResult, PrepareRequest, SettleResult, VoteResult } from "../contract.js";
import { Branch, idOf, type Phase } from "./branch.js";
import type { Deferred, Settled } from "./deferred.js";
import { evaluate, locksOf, type LockWant } from "./evaluate.js";
import { LockTable, type LockTimeouts } from "./locks.js";
import { decodeKvPayload, type KvOperation, type KvValue } from "./operation.js";
import {
  BRANCH_PREFIX,
  branchKey,
  branchKeyFloor,
  dataKey,
  decodeRow,
  decodeValue,
  encodeOutcome,
  encodePrepared,
  encodeValue,
  fingerprintOf,
  isPrepared,
  parseBranchKey,
  type OutcomeRow,
  type PreparedRow,
} from "./record.js";
import type { Write } from "./group.js";
import { StoreKey } from "./store-key.js";
import type { KvStore } from "./store.js";

const YES: VoteResult = { vote: "yes", detail: "" };
const DONE: SettleResult = { kind: "done" };
const COMMITTED: OnePhaseResult = { kind: "committed" };
const FORGET_SLICE = 1000;
/** Longer lists of keys are searched by a map. */
const SEARCH_MAX = 8;

export interface BranchCounts {
  readonly waiting: number;
  readonly prepared: number;
  readonly held: number;
}

export class BranchTable {
  readonly #store: KvStore;
  readonly #locks: LockTable;
  readonly #branches = new Map<string, Branch>();
  readonly #branchesMax: number;
  #forgetting: Promise<void> = Promise.resolve();

  constructor(store: KvStore, timeouts: LockTimeouts, branchesMax: number) {
    this.#store = store;
    this.#locks = new LockTable(timeouts);
    this.#branchesMax = branchesMax;
  }

  /**
   * Takes over a prepared branch found at open: its locks are held again before anything else runs. Throws QUORATE_DATA_FOLDER when
   * a locked record is not the one it voted on.
   */
  recover(storeKey: string, row: PreparedRow): void {
    const ref = parseBranchKey(storeKey);
    const branch = new Branch(ref, "prepared", idOf(ref), new StoreKey(storeKey));
    const decoded = decodeKvPayload(row.payload);
    const lost = (what: string): QuorateError =>
      new QuorateError("QUORATE_DATA_FOLDER", `prepared branch ${branch.ref.gid}/${branch.ref.branch}: ${what}`, { gid: branch.ref.gid });
    if ("problem" in decoded) throw lost(decoded.problem);
    branch.operations = decoded.operations;
    branch.wants = locksOf(decoded.operations);
    let holds = false;
    branch.onLocks = (refusal) => (holds = refusal === undefined);
    this.#locks.acquire(branch, branch.wants);
    if (!holds) throw lost("another prepared branch holds one of its locks");
    const versions = this.#work(branch);
    if (typeof versions === "string") throw lost(versions);
    if (versions.length !== row.versions.length || versions.some((version, i) => version !== row.versions[i]))
      throw lost("a record under its locks is not the one it voted on");
    branch.reads = row.reads;
    branch.epoch = row.epoch;
    branch.payload = row.payload;
    branch.rowFingerprint = fingerprintOf(must(this.#store.read(branch.storeKey), "the row of a prepared branch"));
    this.#branches.set(branch.id, branch);
  }

  prepare(request: PrepareRequest, done: Settled<VoteResult>): void {
    const id = idOf(request);
    const known = this.#branches.get(id);
    if (known !== undefined) return voteAgain(known, done);
    const storeKey = new StoreKey(branchKey(request));
    const row = this.#row(storeKey);
    if (row !== undefined) return done(undefined, row.state === "committed" ? YES : no("the branch was rolled back before"));
    const { epoch, floorMs } = this.#store;
    if (gidTimeMs(request.gid) < floorMs) return done(undefined, no("expired: the gid is below the floor of this participant"));
    // Only new work is fenced. A vote given before stands, whoever asks for it again.
    if (request.epoch < epoch) return done(undefined, no(`fenced: the prepare is of epoch ${request.epoch}, and epoch ${epoch} was seen`));
    const decoded = decodeKvPayload(request.payload);
    if ("problem" in decoded) return done(undefined, no(decoded.problem));
    const overloaded = this.#overloaded();
    if (overloaded !== undefined) return done(overloaded, undefined);
    const branch = this.#begun(request, id, storeKey, decoded.operations);
    branch.vote.listen(done);
    branch.onLocks = (refusal) => {
      if (refusal === undefined) return this.#vote(branch);
      this.#branches.delete(id);
      branch.vote.resolve(no(refusal));
    };
    this.#locks.acquire(branch, branch.wants);
  }

  /** See Participant.commitOnePhase. The work and the row that says so are one atomic write; a refusal is a rolled-back row. */
  async commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult> {
    const id = idOf(request);
    const storeKey = new StoreKey(branchKey(request));
    const known = this.#branches.get(id);
    if (known?.onePhase === true || known?.phase === "committing" || known?.phase === "rolling-back") return endOf(known);
    if (known === undefined) {
      const row = this.#row(storeKey);
      if (row !== undefined)
        return row.state === "committed" ? COMMITTED : { kind: "refused", detail: "the branch was rolled back before" };
    }
    const { epoch, floorMs } = this.#store;
    const couldNotTell = (why: string): QuorateError => new QuorateError("QUORATE_PARTICIPANT", why, { retry: "safe", gid: request.gid });
    // Nothing is known here of the branch, and nothing may be made up: the caller is a leader of the past.
    if (gidTimeMs(request.gid) < floorMs) throw couldNotTell("expired: the gid is below the floor of this participant");
    if (request.epoch < epoch) throw couldNotTell(`fenced: the one-phase commit is of epoch ${request.epoch}, and epoch ${epoch} was seen`);
    if (known?.phase === "prepared") {
      if (request.epoch > epoch) this.#store.amend({ epoch: request.epoch });
      this.#settle(known, "committing", known.writes, { state: "committed", reads: known.reads });
      return endOf(known);
    }
    if (known !== undefined) {
      // A prepare of an earlier leader is under way. What it comes to is what there is to commit.
      await known.vote.promise;
      return this.commitOnePhase(request);
    }
    const overloaded = this.#overloaded();
    if (overloaded !== undefined) throw overloaded;
    const decoded = decodeKvPayload(request.payload);
    const branch = this.#begun(request, id, storeKey, "problem" in decoded ? [] : decoded.operations);
    branch.onePhase = true;
    const refuse = (detail: string): void => {
      branch.refusal = detail;
      this.#locks.release(branch);
      this.#settle(branch, "rolling-back", [], { state: "rolled-back", reads: [] });
    };
    branch.onLocks = (refusal) => (refusal === undefined ? this.#commitWork(branch, refuse) : refuse(refusal));
    if ("problem" in decoded) refuse(decoded.problem);
    else this.#locks.acquire(branch, branch.wants);
    return endOf(branch);
  }

  /** Why no new work is taken now; undefined: it is. */
  #overloaded(): QuorateError | undefined {
    if (this.#branches.size >= this.#branchesMax)
      return new QuorateError("QUORATE_OVERLOADED", `${this.#branches.size} branches are held; the limit is branchesMax`, {
        retry: "safe",
      });
    if (!this.#store.behind) return undefined;
    return new QuorateError("QUORATE_OVERLOADED", "LevelDB is far behind the log; new work waits for the checkpoint", { retry: "safe" });
  }

  /** New work enters the table, and its epoch counts from now on. */
  #begun(request: PrepareRequest, id: string, storeKey: StoreKey, operations: readonly KvOperation[]): Branch {
    if (request.epoch > this.#store.epoch) this.#store.amend({ epoch: request.epoch });
    const branch = new Branch(request, "waiting", id, storeKey);
    branch.operations = operations;
    branch.wants = locksOf(operations);
    branch.payload = request.payload;
    branch.epoch = request.epoch;
    this.#branches.set(id, branch);
    return branch;
  }

  commit(ref: BranchRef, done: Settled<SettleResult>): void {
    const branch = this.#branches.get(idOf(ref));
    if (branch === undefined) return done(undefined, this.#committedBefore(ref));
    switch (branch.phase) {
      case "waiting":
      case "voting":
        // Only after a failover can the decision overtake a repeated prepare. What the vote turns out to be decides.
        return this.#after(branch.onePhase ? branch.settled : branch.vote, done, () => this.commit(ref, done));
      case "prepared":
        branch.settled.listen(done);
        return this.#settle(branch, "committing", branch.writes, { state: "committed", reads: branch.reads });
      case "committing":
        return branch.settled.listen(done);
      case "rolling-back":
        return this.#after(branch.settled, done, () => this.commit(ref, done));
      default:
        return unreachable(branch.phase);
    }
  }

  #committedBefore(ref: BranchRef): SettleResult {
    const row = this.#row(new StoreKey(branchKey(ref)));
    if (row?.state === "committed") return DONE;
    if (row !== undefined) return { kind: "heuristic", outcome: "rolled-back", detail: "the branch was rolled back here before" };
    // Rows go only after the cluster forgot the gid, which it does only after this participant acknowledged.
    if (gidTimeMs(ref.gid) < this.#store.floorMs) return DONE;
    return { kind: "heuristic", outcome: "hazard", detail: "this participant has no record of the branch: its promise was lost" };
  }

  rollback(ref: BranchRef, done: Settled<SettleResult>): void {
    const id = idOf(ref);
    const known = this.#branches.get(id);
    if (known === undefined) return this.#rollbackUnknown(ref, id, done);
    switch (known.phase) {
      case "waiting":
        this.#locks.release(known);
        known.refusal = "the branch was rolled back while it waited for a lock";
        known.settled.listen(done);
        this.#settle(known, "rolling-back", [], { state: "rolled-back", reads: [] });
        if (!known.onePhase) known.vote.resolve(no(known.refusal));
        return;
      case "voting":
      case "prepared":
        known.settled.listen(done);
        return this.#settle(known, "rolling-back", [], { state: "rolled-back", reads: [] });
      case "rolling-back":
        return known.settled.listen(done);
      case "committing":
        return this.#after(known.settled, done, () => this.rollback(ref, done));
      default:
        return unreachable(known.phase);
    }
  }

  #rollbackUnknown(ref: BranchRef, id: string, done: Settled<SettleResult>): void {
    const storeKey = new StoreKey(branchKey(ref));
    const row = this.#row(storeKey);
    if (row?.state === "committed")
      return done(undefined, { kind: "heuristic", outcome: "committed", detail: "the branch was committed here before" });
    if (row !== undefined || gidTimeMs(ref.gid) < this.#store.floorMs) return done(undefined, DONE);
    const mark = new Branch(ref, "rolling-back", id, storeKey);
    this.#branches.set(id, mark);
    mark.settled.listen(done);
    this.#settle(mark, "rolling-back", [], { state: "rolled-back", reads: [] });
  }

  /** Calls again when what is under way has come to its end; `done` hears what keeps it from that. */
  #after(
    underWay: Deferred<VoteResult> | Deferred<SettleResult>,
    done: (error: unknown, value: undefined) => void,
    again: () => void,
  ): void {
    underWay.listen((error) => {
      if (error !== undefined) return done(error, undefined);
      try {
        again();
      } catch (thrown) {
        // A store that has failed throws at whoever reads; called back, nobody else is there to catch it.
        done(thrown, undefined);
      }
    });
  }

  /** Durably prepared and undecided, oldest transaction first. */
  inDoubt(olderThanMs: number): readonly BranchRef[] {
    const before = performance.now() - olderThanMs;
    return [...this.#branches.values()]
      .filter((branch) => branch.phase === "prepared" && branch.preparedAtMs <= before)
      .sort((a, b) => (a.storeKey.text < b.storeKey.text ? -1 : 1))
      .map((branch) => branch.ref);
  }

  /** What is known here of one branch: from the table, else from its row. */
  look(ref: BranchRef): { readonly state: Phase | "committed" | "rolled-back" | "unknown"; readonly reads: readonly (KvValue | null)[] } {
    const branch = this.#branches.get(idOf(ref));
    if (branch !== undefined) return { state: branch.phase, reads: branch.reads };
    const row = this.#row(new StoreKey(branchKey(ref)));
    return row === undefined ? { state: "unknown", reads: [] } : { state: row.state, reads: row.reads };
  }

  counts(): BranchCounts {
    let prepared = 0;
    for (const branch of this.#branches.values()) if (branch.phase === "prepared") prepared++;
    return { waiting: this.#locks.waiting, prepared, held: this.#branches.size };
  }

  /** See Participant.forgetBelow. */
  forgetBelow(floorMs: number): Promise<void> {
    const next = this.#forgetting.then(() => this.#forget(floorMs));
    this.#forgetting = next.catch(() => undefined);
    return next;
  }

  async #forget(floorMs: number): Promise<void> {
    if (floorMs > this.#store.floorMs) {
      this.#store.amend({ floorMs });
      // Durability: the floor first. A row dropped before it would let a late prepare of the same gid start a second life.
      await this.#submit([]);
    }
    const end = branchKeyFloor(Math.min(floorMs, this.#store.floorMs));
    let drops: Write[] = [];
    for await (const [key, record] of this.#store.range(BRANCH_PREFIX, end)) {
      // Rows of an outcome never change again; a prepared one stays until its decision arrives.
      if (!isPrepared(record)) drops.push({ key: new StoreKey(key), record: undefined, before: fingerprintOf(record) });
      if (drops.length < FORGET_SLICE) continue;
      await this.#submit(drops);
      drops = [];
    }
    if (drops.length > 0) await this.#submit(drops);
  }

  /** The locks are held: do the work, and make the promise durable. */
  #vote(branch: Branch): void {
    let versions: readonly number[] | string;
    try {
      versions = this.#work(branch);
    } catch (error) {
      this.#drop(branch);
      return branch.vote.reject(error);
    }
    if (typeof versions === "string") {
      this.#drop(branch);
      return branch.vote.resolve(no(versions));
    }
    branch.phase = "voting";
    const record = encodePrepared(branch.storeKey, { epoch: branch.epoch, payload: branch.payload, reads: branch.reads, versions });
    branch.rowFingerprint = fingerprintOf(record);
    this.#store.submit([{ key: branch.storeKey, record, before: undefined }], (error) => {
      if (error !== undefined) return branch.vote.reject(error);
      if (branch.phase !== "voting") return branch.vote.resolve(no("the branch was rolled back while it voted"));
      branch.phase = "prepared";
      branch.preparedAtMs = performance.now();
      branch.vote.resolve(YES);
    });
  }

  /** The locks are held: do the work, and make it and its outcome durable at once. */
  #commitWork(branch: Branch, refuse: (detail: string) => void): void {
    let versions: readonly number[] | string;
    try {
      versions = this.#work(branch);
    } catch (error) {
      this.#drop(branch);
      return branch.settled.reject(error);
    }
    if (typeof versions === "string") return refuse(versions);
    this.#settle(branch, "committing", branch.writes, { state: "committed", reads: branch.reads });
  }

  /** Runs the operations over the locked records. Returns the records' fingerprints in lock order, or why it cannot be done. */
  #work(branch: Branch): readonly number[] | string {
    const { wants } = branch;
    const keys = wants.map(({ key }) => new StoreKey(dataKey(key)));
    const records = keys.map((key) => this.#store.read(key));
    // Lists are short, mostly of one or two keys.
    const indexOf = wants.length > SEARCH_MAX ? indexed(wants) : (key: string) => wants.findIndex((want) => want.key === key);
    const effect = evaluate(branch.operations, (key) => {
      const record = records[indexOf(key)];
      return record === undefined ? undefined : decodeValue(record);
    });
    if ("problem" in effect) return effect.problem;
    const writes: Write[] = [];
    for (const [name, value] of effect.writes) {
      const index = indexOf(name);
      const old = records[index];
      if (value === undefined && old === undefined) continue;
      const key = must(keys[index], "a lock of every key that is written");
      const record = value === undefined ? undefined : encodeValue(key, value);
      writes.push({ key, record, before: old === undefined ? undefined : fingerprintOf(old) });
    }
    branch.writes = writes;
    branch.reads = effect.reads;
    return records.map((record) => (record === undefined ? 0 : fingerprintOf(record)));
  }

  #settle(branch: Branch, phase: "committing" | "rolling-back", data: readonly Write[], row: OutcomeRow): void {
    branch.phase = phase;
    const record = encodeOutcome(branch.storeKey, row);
    this.#store.submit([...data, { key: branch.storeKey, record, before: branch.rowFingerprint }], (error) => {
      if (error !== undefined) return branch.settled.reject(error);
      this.#drop(branch);
      branch.settled.resolve(DONE);
    });
  }

  #drop(branch: Branch): void {
    this.#branches.delete(branch.id);
    this.#locks.release(branch);
  }

  #submit(writes: readonly Write[]): Promise<void> {
    return new Promise((resolve, reject) => this.#store.submit(writes, (error) => (error === undefined ? resolve() : reject(error))));
  }

  #row(storeKey: StoreKey): PreparedRow | OutcomeRow | undefined {
    const record = this.#store.read(storeKey);
    return record === undefined ? undefined : decodeRow(record);
  }
}

function indexed(wants: readonly LockWant[]): (key: string) => number {
  const places = new Map(wants.map(({ key }, index) => [key, index]));
  return (key) => places.get(key) ?? -1;
}

/** How a branch ended that is being committed or rolled back, once that is durable. */
async function endOf(branch: Branch): Promise<OnePhaseResult> {
  await branch.settled.promise;
  return branch.phase === "committing" ? COMMITTED : { kind: "refused", detail: branch.refusal };
}

function voteAgain(branch: Branch, done: Settled<VoteResult>): void {
  // Not prepared, and never will be: its end is its vote.
  if (branch.onePhase)
    return branch.settled.listen((error) => {
      if (error !== undefined) done(error, undefined);
      else done(undefined, branch.phase === "committing" ? YES : no(branch.refusal));
    });
  switch (branch.phase) {
    case "waiting":
    case "voting":
      return branch.vote.listen(done);
    case "prepared":
    case "committing":
      return done(undefined, YES);
    case "rolling-back":
      return done(undefined, no("the branch was rolled back before"));
    default:
      return unreachable(branch.phase);
  }
}

function no(detail: string): VoteResult {
  return { vote: "no", detail };
}
