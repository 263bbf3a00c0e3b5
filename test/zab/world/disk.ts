/**
 * A node's durable storage: an epochs record, a log, a state checkpoint. Operations are durable in order and a crash keeps any
 * prefix of those under way. Every operation checks that it fits the log it meets.
 */
import { assert, equalZxid, formatZxid, must, ZXID_ZERO, type Prng, type Zxid } from "../../../src/base/index.js";
import type { Configuration, Damage, Entry, EpochRecord, PersistOp, PersistRequest, RecoveredLog } from "../../../src/zab/index.js";

export class LogImage {
  base: Zxid;
  entries: Entry[];

  constructor(base: Zxid, entries: readonly Entry[]) {
    this.base = base;
    this.entries = [...entries];
  }

  get last(): Zxid {
    return this.entries[this.entries.length - 1]?.zxid ?? this.base;
  }

  /** Held as an entry, or as the compacted prefix's end. */
  holds(z: Zxid): boolean {
    return equalZxid(z, this.base) || this.entries.some((entry) => equalZxid(entry.zxid, z));
  }

  apply(op: PersistOp): void {
    switch (op.kind) {
      case "append":
        assert(equalZxid(op.previous, this.last), () => `disk: append after ${formatZxid(op.previous)} meets ${formatZxid(this.last)}`);
        this.entries.push(...op.entries);
        return;
      case "truncate":
        this.entries.length = this.#count(op.after);
        return;
      case "reset":
        this.base = op.base;
        this.entries = [];
        return;
      case "compact":
        this.entries.splice(0, this.#count(op.upTo));
        this.base = op.upTo;
        return;
      case "epochs":
        return;
    }
  }

  #count(z: Zxid): number {
    if (equalZxid(z, this.base)) return 0;
    const index = this.entries.findIndex((entry) => equalZxid(entry.zxid, z));
    assert(index >= 0, () => `disk: ${formatZxid(z)} is not in the log`);
    return index + 1;
  }
}

export class SimDisk {
  epochs: EpochRecord;
  log = new LogImage(ZXID_ZERO, []);
  /** The log once everything submitted is done: what the peer has in memory. */
  submitted = new LogImage(ZXID_ZERO, []);
  checkpoint: Zxid = ZXID_ZERO;
  /** A record of the log before this many entries is unreadable. */
  rottenFrom: number | undefined;
  readonly #pending: PersistRequest[] = [];

  constructor(configuration: Configuration) {
    this.epochs = { acceptedEpoch: 0, currentEpoch: 0, configuration, damage: undefined };
  }

  get pendingSeqs(): readonly number[] {
    return this.#pending.map((request) => request.seq);
  }

  submit(requests: readonly PersistRequest[]): void {
    for (const request of requests) {
      this.#pending.push(request);
      this.submitted.apply(request.op);
    }
  }

  /** Makes everything up to `seq` durable. */
  sync(seq: number): void {
    while (this.#pending.length > 0 && must(this.#pending[0], "request").seq <= seq) this.#settle(must(this.#pending.shift(), "request"));
  }

  /** Power fails: a prefix of what was under way survives, `survive` operations of it or any number. */
  crash(prng: Prng, survive = prng.int(0, this.#pending.length)): void {
    for (let i = 0; i < survive; i++) this.#settle(must(this.#pending[i], "request"));
    this.#pending.length = 0;
  }

  recover(): RecoveredLog {
    if (this.rottenFrom !== undefined) {
      this.log.entries.length = Math.min(this.log.entries.length, this.rottenFrom);
      this.rottenFrom = undefined;
      if (this.epochs.damage === undefined) this.epochs = { ...this.epochs, damage: "log" };
    }
    this.submitted = new LogImage(this.log.base, this.log.entries);
    return { epochs: this.epochs, applied: this.checkpoint, base: this.log.base, entries: this.log.entries };
  }

  /** Something is lost while the node is down. */
  lose(damage: Damage, prng: Prng): void {
    if (damage === "log") {
      this.log.entries.length = prng.int(0, this.log.entries.length);
      this.epochs = { ...this.epochs, damage: this.epochs.damage ?? "log" };
      return;
    }
    this.epochs = { acceptedEpoch: 0, currentEpoch: 0, configuration: this.epochs.configuration, damage: "identity" };
    this.log = new LogImage(ZXID_ZERO, []);
    this.checkpoint = ZXID_ZERO;
  }

  #settle(request: PersistRequest): void {
    const { op } = request;
    if (op.kind === "epochs") this.epochs = op.record;
    if (op.kind === "reset") this.rottenFrom = undefined;
    this.log.apply(op);
  }
}
