/**
 * Group commit: one FIFO of durable operations, whatever their kind, role or epoch.
 *
 * While one sync runs, what arrives is encoded into the next batch; when the sync ends that batch goes out as one write that is durable
 * when it is done (the segment is open with O_DSYNC). No timer. Truncations are records of the log like entries are. Epochs writes,
 * resets, compactions and a full segment stand in the queue as barriers: everything before them is durable before they start, and they are durable before anything after
 * them is written. Completions are reported in order by sequence number.
 *
 * Durability: the first error of any kind ends the log. A failed fdatasync is never retried: the kernel marks the pages clean, so
 * a second call would succeed with the data lost (Rebello et al., "Can Applications Recover from fsync Failures?", ATC'20).
 */
import { assert, compareZxid, equalZxid, formatZxid, InvariantViolation, unreachable } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { LogPort } from "../replica/ports.js";
import type { PersistRequest } from "../zab/index.js";
import { settled, writeFully } from "./disk.js";
import type { Disk } from "./disk.js";
import type { EpochsFile } from "./epochs-file.js";
import type { Failpoint, Identity, LogPosition } from "./identity.js";
import { LatencyWindow } from "./latency.js";
import { BatchBuffer, LOG_FORMAT_VERSION, RECORD_ENTRY, RECORD_TRUNCATE, recordBytes, SEGMENT_HEADER_BYTES } from "./log-format.js";
import type { LogIndex } from "./log-index.js";
import type { OpenSegment, SegmentFiles } from "./log-segments.js";
import type { SyncMark } from "./sync-mark.js";

/** A batch is written when it has grown to this, even if more is queued: a sync of more takes longer than a caller should wait. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
const BATCH_BYTES_INITIAL = 256 * 1024;
/** Requests already encoded are dropped from the queue's front in lots of at least this many. */
const QUEUE_TRIM = 1024;

export interface LogWriterParts {
  readonly disk: Disk;
  readonly identity: Identity;
  readonly files: SegmentFiles;
  /** undefined: no epochs record is ever submitted. */
  readonly epochs: EpochsFile | undefined;
  readonly mark: SyncMark;
  readonly index: LogIndex;
  readonly active: OpenSegment;
  /** Where the next record goes; everything before is durable. */
  readonly end: number;
  readonly failpoint: Failpoint;
  readonly onPersisted: (seq: number) => void;
  readonly onFatal: (error: Error) => void;
}

export interface LogMetrics {
  readonly batches: number;
  readonly bytes: number;
  readonly segments: number;
  /** Operations submitted and not yet part of a batch. */
  readonly queued: number;
  readonly syncLatency: ReturnType<LatencyWindow["summary"]>;
  readonly epochsWrites: number;
  /** Why no spare segment is ready, a full disk above all; undefined when all is well. */
  readonly spareProblem: string | undefined;
}

export class LogWriter implements LogPort {
  readonly #parts: LogWriterParts;
  readonly #index: LogIndex;
  readonly #latency = new LatencyWindow();
  #active: OpenSegment;
  #segmentCount: number;

  #queue: PersistRequest[] = [];
  #head = 0;
  /** Entries of the request at the head that are encoded already. */
  #entryIndex = 0;
  #submittedSeq = -Infinity;

  /** The batch being collected, to be written at #stagedAt, and the last request that is complete in it. */
  #staged = new BatchBuffer(BATCH_BYTES_INITIAL);
  #writing = new BatchBuffer(BATCH_BYTES_INITIAL);
  #stagedAt: number;
  #stagedSeq: number | undefined;
  #synced: number;

  /** A write or a barrier is under way. */
  #busy = false;
  /** A barrier that changes the segment is under way: nothing can be staged, for it has no place yet. */
  #moving = false;
  #ended: "failed" | "closed" | undefined;
  #cleanup: Promise<void> = Promise.resolve();
  #drained: (() => void) | undefined;
  #batches = 0;
  #bytes = 0;
  #epochsWrites = 0;

  constructor(parts: LogWriterParts) {
    this.#parts = parts;
    this.#index = parts.index;
    this.#active = parts.active;
    this.#stagedAt = parts.end;
    this.#synced = parts.end;
    this.#segmentCount = parts.index.segmentNumbers().length;
    parts.files.prepareSpare();
  }

  submit(requests: readonly PersistRequest[]): void {
    if (this.#ended !== undefined) return; // a failed log acknowledges nothing more, and its process is about to end
    if (this.#head > QUEUE_TRIM && this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    for (const request of requests) {
      if (request.seq <= this.#submittedSeq)
        throw new InvariantViolation(`persist requests have growing numbers: ${request.seq} after ${this.#submittedSeq}`);
      this.#submittedSeq = request.seq;
      this.#queue.push(request);
    }
    this.#pump();
  }

  /** How far the log is durable. */
  get synced(): LogPosition {
    return { segment: this.#active.segment, offset: this.#synced };
  }

  metrics(): LogMetrics {
    return {
      batches: this.#batches,
      bytes: this.#bytes,
      segments: this.#segmentCount,
      queued: this.#queue.length - this.#head,
      syncLatency: this.#latency.summary(),
      epochsWrites: this.#epochsWrites,
      spareProblem: this.#parts.files.spareProblem,
    };
  }

  /** Waits until everything submitted is durable, then closes the files. Rejects nothing: a failure was reported by onFatal. */
  async close(): Promise<void> {
    if (this.#ended === undefined && (this.#busy || this.#head < this.#queue.length)) {
      await new Promise<void>((resolve) => (this.#drained = resolve));
    }
    const failed = this.#ended === "failed";
    this.#ended ??= "closed";
    await this.#cleanup;
    await this.#parts.mark.close(failed ? undefined : this.synced);
    await this.#parts.files.close();
    await settled((done) => this.#parts.disk.close(this.#active.fd, done));
  }

  #pump(): void {
    if (this.#ended !== undefined) return;
    try {
      if (!this.#moving) this.#encodeAhead();
      if (this.#busy) return;
      if (this.#staged.length > 0) this.#flush();
      else if (this.#stagedSeq !== undefined) this.#finishEmpty(this.#stagedSeq);
      else if (this.#head < this.#queue.length) this.#startBarrier();
      else this.#idle();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Moves queued records into the staged batch, up to a barrier, the end of the segment or the batch's limit. */
  #encodeAhead(): void {
    while (this.#head < this.#queue.length) {
      const request = this.#queue[this.#head];
      if (request === undefined) return;
      const { op } = request;
      if (op.kind === "append") {
        if (this.#entryIndex === 0) this.#parts.failpoint("log.append.before");
        if (this.#entryIndex === 0 && !equalZxid(op.previous, this.#index.last)) {
          throw new InvariantViolation(
            `an append continues the log: it follows ${formatZxid(op.previous)}, the log ends at ${formatZxid(this.#index.last)}`,
          );
        }
        while (this.#entryIndex < op.entries.length) {
          const entry = op.entries[this.#entryIndex];
          if (entry === undefined || !this.#fits(entry.payload.length)) return;
          this.#staged.append(RECORD_ENTRY, entry.zxid, this.#index.last, entry.payload, this.#stagedAt, this.#active.seed);
          this.#index.append(entry.zxid);
          this.#entryIndex++;
        }
        this.#entryIndex = 0;
        this.#parts.failpoint("log.append.after");
      } else if (op.kind === "truncate") {
        if (!this.#fits(0)) return;
        this.#parts.failpoint("log.truncate.before");
        const before = this.#index.last;
        this.#index.truncate(op.after);
        this.#staged.append(RECORD_TRUNCATE, op.after, before, undefined, this.#stagedAt, this.#active.seed);
        this.#parts.failpoint("log.truncate.after");
      } else return;
      this.#stagedSeq = request.seq;
      this.#head++;
    }
    this.#queue.length = 0;
    this.#head = 0;
  }

  #fits(payloadLength: number): boolean {
    const size = recordBytes(payloadLength);
    if (this.#staged.length > 0 && this.#staged.length + size > BATCH_BYTES_MAX) return false;
    return this.#stagedAt + this.#staged.length + size <= this.#active.capacity;
  }

  #flush(): void {
    const batch = this.#staged;
    const at = this.#stagedAt;
    const seq = this.#stagedSeq;
    const { disk, failpoint } = this.#parts;
    this.#staged = this.#writing;
    this.#staged.clear();
    this.#writing = batch;
    this.#stagedAt = at + batch.length;
    this.#stagedSeq = undefined;
    this.#busy = true;
    const startedMs = performance.now();
    failpoint("log.sync.before");
    writeFully(disk, this.#active.fd, batch.bytes, batch.length, at, (error) => {
      // Of the write or of the sync that it includes: the same, what is on disk is known to the next process at the earliest.
      if (error !== null) return this.#fail(error);
      this.#latency.add(performance.now() - startedMs);
      this.#guarded(() => {
        failpoint("log.sync.after");
        this.#synced = at + batch.length;
        this.#batches++;
        this.#bytes += batch.length;
        this.#finish(seq);
      });
    });
  }

  /** Appends without entries: everything before is durable, so they are; but a completion never comes from inside submit. */
  #finishEmpty(seq: number): void {
    this.#stagedSeq = undefined;
    this.#busy = true;
    queueMicrotask(() => this.#guarded(() => this.#finish(seq)));
  }

  /** Ends the write or barrier under way. The next one starts before the completion is reported: the disk never waits for the core. */
  #finish(seq: number | undefined): void {
    this.#busy = false;
    this.#pump();
    if (seq !== undefined && this.#ended !== "failed") this.#parts.onPersisted(seq);
  }

  #startBarrier(): void {
    const request = this.#queue[this.#head];
    if (request === undefined) return;
    const { op } = request;
    this.#busy = true;
    switch (op.kind) {
      case "append":
      case "truncate":
        return this.#run(() => this.#roll(op.kind === "append" ? (op.entries[this.#entryIndex]?.payload.length ?? 0) : 0), undefined);
      case "epochs":
        return this.#writeEpochs();
      case "reset":
        this.#head++;
        return this.#run(() => this.#reset(op.base), request.seq);
      case "compact":
        this.#head++;
        return this.#run(() => this.#compact(op.upTo), request.seq);
      default:
        return unreachable(op);
    }
  }

  #run(barrier: () => Promise<void>, seq: number | undefined): void {
    this.#moving = true;
    barrier().then(
      () =>
        this.#guarded(() => {
          this.#moving = false;
          this.#finish(seq);
        }),
      (error: unknown) => this.#fail(error),
    );
  }

  /** Of neighbouring epochs writes only the last one has to reach the disk: each is a whole record, and completions are cumulative. */
  #writeEpochs(): void {
    let request = this.#queue[this.#head];
    for (;;) {
      const next = this.#queue[this.#head + 1];
      if (next?.op.kind !== "epochs") break;
      request = next;
      this.#head++;
    }
    this.#head++;
    if (request?.op.kind !== "epochs") throw new InvariantViolation("the head of the queue is an epochs write");
    const { seq, op } = request;
    const { epochs } = this.#parts;
    if (epochs === undefined) throw new InvariantViolation("this log has no epochs record");
    epochs.write(op.record, this.synced, (error) => {
      if (error !== null) return this.#fail(error);
      this.#epochsWrites++;
      this.#guarded(() => this.#finish(seq));
    });
  }

  async #roll(payloadLength: number): Promise<void> {
    this.#parts.failpoint("log.roll.before");
    await this.#openSegment({ segment: this.#active.segment, end: this.#synced }, this.#index.last, recordBytes(payloadLength));
    this.#parts.failpoint("log.roll.after");
  }

  /** A fresh segment that continues nothing: one rename replaces the whole log, so a crash sees the old log or the new one. */
  async #reset(base: Zxid): Promise<void> {
    this.#parts.failpoint("log.reset.before");
    const old = this.#index.segmentNumbers();
    this.#index.reset(base);
    await this.#openSegment(undefined, base, 0);
    this.#segmentCount = 1;
    this.#removeLater(old);
    this.#parts.failpoint("log.reset.after");
  }

  async #compact(upTo: Zxid): Promise<void> {
    assert(
      compareZxid(upTo, this.#index.last) <= 0,
      () => `a compaction to ${formatZxid(upTo)} lies inside the log, which ends at ${formatZxid(this.#index.last)}`,
    );
    this.#parts.failpoint("log.compact.before");
    const freed = this.#index.compact(upTo);
    this.#segmentCount -= freed.length;
    this.#removeLater(freed);
    this.#parts.failpoint("log.compact.after");
    // A completion never comes from inside submit.
    await Promise.resolve();
  }

  async #openSegment(continues: { segment: number; end: number } | undefined, previous: Zxid, needBytes: number): Promise<void> {
    const { files, identity, disk, mark } = this.#parts;
    const old = this.#active;
    const header = { clusterId: identity.clusterId, nodeId: identity.nodeId, segment: old.segment + 1, continues, previous };
    this.#active = await files.create(header, LOG_FORMAT_VERSION, needBytes);
    this.#index.addSegment(this.#active.segment);
    this.#stagedAt = SEGMENT_HEADER_BYTES;
    this.#synced = SEGMENT_HEADER_BYTES;
    this.#segmentCount++;
    files.prepareSpare();
    mark.note(this.synced);
    await settled((done) => disk.close(old.fd, done));
  }

  /** Files are removed behind the queue's back: nothing waits for it, but a failure is as fatal as any. */
  #removeLater(segments: readonly number[]): void {
    this.#cleanup = this.#cleanup.then(() => this.#parts.files.remove(segments)).catch((error: unknown) => this.#fail(error));
  }

  #idle(): void {
    this.#parts.mark.noteSoon(this.synced);
    this.#drained?.();
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends the log: nothing more is written or acknowledged. For failures found elsewhere on this node's disk, too. */
  stop(error: unknown): void {
    this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = "failed";
    this.#queue = [];
    this.#drained?.();
    this.#parts.onFatal(error instanceof Error ? error : new Error(String(error)));
  }
}
