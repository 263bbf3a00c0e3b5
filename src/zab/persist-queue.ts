/**
 * The one FIFO of durable operations, across roles and epochs, and what is known to be durable.
 *
 * The log in memory is always what the disk will hold once this queue has drained, so a role that ends half way through a
 * synchronization leaves nothing to rebuild. Completions carry a sequence number: an append whose entries were truncated meanwhile cannot
 * be mistaken for their replacements (ZOOKEEPER-4712; etcd's append ABA race), because truncating also lowers what every
 * pending append will prove. Entries are cut into one append operation per drain.
 */
import { assert } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { EpochRecord, PersistOp, PersistRequest } from "./entry.js";
import type { History } from "./history.js";

interface PendingOp {
  readonly seq: number;
  readonly sinceMs: number;
  /** Once this operation is durable, entries up to here are. Lowered by truncation. 0 when it appends nothing. */
  provesIndex: number;
  readonly epochs: EpochRecord | undefined;
}

export class PersistQueue {
  readonly #history: History;
  readonly #pending: PendingOp[] = [];
  #owed: PersistRequest[] = [];
  #submittedSeq = 0;
  #durableSeq = 0;
  #appendedIndex: number;
  #durableIndex: number;
  #durableEpochs: EpochRecord;
  #submittedEpochs: EpochRecord;

  /** Everything in `history` and `epochs` is durable at this moment. */
  constructor(history: History, epochs: EpochRecord) {
    this.#history = history;
    this.#appendedIndex = history.lastIndex;
    this.#durableIndex = history.lastIndex;
    this.#durableEpochs = epochs;
    this.#submittedEpochs = epochs;
  }

  /** Entries up to here are durable; every one of them is still in the log. */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** The record on disk: what this node may say it has promised. */
  get durableEpochs(): EpochRecord {
    return this.#durableEpochs;
  }

  /** The record the disk will hold: what later promises build on. Never below the durable one. */
  get submittedEpochs(): EpochRecord {
    return this.#submittedEpochs;
  }

  get submittedSeq(): number {
    return this.#submittedSeq;
  }

  get durableSeq(): number {
    return this.#durableSeq;
  }

  /** True when nothing is under way: what is in memory is on disk. */
  get idle(): boolean {
    return this.#durableSeq === this.#submittedSeq && this.#appendedIndex === this.#history.lastIndex;
  }

  /** When the oldest operation under way was submitted; undefined when there is none. */
  get waitingSinceMs(): number | undefined {
    return this.#pending[0]?.sinceMs;
  }

  /** Submits the entries appended to the history since the last time, as one operation. */
  submitAppends(nowMs: number): void {
    const history = this.#history;
    if (history.lastIndex === this.#appendedIndex) return;
    const previous = history.zxidAt(this.#appendedIndex);
    const entries = history.slice(this.#appendedIndex, history.lastIndex);
    this.#appendedIndex = history.lastIndex;
    this.#submit({ kind: "append", previous, entries }, nowMs, this.#appendedIndex, undefined);
  }

  submitEpochs(record: EpochRecord, nowMs: number): void {
    const before = this.#submittedEpochs;
    assert(record.acceptedEpoch >= before.acceptedEpoch && record.currentEpoch >= before.currentEpoch, "a promised epoch is never lowered");
    assert(record.currentEpoch <= record.acceptedEpoch, "currentEpoch never exceeds acceptedEpoch");
    this.submitAppends(nowMs);
    this.#submittedEpochs = record;
    this.#submit({ kind: "epochs", record }, nowMs, 0, record);
  }

  /** Cuts the log in memory and on disk: nothing after `index` stays. */
  truncate(index: number, nowMs: number): void {
    const history = this.#history;
    const after = history.zxidAt(index);
    history.truncate(index);
    this.#lower(index);
    // Entries that were never submitted vanish in memory alone.
    if (this.#appendedIndex > index) {
      this.#appendedIndex = index;
      this.#submit({ kind: "truncate", after }, nowMs, 0, undefined);
    }
  }

  /**
   * The log continues after an installed snapshot. The new base counts as durable at once: the snapshot is, and should the process
   * crash before the reset is, recovery finds a state that its log does not hold and repeats the reset (peer.ts).
   */
  reset(base: Zxid, nowMs: number): void {
    const history = this.#history;
    history.reset(base);
    this.#lower(0);
    this.#appendedIndex = history.baseIndex;
    this.#durableIndex = history.baseIndex;
    this.#submit({ kind: "reset", base }, nowMs, 0, undefined);
  }

  /** Drops the whole log behind a durable checkpoint at `index`, to be fetched again. Indexes keep their meaning. */
  rewind(index: number, nowMs: number): void {
    const history = this.#history;
    history.rewind(index);
    this.#lower(index);
    this.#appendedIndex = index;
    this.#durableIndex = index;
    this.#submit({ kind: "reset", base: history.base }, nowMs, 0, undefined);
  }

  compact(index: number, nowMs: number): void {
    assert(index <= this.#durableIndex, "only durable entries are compacted");
    this.submitAppends(nowMs);
    this.#history.compact(index);
    this.#submit({ kind: "compact", upTo: this.#history.base }, nowMs, 0, undefined);
  }

  /** Everything up to `seq` is durable. */
  persisted(seq: number): void {
    assert(seq <= this.#submittedSeq, "a completion names a submitted operation");
    if (seq <= this.#durableSeq) return;
    this.#durableSeq = seq;
    let done = 0;
    for (const op of this.#pending) {
      if (op.seq > seq) break;
      done++;
      if (op.provesIndex > this.#durableIndex) this.#durableIndex = op.provesIndex;
      if (op.epochs !== undefined) this.#durableEpochs = op.epochs;
    }
    this.#pending.splice(0, done);
  }

  takeOwed(): readonly PersistRequest[] {
    const owed = this.#owed;
    if (owed.length > 0) this.#owed = [];
    return owed;
  }

  #submit(op: PersistOp, nowMs: number, provesIndex: number, epochs: EpochRecord | undefined): void {
    const seq = ++this.#submittedSeq;
    this.#owed.push({ seq, op });
    this.#pending.push({ seq, sinceMs: nowMs, provesIndex, epochs });
  }

  #lower(index: number): void {
    if (this.#durableIndex > index) this.#durableIndex = index;
    for (const op of this.#pending) if (op.provesIndex > index) op.provesIndex = index;
  }
}
