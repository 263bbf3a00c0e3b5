/**
 * The control streams of other nodes to this one: at most one live process per node id.
 *
 * A second process that claims an id which has a live stream is held while the first is asked to prove that it is alive. If it does,
 * the second is refused: two nodes are configured with one id. If it does not, it was a connection whose end got lost with its host,
 * and the second is a restarted node.
 */
import { status } from "@grpc/grpc-js";
import type { Logger, NodeId } from "../base/index.js";
import { formatNodeId } from "../base/index.js";
import { controlEventCodec, controlFrameCodec, WireError } from "../wire/index.js";
import type { ControlMessage } from "../zab/index.js";
import type { Counters } from "./counters.js";
import type { PeerIdentity } from "./peer-identity.js";
import { AcceptedStream } from "./stream.js";
import type { RawServerStream } from "./stream.js";

/** A live process answers in microseconds; a busy one on a shared machine in tens of milliseconds. */
const PROOF_TIMEOUT_MS = 300;

interface Live {
  readonly stream: AcceptedStream;
  readonly incarnation: string;
}

/** A newcomer that waits for the process before it to answer. */
interface Claim {
  readonly challenge: number;
  readonly newcomer: Live;
  readonly timer: NodeJS.Timeout;
}

export interface ControlAcceptorOptions {
  readonly counters: Counters;
  readonly log: Logger;
  readonly onMessage: (from: NodeId, message: ControlMessage) => void;
  /** The node has a live process. */
  readonly onSeen: (node: NodeId) => void;
}

export class ControlAcceptor {
  readonly #options: ControlAcceptorOptions;
  readonly #live = new Map<NodeId, Live>();
  readonly #claims = new Map<NodeId, Claim>();
  #nextChallenge = 1;

  constructor(options: ControlAcceptorOptions) {
    this.#options = options;
  }

  /** The process that counts as this node right now. */
  incarnationOf(node: NodeId): string | undefined {
    return this.#live.get(node)?.incarnation;
  }

  take(call: RawServerStream, identity: PeerIdentity): void {
    const { node, incarnation } = identity;
    const stream: AcceptedStream = new AcceptedStream(call, {
      onFrame: (bytes) => this.#frame(node, stream, bytes),
      onDrain: () => undefined,
      onGone: () => this.#gone(node, stream),
    });
    const newcomer: Live = { stream, incarnation };
    const live = this.#live.get(node);
    if (live === undefined || live.incarnation === incarnation) this.#admit(node, newcomer);
    else if (this.#claims.has(node)) stream.fail(status.UNAVAILABLE, `another process claims to be ${formatNodeId(node)}; try again`);
    else this.#challenge(node, live, newcomer);
  }

  close(): void {
    for (const claim of this.#claims.values()) clearTimeout(claim.timer);
    this.#claims.clear();
    this.#live.clear();
  }

  #admit(node: NodeId, newcomer: Live): void {
    const before = this.#live.get(node);
    this.#live.set(node, newcomer);
    before?.stream.fail(status.ABORTED, `a newer stream of ${formatNodeId(node)} has replaced this one`);
    newcomer.stream.accept();
    this.#options.onSeen(node);
  }

  #challenge(node: NodeId, live: Live, newcomer: Live): void {
    const challenge = this.#nextChallenge++;
    const timer = setTimeout(() => this.#settle(node, false), PROOF_TIMEOUT_MS);
    this.#claims.set(node, { challenge, newcomer, timer });
    live.stream.send(controlEventCodec.encode({ challenge }));
  }

  /** The challenged process has answered, or is gone, or stayed silent. */
  #settle(node: NodeId, alive: boolean): void {
    const claim = this.#claims.get(node);
    if (claim === undefined) return;
    this.#claims.delete(node);
    clearTimeout(claim.timer);
    const { newcomer } = claim;
    if (newcomer.stream.done) return;
    if (!alive) {
      this.#admit(node, newcomer);
      return;
    }
    const details = `node id ${formatNodeId(node)} is in use by another live process: two nodes are configured with one id`;
    this.#options.counters.refused++;
    this.#options.log.error({ peer: node, remote: newcomer.stream.remote, inUseBy: this.#live.get(node)?.stream.remote }, details);
    newcomer.stream.fail(status.ALREADY_EXISTS, details);
  }

  #frame(node: NodeId, stream: AcceptedStream, bytes: Uint8Array): void {
    if (this.#live.get(node)?.stream !== stream) return;
    let frame;
    try {
      frame = controlFrameCodec.decode(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#options.counters.refused++;
      this.#options.log.warn({ node, remote: stream.remote }, `malformed control frame: ${error.message}`);
      this.#gone(node, stream);
      stream.fail(status.INVALID_ARGUMENT, error.message);
      return;
    }
    const { messages, proof } = frame;
    this.#options.counters.received(bytes.length, messages.length);
    if (proof !== 0 && proof === this.#claims.get(node)?.challenge) this.#settle(node, true);
    for (const message of messages) this.#options.onMessage(node, message);
  }

  #gone(node: NodeId, stream: AcceptedStream): void {
    if (this.#live.get(node)?.stream !== stream) return;
    this.#live.delete(node);
    this.#settle(node, false);
  }
}
