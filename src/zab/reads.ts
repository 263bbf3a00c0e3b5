/**
 * Linearizable reads without a log entry: remember the commit, confirm the leadership by one quorum heartbeat sent after the read arrived.
 *
 * A follower answers a heartbeat only while its acceptedEpoch is the leader's, so a quorum of answers proves that no newer leader had been
 * established when the heartbeat left. Each heartbeat has a fresh number and an answer satisfies only reads that arrived before it was sent
 * (etcd #20418: a reused id let late answers confirm a later read). No leases: they contradict electing at once on a closed connection.
 */
import { ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { Outbox } from "./outbox.js";

interface PendingRead {
  readonly id: number;
  /** The commit when the read arrived, or at establishment when it came before. */
  index: Zxid | undefined;
  /** The heartbeat that confirms it, or any later one. */
  readonly seq: number;
}

export class ReadRounds {
  #pending: PendingRead[] = [];
  #unsent = false;

  /** `nextSeq`: the heartbeat that will be sent next. `commit` undefined before establishment. */
  add(id: number, nextSeq: number, commit: Zxid | undefined): void {
    this.#pending.push({ id, index: commit, seq: nextSeq });
    this.#unsent = true;
  }

  /** True when a heartbeat is owed to reads that arrived since the last one. */
  get wantsRound(): boolean {
    return this.#unsent;
  }

  roundSent(): void {
    this.#unsent = false;
  }

  /** The initial history is committed: reads that came early are as of now. */
  established(commit: Zxid): void {
    for (const read of this.#pending) read.index ??= commit;
  }

  /** A quorum has answered every heartbeat up to `seq`. */
  confirmed(seq: number, out: Outbox): void {
    let done = 0;
    for (const read of this.#pending) {
      if (read.seq > seq || read.index === undefined) break;
      out.read(read.id, true, read.index);
      done++;
    }
    if (done > 0) this.#pending.splice(0, done);
  }

  /** The role ended: nothing may be answered any more, least of all by late answers. */
  purge(out: Outbox): void {
    for (const read of this.#pending) out.read(read.id, false, ZXID_ZERO);
    this.#pending = [];
    this.#unsent = false;
  }
}
