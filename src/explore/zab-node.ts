/**
 * One node of the consensus world: the real peer, and what its disk would hold.
 *
 * Time is abstract: a node's clock stands still until a move sets it to the moment the peer asked to be woken. Messages are not lost,
 * so the timers that repeat or give up are out of reach; what remains is the wait of an elected majority for a better vote.
 */
import { must, nodeId, ZXID_ZERO } from "../base/index.js";
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
import { heapText } from "./heap.js";

const NEVER_MS = 1_000_000;

const OPTIONS: ZabOptions = {
  finalizeWaitMs: 10,
  notifyResendMsMin: NEVER_MS,
  notifyResendMsMax: NEVER_MS,
  initLimitMs: NEVER_MS,
  pingIntervalMs: NEVER_MS,
  followerSilenceMsMin: NEVER_MS,
  followerSilenceMsMax: NEVER_MS,
  quorumLossMs: NEVER_MS,
  redialGraceMs: NEVER_MS,
  batchBytesMax: 1_000_000,
  uncommittedBytesMax: 1_000_000,
  uncommittedEntriesMax: 1_000,
  historyEntriesKeep: 1_000,
  historyBytesKeep: 1_000_000,
  transferTimeoutMs: NEVER_MS,
  deliverEntriesMax: 1_000,
};

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
  readonly entries: readonly Entry[];
}

export const EMPTY_IMAGE: Image = {
  epochs: { acceptedEpoch: 0, currentEpoch: 0, configuration: CONFIGURATION, damage: undefined },
  entries: [],
};

/** The image once one more operation is durable. */
export function durable(image: Image, op: PersistOp): Image {
  switch (op.kind) {
    case "epochs":
      return { ...image, epochs: op.record };
    case "append":
      return { ...image, entries: [...image.entries, ...op.entries] };
    case "truncate": {
      const { after } = op;
      const keep = image.entries.findIndex(({ zxid }) => zxid.epoch === after.epoch && zxid.counter === after.counter) + 1;
      return { ...image, entries: image.entries.slice(0, keep) };
    }
    case "reset":
    case "compact":
      throw new Error(`the consensus world has no checkpoints, so nothing asks for ${op.kind}`);
  }
}

export type NodeInput =
  | { readonly kind: "boot"; readonly id: number; readonly image: Image }
  | { readonly kind: "zab"; readonly input: ZabInput }
  | { readonly kind: "propose"; readonly payload: number }
  | { readonly kind: "tick" };

export interface NodeOutput {
  readonly ready: Ready;
  readonly role: Role;
  /** Elections of this life. */
  readonly elections: number;
  readonly timerSet: boolean;
}

export type NodeAutomaton = Automaton<NodeInput, NodeOutput>;

export function createNodeAutomaton(): NodeAutomaton {
  return new Automaton(() => new Node());
}

class Node implements Subject<NodeInput, NodeOutput> {
  /** In the middle of its range, so that jitter is none. */
  readonly #random32 = (): number => 0x8000_0000;
  #peer: ZabPeer | undefined;
  #nowMs = 0;
  #wakeAtMs = Infinity;

  step(input: NodeInput): NodeOutput {
    switch (input.kind) {
      case "boot": {
        const { epochs, entries } = input.image;
        const recovered: RecoveredLog = { epochs, entries, applied: ZXID_ZERO, base: ZXID_ZERO };
        this.#peer = createZabPeer(nodeId(input.id), recovered, OPTIONS, this.#random32, this.#nowMs);
        break;
      }
      case "zab":
        this.#running.step(input.input, this.#nowMs);
        break;
      case "propose":
        this.#running.propose([Uint8Array.of(input.payload)], this.#nowMs);
        break;
      case "tick":
        this.#nowMs = Math.max(this.#nowMs, this.#wakeAtMs);
        this.#running.step({ kind: "tick" }, this.#nowMs);
        break;
    }
    const peer = this.#running;
    const ready = peer.drain();
    this.#wakeAtMs = ready.wakeAtMs;
    const { role, electionsStarted } = peer.status();
    return { ready, role, elections: electionsStarted, timerSet: this.#wakeAtMs < this.#nowMs + NEVER_MS / 2 };
  }

  text(): string {
    const declared = new Map<object, string>([
      [this.#random32, "the middle"],
      [OPTIONS, "constant options"],
      [CONFIGURATION, "constant membership"],
    ]);
    return heapText([this.#peer, this.#nowMs, this.#wakeAtMs], declared);
  }

  get #running(): ZabPeer {
    return must(this.#peer, "peer of a started node");
  }
}
