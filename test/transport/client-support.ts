/**
 * A client server with recorded handlers, and raw gRPC clients for it.
 */
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { ClientDuplexStream, ServiceError, StatusObject } from "@grpc/grpc-js";
import { nodeId } from "../../src/base/index.js";
import type { Abilities, Answer, BranchReply, Inquiry, Request } from "../../src/coordinator/index.js";
import { asBytes, toBuffer } from "../../src/transport/bytes.js";
import { createClientServer } from "../../src/transport/index.js";
import type { ClientServer, ClientServerHandlers, ClientServerOptions } from "../../src/transport/index.js";
import type {
  ClientFrame,
  Codec,
  CoordinatorFrame,
  NodeView,
  ParticipantFrame,
  ServerFrame,
  UnaryMethodName,
} from "../../src/wire/index.js";
import { codecs, UNARY_METHODS } from "../../src/wire/index.js";
import { Recorder, recordingLogger } from "./support.js";
import type { LogLine } from "./support.js";

export type Event =
  | { readonly kind: "client-up"; readonly session: number; readonly client: string }
  | { readonly kind: "client-down"; readonly session: number }
  | { readonly kind: "request"; readonly session: number; readonly request: number; readonly body: Request }
  | {
      readonly kind: "instance-up";
      readonly instance: number;
      readonly participant: string;
      readonly participantKind: string;
      readonly abilities: Abilities;
    }
  | { readonly kind: "instance-down"; readonly instance: number }
  | { readonly kind: "reply"; readonly instance: number; readonly reply: BranchReply }
  | { readonly kind: "inquiry"; readonly instance: number; readonly inquiry: Inquiry }
  | { readonly kind: "unary"; readonly body: Request; readonly deadlineMs: number };

export interface TestServer {
  readonly server: ClientServer;
  readonly events: Recorder<Event>;
  readonly log: Recorder<LogLine>;
  readonly address: string;
}

export const CLIENT = "0192f0c1a2b37c4d8e9f0a1b2c3d4e5f";
export const GID = `q-${CLIENT}`;

export const VIEW: NodeView = {
  clusterId: "test",
  node: nodeId(1),
  role: "leading",
  established: true,
  epoch: 3,
  leader: nodeId(1),
  leaderAddress: "127.0.0.1:7400",
  clusterTimeMs: 1_700_000_000_000,
  members: [{ id: nodeId(1), clientAddress: "127.0.0.1:7400" }],
  forgottenBelowMs: 0,
};

export async function startServer(
  onUnary: (body: Request, deadlineMs: number) => Promise<Answer> = () => Promise.resolve({ kind: "ok" }),
  overrides: Partial<ClientServerHandlers> = {},
  options: Partial<ClientServerOptions> = {},
): Promise<TestServer> {
  const events = new Recorder<Event>();
  const log = new Recorder<LogLine>();
  const server = await createClientServer({
    listenAddress: "127.0.0.1:0",
    unaryDeadlineMs: 15_000,
    transactionTimeoutMs: 10_000,
    log: recordingLogger(log),
    handlers: {
      onClientUp: (session, client) => events.add({ kind: "client-up", session, client }),
      onClientDown: (session) => events.add({ kind: "client-down", session }),
      onRequests: (session, requests) => {
        for (const { request, body } of requests) events.add({ kind: "request", session, request, body });
      },
      onInstanceUp: (instance, participant, participantKind, abilities) =>
        events.add({ kind: "instance-up", instance, participant, participantKind, abilities }),
      onInstanceDown: (instance) => events.add({ kind: "instance-down", instance }),
      onReplies: (instance, replies) => {
        for (const reply of replies) events.add({ kind: "reply", instance, reply });
      },
      onInquiries: (instance, inquiries) => {
        for (const inquiry of inquiries) events.add({ kind: "inquiry", instance, inquiry });
      },
      onUnary: (body, deadlineMs) => {
        events.add({ kind: "unary", body, deadlineMs });
        return onUnary(body, deadlineMs);
      },
      onStatus: () => Promise.reject(new Error("no status here")),
      onMoveLeader: () => Promise.resolve(nodeId(2)),
      ...overrides,
    },
    ...options,
  });
  return { server, events, log, address: `127.0.0.1:${server.port}` };
}

/** One stream of a raw client. */
export class RawStream<Out, In> {
  readonly frames = new Recorder<In>();
  readonly ended: Promise<StatusObject>;
  readonly call: ClientDuplexStream<Uint8Array, Uint8Array>;
  readonly #client: Client;
  readonly #codec: Codec<Out>;

  constructor(address: string, path: string, out: Codec<Out>, incoming: Codec<In>) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_send_message_length": -1,
    });
    this.#codec = out;
    this.call = this.#client.makeBidiStreamRequest(path, toBuffer, asBytes, new Metadata());
    this.call.on("data", (bytes: Uint8Array) => this.frames.add(incoming.decode(bytes)));
    this.call.on("error", () => undefined);
    this.ended = new Promise((resolve) =>
      this.call.on("status", (end) => {
        this.#client.close();
        resolve(end);
      }),
    );
  }

  send(frame: Out): void {
    this.call.write(this.#codec.encode(frame));
  }

  raw(bytes: Uint8Array): void {
    this.call.write(bytes);
  }

  /** As when the process dies. */
  cancel(): void {
    this.call.cancel();
    this.#client.close();
  }
}

export function sessionStream(address: string): RawStream<ClientFrame, ServerFrame> {
  return new RawStream(address, "/quorate.v1.Session/Open", codecs.clientFrame, codecs.serverFrame);
}

export function attachStream(address: string): RawStream<ParticipantFrame, CoordinatorFrame> {
  return new RawStream(address, "/quorate.v1.Participants/Attach", codecs.participantFrame, codecs.coordinatorFrame);
}

export const HELLO: ClientFrame = { hello: { client: CLIENT, version: "1" }, requests: [] };

export function requests(...bodies: readonly (readonly [number, Request])[]): ClientFrame {
  return { hello: undefined, requests: bodies.map(([request, body]) => ({ request, body })) };
}

/** A client that has said hello and is known to the server. */
export async function connected({
  address,
  events,
}: TestServer): Promise<{ readonly stream: RawStream<ClientFrame, ServerFrame>; readonly session: number }> {
  const up = events.next(({ kind }) => kind === "client-up");
  const stream = sessionStream(address);
  stream.send(HELLO);
  const event = await up;
  return { stream, session: event.kind === "client-up" ? event.session : 0 };
}

/** Calls a method of the Coordinator service with raw bytes. Rejects with the ServiceError. */
export function unaryBytes(address: string, method: string, request: Uint8Array, deadlineMs?: number): Promise<Uint8Array> {
  const client = new Client(address, credentials.createInsecure());
  return new Promise<Uint8Array>((resolve, reject) => {
    const done = (error: ServiceError | null, response?: Uint8Array): void => {
      client.close();
      if (error !== null) reject(error);
      else resolve(response ?? new Uint8Array());
    };
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    client.makeUnaryRequest(`/quorate.v1.Coordinator/${method}`, toBuffer, asBytes, request, new Metadata(), options, done);
  });
}

export async function unary(address: string, method: UnaryMethodName, body: Request, deadlineMs?: number): Promise<Answer> {
  const { request, answer } = UNARY_METHODS[method];
  return answer.decode(await unaryBytes(address, method, request.encode(body), deadlineMs));
}
