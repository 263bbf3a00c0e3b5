/**
 * A node that speaks the real protocol over a real port and does exactly what the test tells it to: drops a stream after it received a
 * commit, says that it does not lead, leads in a newer epoch, answers twice, never answers. For the moments that a healthy cluster does
 * not offer on demand.
 */
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import type { ServerDuplexStream, ServiceDefinition } from "@grpc/grpc-js";
import { nodeId, ZXID_ZERO, zxid } from "../../src/base/index.js";
import type { Gid, NodeId } from "../../src/base/index.js";
import type { Answer, BranchReply, InquiryAnswer, Request } from "../../src/coordinator/index.js";
import { codecs, moveLeaderRequestCodec, moveLeaderResponseCodec, SERVER_OPTIONS } from "../../src/wire/index.js";
import type { FrameCall, NodeStatus, NodeView, ParticipantFrame } from "../../src/wire/index.js";

type RawStream = ServerDuplexStream<Uint8Array, Uint8Array>;

const bytes = { serialize: (value: Uint8Array): Buffer => Buffer.from(value), deserialize: (value: Buffer): Uint8Array => value };
const method = (path: string, stream: boolean): ServiceDefinition[string] => ({
  path,
  requestStream: stream,
  responseStream: stream,
  requestSerialize: bytes.serialize,
  requestDeserialize: bytes.deserialize,
  responseSerialize: bytes.serialize,
  responseDeserialize: bytes.deserialize,
});

/** One client stream on this node. */
export class SessionPeer {
  readonly node: ScriptedNode;
  readonly client: string;
  readonly #stream: RawStream;

  constructor(node: ScriptedNode, client: string, stream: RawStream) {
    this.node = node;
    this.client = client;
    this.#stream = stream;
  }

  answer(...answers: readonly { readonly request: number; readonly answer: Answer }[]): void {
    this.#stream.write(codecs.serverFrame.encode({ view: undefined, answers }));
  }

  view(view: NodeView): void {
    this.#stream.write(codecs.serverFrame.encode({ view, answers: [] }));
  }

  garbage(): void {
    this.#stream.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  }

  /** As a node that dies: the stream breaks, no answer. */
  drop(): void {
    this.#stream.emit("error", { code: status.UNAVAILABLE, details: "dropped by the test" });
  }
}

/** One attached participant instance on this node. */
export class InstancePeer {
  readonly hello: NonNullable<ParticipantFrame["hello"]>;
  readonly replies: BranchReply[] = [];
  readonly inquiries: { readonly gid: Gid; readonly branch: string }[] = [];
  readonly #stream: RawStream;
  open = true;

  constructor(hello: NonNullable<ParticipantFrame["hello"]>, stream: RawStream) {
    this.hello = hello;
    this.#stream = stream;
  }

  call(...calls: readonly FrameCall[]): void {
    this.#stream.write(codecs.coordinatorFrame.encode({ view: undefined, calls, answers: [] }));
  }

  answer(...answers: readonly InquiryAnswer[]): void {
    this.#stream.write(codecs.coordinatorFrame.encode({ view: undefined, calls: [], answers }));
  }

  view(view: NodeView): void {
    this.#stream.write(codecs.coordinatorFrame.encode({ view, calls: [], answers: [] }));
  }

  drop(): void {
    this.open = false;
    this.#stream.emit("error", { code: status.UNAVAILABLE, details: "dropped by the test" });
  }
}

export interface Received {
  readonly from: SessionPeer;
  readonly request: number;
  readonly body: Request;
}

export class ScriptedNode {
  readonly id: NodeId;
  /** Every request received, in order. */
  readonly received: Received[] = [];
  /** Frames with requests. */
  frames = 0;
  readonly sessions = new Set<SessionPeer>();
  readonly instances: InstancePeer[] = [];
  /** What it does with a request. */
  onRequest: (received: Received) => void = () => undefined;
  status: NodeStatus | undefined;
  moveLeader: ((to: NodeId | undefined) => NodeId) | undefined;
  port = 0;
  #view: NodeView;
  #server: Server | undefined;

  constructor(id: number, clusterId = "cluster-1") {
    this.id = nodeId(id);
    this.#view = {
      clusterId,
      node: this.id,
      role: "looking",
      established: false,
      epoch: 0,
      leader: undefined,
      leaderAddress: "",
      clusterTimeMs: Date.now(),
      members: [],
      forgottenBelowMs: 0,
    };
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get view(): NodeView {
    return this.#view;
  }

  /** Instances of a participant whose stream is open. */
  attached(participant: string): InstancePeer[] {
    return this.instances.filter((instance) => instance.open && instance.hello.participant === participant);
  }

  async start(): Promise<this> {
    const server = new Server(SERVER_OPTIONS);
    server.addService(
      {
        Open: method("/quorate.v1.Session/Open", true),
        Attach: method("/quorate.v1.Participants/Attach", true),
        Status: method("/quorate.v1.Coordinator/Status", false),
        MoveLeader: method("/quorate.v1.Coordinator/MoveLeader", false),
      },
      {
        Open: (stream: RawStream) => this.#session(stream),
        Attach: (stream: RawStream) => this.#attach(stream),
        Status: (_call: unknown, reply: (error: object | null, value?: Uint8Array) => void) =>
          this.status === undefined
            ? reply({ code: status.UNAVAILABLE, details: "no status scripted" })
            : reply(null, codecs.nodeStatus.encode(this.status)),
        MoveLeader: (call: { readonly request: Uint8Array }, reply: (error: object | null, value?: Uint8Array) => void) =>
          this.moveLeader === undefined
            ? reply({ code: status.FAILED_PRECONDITION, details: "no hand-over scripted" })
            : reply(null, moveLeaderResponseCodec.encode(this.moveLeader(moveLeaderRequestCodec.decode(call.request)))),
      } as never,
    );
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
    this.#server = server;
    return this;
  }

  /** As kill -9: every connection breaks, the port refuses. `start` brings it back on the same port. */
  kill(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
    this.sessions.clear();
    for (const instance of this.instances) instance.open = false;
  }

  setView(change: Partial<NodeView>): void {
    this.#view = { ...this.#view, ...change };
    for (const session of this.sessions) session.view(this.#view);
    for (const instance of this.instances) if (instance.open) instance.view(this.#view);
  }

  #session(stream: RawStream): void {
    let peer: SessionPeer | undefined;
    stream.on("data", (data: Uint8Array) => {
      const frame = codecs.clientFrame.decode(data);
      if (peer === undefined) {
        if (frame.hello === undefined) throw new Error("hello must come first");
        peer = new SessionPeer(this, frame.hello.client, stream);
        this.sessions.add(peer);
        peer.view(this.#view);
      }
      if (frame.requests.length > 0) this.frames++;
      for (const { request, body } of frame.requests) {
        const received: Received = { from: peer, request, body };
        this.received.push(received);
        this.onRequest(received);
      }
    });
    const gone = (): void => {
      if (peer !== undefined) this.sessions.delete(peer);
    };
    stream.on("error", gone);
    stream.on("close", gone);
    stream.on("end", () => {
      gone();
      stream.end();
    });
  }

  #attach(stream: RawStream): void {
    let peer: InstancePeer | undefined;
    stream.on("data", (data: Uint8Array) => {
      const frame = codecs.participantFrame.decode(data);
      if (peer === undefined) {
        if (frame.hello === undefined) throw new Error("hello must come first");
        peer = new InstancePeer(frame.hello, stream);
        this.instances.push(peer);
        peer.view(this.#view);
      }
      peer.replies.push(...frame.replies);
      peer.inquiries.push(...frame.inquiries);
    });
    const gone = (): void => {
      if (peer !== undefined) peer.open = false;
    };
    stream.on("error", gone);
    stream.on("close", gone);
    stream.on("end", () => {
      gone();
      stream.end();
    });
  }
}

/** Several scripted nodes that know of each other. */
export class ScriptedCluster {
  readonly nodes: readonly ScriptedNode[];

  private constructor(nodes: readonly ScriptedNode[]) {
    this.nodes = nodes;
  }

  static async start(count: number, clusterId = "cluster-1"): Promise<ScriptedCluster> {
    const nodes = Array.from({ length: count }, (_, i) => new ScriptedNode(i + 1, clusterId));
    await Promise.all(nodes.map((node) => node.start()));
    const members = nodes.map((node) => ({ id: node.id, clientAddress: node.address }));
    for (const node of nodes) node.setView({ members });
    return new ScriptedCluster(nodes);
  }

  get url(): string {
    return `quorate://${this.nodes.map((node) => node.address).join(",")}`;
  }

  node(id: number): ScriptedNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** Every node of `among` (all by default) says that `id` leads `epoch`. */
  elect(id: number, epoch: number, among: readonly number[] = this.nodes.map((node) => node.id)): void {
    for (const other of among) {
      this.node(other).setView({
        role: other === id ? "leading" : "following",
        established: true,
        epoch,
        leader: nodeId(id),
        leaderAddress: this.node(id).address,
      });
    }
  }

  stop(): void {
    for (const node of this.nodes) node.kill();
  }
}

export function decided(gid: Gid, decision: "commit" | "abort" = "commit", reason?: string, detail = ""): Answer {
  return { kind: "decided", gid, decision, reason, detail, zxid: zxid(1, 1) };
}

export function refused(code: "QUORATE_NOT_LEADER" | "QUORATE_OVERLOADED" | "QUORATE_NO_QUORUM"): Answer {
  return { kind: "error", code, message: "nothing was proposed", outcome: undefined, retry: "safe", gid: undefined, version: undefined };
}

/** What a healthy leader answers at once. */
export function healthy(received: Received): void {
  const { from, request, body } = received;
  from.answer({ request, answer: healthyAnswer(body) });
}

export function healthyAnswer(body: Request): Answer {
  switch (body.kind) {
    case "open":
      return { kind: "opened", gid: body.gid as Gid };
    case "enlist":
      return { kind: "enlisted", gid: body.gid };
    case "commit":
      return decided(body.gid);
    case "abort":
      return decided(body.gid, "abort", "client");
    case "put":
      return { kind: "put", version: zxid(1, 2) };
    case "read":
      return { kind: "read", value: undefined, version: undefined };
    case "list":
      return { kind: "transactions", transactions: [] };
    case "outcome":
      return {
        kind: "transaction",
        transaction: {
          gid: body.gid,
          state: "unknown",
          decision: undefined,
          reason: undefined,
          detail: undefined,
          decidedAt: ZXID_ZERO,
          openedMs: undefined,
          branches: [],
        },
      };
    default:
      return { kind: "ok" };
  }
}

/** Resolves when the condition holds, as seen once per turn of the event loop; fails with `what` after `withinMs`. */
export async function until(what: string, condition: () => boolean, withinMs = 5_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
