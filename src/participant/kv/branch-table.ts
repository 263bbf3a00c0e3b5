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
import { Branch, type Phase } from "./branch.js";
import { evaluate, locksOf } from "./evaluate.js";
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
import type { KvStore, Waiter } from "./store.js";

const YES: VoteResult = { vote: "yes", detail: "" };
const DONE: SettleResult = { kind: "done" };
const COMMITTED: OnePhaseResult = { kind: "committed" };
const FORGET_SLICE = 1000;

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
    const branch = new Branch(parseBranchKey(storeKey), "prepared");
    const decoded = decodeKvPayload(row.payload);
    const lost = (what: string): QuorateError =>
      new QuorateError("QUORATE_DATA_FOLDER", `prepared branch ${branch.ref.gid}/${branch.ref.branch}: ${what}`, { gid: branch.ref.gid });
    if ("problem" in decoded) throw lost(decoded.problem);
    branch.operations = decoded.operations;
    branch.wants = locksOf(decoded.operations);
    let holds = false;
    branch.granted = () => (holds = true);
    this.#locks.acquire(branch, branch.wants);
    if (!holds) throw lost("another prepared branch holds one of its locks");
    const versions = this.#work(branch);
    if (typeof versions === "string") throw lost(versions);
    if (versions.length !== row.versions.length || versions.some((version, i) => version !== row.versions[i]))
      throw lost("a record under its locks is not the one it voted on");
    branch.reads = row.reads;
    branch.epoch = row.epoch;
    branch.payload = row.payload;
    branch.rowFingerprint = fingerprintOf(must(this.#store.read(storeKey), "the row of a prepared branch"));
    this.#branches.set(idOf(branch.ref), branch);
  }

  prepare(request: PrepareRequest): Promise<VoteResult> | VoteResult {
    const id = idOf(request);
    const known = this.#branches.get(id);
    if (known !== undefined) return voteAgain(known);
    const row = this.#row(request);
    if (row !== undefined) return row.state === "committed" ? YES : no("the branch was rolled back before");
    const { epoch, floorMs } = this.#store;
    if (gidTimeMs(request.gid) < floorMs) return no("expired: the gid is below the floor of this participant");
    // Only new work is fenced. A vote given before stands, whoever asks for it again.
    if (request.epoch < epoch) return no(`fenced: the prepare is of epoch ${request.epoch}, and epoch ${epoch} was seen`);
    const decoded = decodeKvPayload(request.payload);
    if ("problem" in decoded) return no(decoded.problem);
    const overloaded = this.#overloaded();
    if (overloaded !== undefined) return Promise.reject(overloaded);
    const branch = this.#begun(request, decoded.operations);
    branch.granted = () => this.#vote(branch);
    branch.refused = (detail) => {
      this.#branches.delete(id);
      branch.vote.resolve(no(detail));
    };
    this.#locks.acquire(branch, branch.wants);
    return branch.vote.promise;
  }

  /** See Participant.commitOnePhase. The work and the row that says so are one atomic write; a refusal is a rolled-back row. */
  async commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult> {
    const known = this.#branches.get(idOf(request));
    if (known?.onePhase === true || known?.phase === "committing" || known?.phase === "rolling-back") return endOf(known);
    if (known === undefined) {
      const row = this.#row(request);
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
      void this.#settle(known, "committing", known.writes, { state: "committed", reads: known.reads });
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
    const branch = this.#begun(request, "problem" in decoded ? [] : decoded.operations);
    branch.onePhase = true;
    const refuse = (detail: string): void => {
      branch.refusal = detail;
      this.#locks.release(branch);
      void this.#settle(branch, "rolling-back", [], { state: "rolled-back", reads: [] });
    };
    branch.granted = () => this.#commitWork(branch, refuse);
    branch.refused = refuse;
    if ("problem" in decoded) refuse(decoded.problem);
    else this.#locks.acquire(branch, branch.wants);
    return endOf(branch);
  }

  /** Why no new work is taken now; undefined: it is. */
  #overloaded(): QuorateError | undefined {
    if (this.#branches.size >= this.#branchesMax)
      return new QuorateError("QUORATE_OVERLOADED", `${this.#branches.size} branches are held; the limit is branchesMax`, { retry: "safe" });
    if (!this.#store.behind) return undefined;
    return new QuorateError("QUORATE_OVERLOADED", "LevelDB is far behind the log; new work waits for the checkpoint", { retry: "safe" });
  }

  /** New work enters the table, and its epoch counts from now on. */
  #begun(request: PrepareRequest, operations: readonly KvOperation[]): Branch {
    if (request.epoch > this.#store.epoch) this.#store.amend({ epoch: request.epoch });
    const branch = new Branch(request, "waiting");
    branch.operations = operations;
    branch.wants = locksOf(operations);
    branch.payload = request.payload;
    branch.epoch = request.epoch;
    this.#branches.set(idOf(request), branch);
    return branch;
  }

  async commit(ref: BranchRef): Promise<SettleResult> {
    const branch = this.#branches.get(idOf(ref));
    if (branch === undefined) {
      const row = this.#row(ref);
      if (row?.state === "committed") return DONE;
      if (row !== undefined) return { kind: "heuristic", outcome: "rolled-back", detail: "the branch was rolled back here before" };
      // Rows go only after the cluster forgot the gid, which it does only after this participant acknowledged.
      if (gidTimeMs(ref.gid) < this.#store.floorMs) return DONE;
      return { kind: "heuristic", outcome: "hazard", detail: "this participant has no record of the branch: its promise was lost" };
    }
    switch (branch.phase) {
      case "waiting":
      case "voting":
        if (branch.onePhase) {
          await branch.settled.promise;
          return this.commit(ref);
        }
        // Only after a failover can the decision overtake a repeated prepare. What the vote turns out to be decides.
        await branch.vote.promise;
        return this.commit(ref);
      case "prepared":
        return this.#settle(branch, "committing", branch.writes, { state: "committed", reads: branch.reads });
      case "committing":
        return branch.settled.promise;
      case "rolling-back":
        await branch.settled.promise;
        return this.commit(ref);
      default:
        return unreachable(branch.phase);
    }
  }

  async rollback(ref: BranchRef): Promise<SettleResult> {
    const known = this.#branches.get(idOf(ref));
    if (known === undefined) {
      const row = this.#row(ref);
      if (row?.state === "committed") return { kind: "heuristic", outcome: "committed", detail: "the branch was committed here before" };
      if (row !== undefined || gidTimeMs(ref.gid) < this.#store.floorMs) return DONE;
      const mark = new Branch(ref, "rolling-back");
      this.#branches.set(idOf(ref), mark);
      return this.#settle(mark, "rolling-back", [], { state: "rolled-back", reads: [] });
    }
    switch (known.phase) {
      case "waiting":
        this.#locks.release(known);
        known.refusal = "the branch was rolled back while it waited for a lock";
        if (!known.onePhase) known.vote.resolve(no(known.refusal));
        return this.#settle(known, "rolling-back", [], { state: "rolled-back", reads: [] });
      case "voting":
      case "prepared":
        return this.#settle(known, "rolling-back", [], { state: "rolled-back", reads: [] });
      case "rolling-back":
        return known.settled.promise;
      case "committing":
        await known.settled.promise;
        return this.rollback(ref);
      default:
        return unreachable(known.phase);
    }
  }

  /** Durably prepared and undecided, oldest transaction first. */
  inDoubt(olderThanMs: number): readonly BranchRef[] {
    const before = performance.now() - olderThanMs;
    return [...this.#branches.values()]
      .filter((branch) => branch.phase === "prepared" && branch.preparedAtMs <= before)
      .sort((a, b) => (a.storeKey < b.storeKey ? -1 : 1))
      .map((branch) => branch.ref);
  }

  /** What is known here of one branch: from the table, else from its row. */
  look(ref: BranchRef): { readonly state: Phase | "committed" | "rolled-back" | "unknown"; readonly reads: readonly (KvValue | null)[] } {
    const branch = this.#branches.get(idOf(ref));
    if (branch !== undefined) return { state: branch.phase, reads: branch.reads };
    const row = this.#row(ref);
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
      if (!isPrepared(record)) drops.push({ key, record: undefined, before: fingerprintOf(record) });
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
    this.#store.submit([{ key: branch.storeKey, record, before: undefined }], {
      durable: () => {
        if (branch.phase !== "voting") return branch.vote.resolve(no("the branch was rolled back while it voted"));
        branch.phase = "prepared";
        branch.preparedAtMs = performance.now();
        branch.vote.resolve(YES);
      },
      failed: (error) => branch.vote.reject(error),
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
    void this.#settle(branch, "committing", branch.writes, { state: "committed", reads: branch.reads });
  }

  /** Runs the operations over the locked records. Returns the records' fingerprints in lock order, or why it cannot be done. */
  #work(branch: Branch): readonly number[] | string {
    const records = new Map<string, Buffer | undefined>();
    for (const { key } of branch.wants) records.set(key, this.#store.read(dataKey(key)));
    const effect = evaluate(branch.operations, (key) => {
      const record = records.get(key);
      return record === undefined ? undefined : decodeValue(record);
    });
    if ("problem" in effect) return effect.problem;
    const writes: Write[] = [];
    for (const [key, value] of effect.writes) {
      const old = records.get(key);
      if (value === undefined && old === undefined) continue;
      const storeKey = dataKey(key);
      writes.push({
        key: storeKey,
        record: value === undefined ? undefined : encodeValue(storeKey, value),
        before: old === undefined ? undefined : fingerprintOf(old),
      });
    }
    branch.writes = writes;
    branch.reads = effect.reads;
    return [...records.values()].map((record) => (record === undefined ? 0 : fingerprintOf(record)));
  }

  #settle(branch: Branch, phase: "committing" | "rolling-back", data: readonly Write[], row: OutcomeRow): Promise<SettleResult> {
    branch.phase = phase;
    const record = encodeOutcome(branch.storeKey, row);
    this.#store.submit([...data, { key: branch.storeKey, record, before: branch.rowFingerprint }], {
      durable: () => {
        this.#drop(branch);
        branch.settled.resolve(DONE);
      },
      failed: (error) => branch.settled.reject(error),
    });
    return branch.settled.promise;
  }

  #drop(branch: Branch): void {
    this.#branches.delete(idOf(branch.ref));
    this.#locks.release(branch);
  }

  #submit(writes: readonly Write[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { durable: resolve, failed: reject };
      this.#store.submit(writes, waiter);
    });
  }

  #row(ref: BranchRef): PreparedRow | OutcomeRow | undefined {
    const record = this.#store.read(branchKey(ref));
    return record === undefined ? undefined : decodeRow(record);
  }
}

/** How a branch ended that is being committed or rolled back, once that is durable. */
async function endOf(branch: Branch): Promise<OnePhaseResult> {
  await branch.settled.promise;
  return branch.phase === "committing" ? COMMITTED : { kind: "refused", detail: branch.refusal };
}

function voteAgain(branch: Branch): Promise<VoteResult> | VoteResult {
  // Not prepared, and never will be: its end is its vote.
  if (branch.onePhase) return endOf(branch).then((end) => (end.kind === "committed" ? YES : no(end.detail)));
  switch (branch.phase) {
    case "waiting":
    case "voting":
      return branch.vote.promise;
    case "prepared":
    case "committing":
      return YES;
    case "rolling-back":
      return no("the branch was rolled back before");
    default:
      return unreachable(branch.phase);
  }
}

function no(detail: string): VoteResult {
  return { vote: "no", detail };
}

function idOf(ref: BranchRef): string {
  return `${ref.gid}/${ref.branch}`;
}
