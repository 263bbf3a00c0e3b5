/**
 * What every role shares: the log, the persist queue, the outbox, and how far commit and delivery have come.
 *
 * Invariant: base <= checkpoint <= applied <= delivered <= min(commit, durable) and commit, durable <= last, as indexes. Only
 * a node that rebuilds a damaged log may have delivered more than its log holds again so far.
 */
import { assert, formatZxid, must } from "../base/index.js";
import type { Buggify, BuggifyPoint, NodeId, Zxid } from "../base/index.js";
import type { Entry, EpochRecord } from "./entry.js";
import type { History } from "./history.js";
import type { SessionId } from "./input.js";
import type { Configuration } from "./membership.js";
import type { SessionMessage } from "./message.js";
import type { Outbox } from "./outbox.js";
import type { SyncRecord, ZabOptions } from "./peer-api.js";
import type { PersistQueue } from "./persist-queue.js";
import { isVoter } from "./quorum.js";

/** A follower that dialed before this node knew it was elected: its session waits for the outcome. */
export interface WaitingSession {
  readonly session: SessionId;
  readonly messages: SessionMessage[];
}

const NO_ENTRIES: readonly Entry[] = Object.freeze([]);

export class Core {
  readonly id: NodeId;
  readonly options: ZabOptions;
  readonly history: History;
  readonly disk: PersistQueue;
  readonly out: Outbox;
  readonly #random32: () => number;
  readonly #buggify: Buggify | undefined;
  nowMs: number;
  /** The host was late to call: nobody is suspected for silence before this moment, what they sent may still be queued unread. */
  graceUntilMs = 0;
  /** Election round (ZooKeeper's logical clock). Never goes back: within a round a node's votes only improve, and others count on it. */
  round = 0;
  electionsStarted = 0;
  commitIndex: number;
  deliveredIndex: number;
  appliedIndex: number;
  checkpointIndex: number;
  /** True from damage found at run time until the log holds again what was delivered. */
  rebuilding = false;
  /** Peers whose control link is known to be down: a hint, never proof. */
  readonly deadLinks = new Set<NodeId>();
  /** Peers that asked while this node had a leader whose epoch it did not know yet. */
  readonly askers = new Set<NodeId>();
  readonly waiting = new Map<NodeId, WaitingSession>();
  /** Sessions of an office that was handed over: closed late, so that the farewell is not overtaken by its own consequence. */
  readonly lingering = new Set<SessionId>();
  lingerUntilMs = Infinity;
  /** The install that storage is carrying out, of this or an earlier session. */
  installing: SessionId | undefined;
  lastSync: SyncRecord | undefined;
  /** The leader that could not be followed any more, or again; since when, and how many attempts failed in a row. */
  troubleWith: NodeId | undefined;
  troubleSinceMs = 0;
  failedAttempts = 0;
  /** The highest promise a refused voter spoke of: this node's next epoch will be above it. */
  promiseSeen = 0;
  /** When this node last gave up an established leadership to let in a voter with a higher promise. */
  epochBumpedMs = -Infinity;
  #nextSession = 1;

  constructor(
    id: NodeId,
    options: ZabOptions,
    history: History,
    disk: PersistQueue,
    out: Outbox,
    random32: () => number,
    appliedIndex: number,
    nowMs: number,
    buggify: Buggify | undefined,
  ) {
    this.id = id;
    this.options = options;
    this.history = history;
    this.disk = disk;
    this.out = out;
    this.#random32 = random32;
    this.#buggify = buggify;
    this.nowMs = nowMs;
    this.commitIndex = appliedIndex;
    this.deliveredIndex = appliedIndex;
    this.appliedIndex = appliedIndex;
    this.checkpointIndex = appliedIndex;
  }

  get configuration(): Configuration {
    return this.disk.submittedEpochs.configuration;
  }

  /** Distrust applies at once, before the record of it is durable. */
  get mayVote(): boolean {
    return this.disk.submittedEpochs.damage === undefined && isVoter(this.configuration, this.id);
  }

  /** The last entry that is durable here. */
  get lastDurable(): Zxid {
    return this.history.zxidAt(this.disk.durableIndex);
  }

  /** The commit as far as this log reaches: more may be known than is held while a damaged log is rebuilt. */
  get committed(): Zxid {
    return this.history.zxidAt(Math.min(this.commitIndex, this.history.lastIndex));
  }

  /** A duration between 0.75 and 1.25 times `ms`, so that peers do not move in step. */
  jitter(ms: number): number {
    return ms * (0.75 + this.#random32() / 0x2_0000_0000);
  }

  /** True: a simulator wants the rare branch at this point (base/buggify.ts). Never in a real process. */
  rarely(point: BuggifyPoint): boolean {
    return this.#buggify?.(point) === true;
  }

  /** Ids of dialed sessions are positive and odd; the host numbers accepted ones apart from them (negative, or even). */
  newSession(): SessionId {
    const session = this.#nextSession;
    this.#nextSession += 2;
    return session;
  }

  /** How long a farewell is on its way at most: a named successor is waited for, and connections are kept, this long. */
  get farewellMs(): number {
    return Math.max(this.options.finalizeWaitMs, 2 * this.options.notifyResendMsMin);
  }

  updateEpochs(change: Partial<EpochRecord>): void {
    this.disk.submitEpochs({ ...this.disk.submittedEpochs, ...change }, this.nowMs);
  }

  /** Raises the commit; never lowers it. */
  commitUpTo(index: number): void {
    assert(index <= this.history.lastIndex, "a commit lies inside the log");
    if (index > this.commitIndex) this.commitIndex = index;
  }

  truncate(to: number): void {
    // Invariant: what is committed is never truncated. A leader that asks for it lacks committed entries; going on would spread the loss.
    assert(
      to >= Math.min(this.commitIndex, this.history.lastIndex),
      () => `truncation to ${formatZxid(this.history.zxidAt(to))} is below the commit ${formatZxid(this.committed)}`,
    );
    this.disk.truncate(to, this.nowMs);
  }

  /** Reports about a state that a snapshot has replaced, or that a log under repair does not reach yet, say nothing. */
  noteApplied(z: Zxid): void {
    this.appliedIndex = Math.max(this.appliedIndex, this.history.indexOf(z) ?? 0);
  }

  /** A checkpoint at `z` is also the report that `z` was applied. */
  noteCheckpointed(z: Zxid): void {
    this.noteApplied(z);
    this.checkpointIndex = Math.max(this.checkpointIndex, this.history.indexOf(z) ?? 0);
  }

  /** The state is that of an installed snapshot: log, commit and delivery continue after it. */
  snapshotInstalled(at: Zxid): void {
    this.disk.reset(at, this.nowMs);
    const base = this.history.baseIndex;
    this.commitIndex = base;
    this.deliveredIndex = base;
    this.appliedIndex = base;
    this.checkpointIndex = base;
    this.rebuilding = false;
  }

  /** How far entries may be handed out: committed, and durable here. */
  get deliverable(): number {
    return Math.min(this.commitIndex, this.disk.durableIndex);
  }

  /** The next deliverable entries, a slice of them at most. */
  takeCommitted(): readonly Entry[] {
    const upTo = Math.min(this.deliverable, this.deliveredIndex + this.options.deliverEntriesMax);
    if (upTo <= this.deliveredIndex) return NO_ENTRIES;
    const entries = this.history.slice(this.deliveredIndex, upTo);
    this.deliveredIndex = upTo;
    return entries;
  }

  closeLingering(): void {
    for (const session of this.lingering) this.out.close(session);
    this.lingering.clear();
    this.lingerUntilMs = Infinity;
  }

  closeWaiting(peer: NodeId): void {
    const waiting = must(this.waiting.get(peer), "waiting session");
    this.waiting.delete(peer);
    this.out.close(waiting.session);
  }
}
