/**
 * When the applied state is written down, pinned for a learner, or replaced by a leader's snapshot.
 *
 * One of checkpoint and install runs at a time: an install waits for a checkpoint under way, and no checkpoint starts while an install
 * is wanted, so a checkpoint of the old state can never land on top of the new one.
 */
import { compareZxid, type NodeId, type Zxid } from "../base/index.js";
import type { SessionId } from "../zab/index.js";
import type { StatePort, StateWrite } from "./ports.js";

interface InstallWanted {
  readonly session: SessionId;
  readonly peer: NodeId;
  readonly at: Zxid;
  readonly snapshotId: string;
}

export class Checkpoints {
  readonly #state: StatePort;
  readonly #entriesMax: number;
  readonly #bytesMax: number;
  #durable: Zxid;
  #entries = 0;
  #bytes = 0;
  #writing = false;
  #installing: InstallWanted | undefined;
  #installStarted = false;
  /** Its session has: consensus goes nowhere before the install has completed, so that one must not wait for anybody. */
  #installEnded = false;
  #next: InstallWanted | undefined;
  readonly #pins = new Map<string, SessionId>();
  /** Sessions that ended since the last wishes were looked at: a wish of one of them comes too late. */
  #ended = new Set<SessionId>();

  constructor(state: StatePort, entriesMax: number, bytesMax: number, durable: Zxid) {
    this.#state = state;
    this.#entriesMax = entriesMax;
    this.#bytesMax = bytesMax;
    this.#durable = durable;
  }

  /** The last durable checkpoint. */
  get durable(): Zxid {
    return this.#durable;
  }

  applied(bytes: number): void {
    this.#entries += 1;
    this.#bytes += bytes;
  }

  /** `early`: as soon as there is anything to write. */
  due(applied: Zxid, early = false): boolean {
    if (this.#writing || this.#installing !== undefined) return false;
    if (compareZxid(applied, this.#durable) <= 0) return false;
    return early || this.#entries >= this.#entriesMax || this.#bytes >= this.#bytesMax;
  }

  start(at: Zxid, writes: Iterable<StateWrite>): void {
    this.#writing = true;
    this.#entries = 0;
    this.#bytes = 0;
    this.#state.checkpoint(at, writes);
  }

  finished(at: Zxid): void {
    this.#writing = false;
    this.#durable = at;
    this.#startInstall();
  }

  /** Pins the last durable checkpoint for the learner behind this session; undefined when the session is gone: nobody would release it. */
  pin(session: SessionId): { readonly snapshotId: string; readonly at: Zxid } | undefined {
    if (this.#ended.has(session)) return undefined;
    const pin = this.#state.pinSnapshot();
    this.#pins.set(pin.snapshotId, session);
    return pin;
  }

  release(snapshotId: string): void {
    if (this.#pins.delete(snapshotId)) this.#state.releaseSnapshot(snapshotId);
  }

  sessionEnded(session: SessionId): void {
    this.#ended.add(session);
    const installing = this.#installing;
    if (installing?.session === session) {
      this.#installEnded = true;
      if (this.#installStarted) this.#state.cancelInstall(session);
    }
    for (const [snapshotId, owner] of this.#pins) if (owner === session) this.release(snapshotId);
  }

  /** Every wish that was made so far has been looked at: sessions are never used again, so no later one names an ended session. */
  wishesServed(): void {
    if (this.#ended.size > 0) this.#ended = new Set();
  }

  /** A newer wish replaces one that has not started: its session is gone. */
  install(want: InstallWanted): void {
    if (this.#installStarted) {
      this.#next = want;
      return;
    }
    this.#installing = want;
    this.#installEnded = this.#ended.has(want.session);
    this.#startInstall();
  }

  /** `at` undefined: the install failed and the old state stands. */
  installed(at: Zxid | undefined): void {
    if (at !== undefined) {
      this.#durable = at;
      this.#entries = 0;
      this.#bytes = 0;
    }
    this.#installStarted = false;
    this.#installing = this.#next;
    this.#next = undefined;
    this.#installEnded = this.#installing !== undefined && this.#ended.has(this.#installing.session);
    this.#startInstall();
  }

  #startInstall(): void {
    const want = this.#installing;
    if (want === undefined || this.#writing || this.#installStarted) return;
    this.#installStarted = true;
    this.#state.install(want.session, want.peer, want.at, want.snapshotId);
    if (this.#installEnded) this.#state.cancelInstall(want.session);
  }
}
