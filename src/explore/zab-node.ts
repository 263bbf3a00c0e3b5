/**
 * One node of the consensus world: the real peer, and what its disk would hold.
 *
 * Time is abstract: a node's clock stands still until a move sets it to the moment the peer asked to be woken. Messages are not lost,
 * so the timers that repeat or give up are out of reach; what remains is the wait of an elected majority for a better vote.
 */
import { assert, compareZxid, equalZxid, must, nodeId, ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import { createZabPeer } from "../zab/index.js";
import type {
  Configuration,
  Entry,
  EpochRecord,
  PersistOp,
  Ready,
  RecoveredLog,
  Role,
  ZabInput,
  ZabOptions,
  ZabPeer,
} from "../zab/index.js";
import { Automaton } from "./automaton.js";
import type { Subject } from "./automaton.js";
import { heapText, looseText } from "./heap.js";
import type { Declared, Looseness } from "./heap.js";

const NEVER_MS = 1_000_000;
/** A wait beyond this is one for a limit that gives up, and never ends here. */
const REACH_MS = NEVER_MS / 8;

function optionsOf(entriesKeep: number): ZabOptions {
  return {
    finalizeWaitMs: 10,
    notifyResendMsMin: NEVER_MS,
    // Also the longest pause of a follower after failed attempts: a timer that must stay within reach.
    notifyResendMsMax: 10,
    initLimitMs: NEVER_MS,
    pingIntervalMs: NEVER_MS,
    followerSilenceMsMin: NEVER_MS,
    followerSilenceMsMax: NEVER_MS,
    quorumLossMs: NEVER_MS,
    redialGraceMs: NEVER_MS,
    batchBytesMax: 1_000_000,
    uncommittedBytesMax: 1_000_000,
    uncommittedEntriesMax: 1_000,
    historyEntriesKeep: entriesKeep,
    historyBytesKeep: 1_000_000,
    transferTimeoutMs: NEVER_MS,
    deliverEntriesMax: 1_000,
  };
}

/** `lastSync` is for `status` alone; notifications that wait for the disk are taken in their order. */
const LOOSE: Looseness = { omitted: new Set(["lastSync"]), ordered: new Set(["held"]) };

export const NODES = 3;

const CONFIGURATION: Configuration = {
  current: {
    version: ZXID_ZERO,
    members: Array.from({ length: NODES }, (_, i) => ({ id: nodeId(i + 1), peerAddress: "", clientAddress: "", role: "voter" as const })),
  },
  next: undefined,
};

/** What is durable on one node. */
export interface Image {
  readonly epochs: EpochRecord;
  /** The checkpoint: everything up to here is in the state on disk. */
  readonly applied: Zxid;
  /** The log is what comes after this. */
  readonly base: Zxid;
  readonly entries: readonly Entry[];
}

export const EMPTY_IMAGE: Image = {
  epochs: { acceptedEpoch: 0, currentEpoch: 0, configuration: CONFIGURATION, damage: undefined },
  applied: ZXID_ZERO,
  base: ZXID_ZERO,
  entries: [],
};

/** The image once one more operation is durable. */
export function durable(image: Image, op: PersistOp): Image {
  switch (op.kind) {
    case "epochs":
      return { ...image, epochs: op.record };
    case "append":
      return { ...image, entries: [...image.entries, ...op.entries] };
    case "truncate":
      return { ...image, entries: image.entries.slice(0, upTo(image, op.after)) };
    case "compact":
      return { ...image, base: op.upTo, entries: image.entries.slice(upTo(image, op.upTo)) };
    case "reset":
      return { ...image, base: op.base, entries: [] };
  }
}

/** How many of the entries are there up to this one. */
function upTo(image: Image, z: Zxid): number {
  const found = image.entries.findIndex(({ zxid }) => equalZxid(zxid, z));
  assert(found >= 0 || equalZxid(image.base, z), "the disk holds the entry that is named");
  return found + 1;
}

/** The disk holds this entry, or the state that it led to. */
export function holds({ applied, base, entries }: Image, z: Zxid): boolean {
  return compareZxid(applied, z) >= 0 || compareZxid(base, z) >= 0 || entries.some(({ zxid }) => equalZxid(zxid, z));
}

export type NodeInput =
  | { readonly kind: "boot"; readonly id: number; readonly image: Image }
  | { readonly kind: "zab"; readonly input: ZabInput }
  | { readonly kind: "propose"; readonly payload: number }
  /** The state is written down as it is. */
  | { readonly kind: "checkpoint" }
  | { readonly kind: "tick" };

export interface NodeView {
  readonly role: Role;
  /** Elections of this life. */
  readonly elections: number;
  /** A timer is set that is not out of reach. */
  readonly timerSet: boolean;
  /** The epoch it is about to have promised. */
  readonly acceptedEpoch: number;
  /** What its last checkpoint holds, and what its state holds. */
  readonly checkpoint: Zxid;
  readonly applied: Zxid;
}

export type NodeAutomaton<Output> = Automaton<NodeInput, Output, NodeView>;

/** `digest` makes what comes out of a step into what the world wants to know of it. Called once for each step. */
export function createNodeAutomaton<Output>(entriesKeep: number, digest: (ready: Ready) => Output): NodeAutomaton<Output> {
  const options = optionsOf(entriesKeep);
  return new Automaton(() => new Node(options, digest));
}

class Node<Output> implements Subject<NodeInput, Output, NodeView> {
  /** In the middle of its range, so that jitter is none. */
  readonly #random32 = (): number => 0x8000_0000;
  readonly #options: ZabOptions;
  readonly #digest: (ready: Ready) => Output;
  #peer: ZabPeer | undefined;
  #nowMs = 0;
  #wakeAtMs = Infinity;
  #checkpoint = ZXID_ZERO;
  #applied = ZXID_ZERO;

  constructor(options: ZabOptions, digest: (ready: Ready) => Output) {
    this.#options = options;
    this.#digest = digest;
  }

  step(input: NodeInput): Output {
    switch (input.kind) {
      case "boot": {
        const recovered: RecoveredLog = input.image;
        this.#applied = this.#checkpoint = recovered.applied;
        this.#peer = createZabPeer(nodeId(input.id), recovered, this.#options, this.#random32, this.#nowMs);
        break;
      }
      case "zab":
        if (input.input.kind === "snapshot-installed" && input.input.ok) this.#applied = this.#checkpoint = input.input.at;
        this.#running.step(input.input, this.#nowMs);
        break;
      case "propose":
        this.#running.propose([Uint8Array.of(input.payload)], this.#nowMs);
        break;
      case "checkpoint":
        this.#checkpoint = this.#applied;
        this.#running.step({ kind: "checkpointed", zxid: this.#checkpoint }, this.#nowMs);
        break;
      case "tick":
        this.#nowMs = Math.max(this.#nowMs, this.#wakeAtMs);
        this.#running.step({ kind: "tick" }, this.#nowMs);
        break;
    }
    const ready = this.#drain();
    this.#wakeAtMs = ready.wakeAtMs;
    return this.#digest(ready);
  }

  /** The host applies at once, and offers its last checkpoint to whoever needs a snapshot. */
  #drain(): Ready {
    const peer = this.#running;
    let all = peer.drain();
    for (;;) {
      const last = all.committed[all.committed.length - 1];
      const news = last !== undefined && compareZxid(last.zxid, this.#applied) > 0;
      if (news) {
        this.#applied = last.zxid;
        peer.step({ kind: "applied", zxid: last.zxid }, this.#nowMs);
      }
      for (const { session } of all.snapshotWanted) {
        peer.step({ kind: "snapshot-ready", session, at: this.#checkpoint, snapshotId: "s" }, this.#nowMs);
      }
      if (!news && all.snapshotWanted.length === 0) return all;
      all = joined(all, peer.drain());
    }
  }

  text(): string {
    return heapText(this.#held, this.#declared);
  }

  looseText(): string {
    return looseText(this.#held, this.#declared, LOOSE);
  }

  get #held(): unknown {
    return [this.#peer, this.#nowMs, this.#wakeAtMs, this.#checkpoint, this.#applied];
  }

  get #declared(): Declared {
    return new Map<object, string>([
      [this.#random32, "the middle"],
      [this.#options, "constant options"],
      [CONFIGURATION, "constant membership"],
    ]);
  }

  view(): NodeView {
    const status = this.#peer?.status();
    return {
      role: status?.role ?? { kind: "looking" },
      elections: status?.electionsStarted ?? 0,
      timerSet: this.#wakeAtMs < this.#nowMs + REACH_MS,
      acceptedEpoch:
        status === undefined ? 0 : Math.max(status.epochs.acceptedEpoch, status.role.kind === "looking" ? 0 : status.role.epoch),
      checkpoint: this.#checkpoint,
      applied: this.#applied,
    };
  }

  get #running(): ZabPeer {
    return must(this.#peer, "peer of a started node");
  }
}

/** Two drains one after the other. What the first asked of the host was answered between them. */
function joined(first: Ready, second: Ready): Ready {
  return {
    ...second,
    persist: [...first.persist, ...second.persist],
    control: [...first.control, ...second.control],
    session: [...first.session, ...second.session],
    dial: [...first.dial, ...second.dial],
    close: [...first.close, ...second.close],
    committed: [...first.committed, ...second.committed],
    installWanted: [...first.installWanted, ...second.installWanted],
  };
}
