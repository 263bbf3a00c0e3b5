/**
 * The unary Coordinator service, method by method: proto/quorate/v1/coordinator.proto.
 *
 * Requests and answers are the domain's own; Status and MoveLeader, which are no requests to the replicated state, stand beside them.
 */
import type { NodeId } from "../base/index.js";
import { assert } from "../base/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import { ANSWER_READERS, writeAnswer } from "./answer-codec.js";
import type { Codec } from "./codec-api.js";
import { readNothing, readOptionalNodeId, requiredNodeId } from "./common-codec.js";
import type { ProtoReader, Read } from "./proto-reader.js";
import { decodeMessage } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { REQUEST_READERS, writeRequest } from "./request-codec.js";

/** A method of the Coordinator service that carries a Request and brings an Answer. */
export interface UnaryMethod {
  readonly request: Codec<Request>;
  /** Never carries an error: those are gRPC statuses. */
  readonly answer: Codec<Answer>;
  readonly answerKind: Answer["kind"];
}

const writer = new ProtoWriter(64 * 1024);

function requestCodec<K extends Request["kind"]>(message: string, kind: K): Codec<Request> {
  const read: Read<Request> = REQUEST_READERS[kind];
  return {
    encode(body) {
      assert(body.kind === kind, () => `${message} carries ${kind}, not ${body.kind}`);
      writer.begin();
      writeRequest(writer, body);
      return writer.finish();
    },
    decode: (bytes) => decodeMessage(message, bytes, read),
  };
}

function answerCodec<K extends Answer["kind"]>(message: string, kind: K): Codec<Answer> {
  const read: Read<Answer> = ANSWER_READERS[kind];
  return {
    encode(answer) {
      assert(answer.kind === kind, () => `${message} carries ${kind}, not ${answer.kind}`);
      writer.begin();
      writeAnswer(writer, answer);
      return writer.finish();
    },
    decode: (bytes) => decodeMessage(message, bytes, read),
  };
}

function method(name: string, request: Request["kind"], response: string, answer: Answer["kind"]): UnaryMethod {
  return { request: requestCodec(`${name}Request`, request), answer: answerCodec(response, answer), answerKind: answer };
}

/** By the method's name in the service. */
export const UNARY_METHODS = {
  Begin: method("Begin", "open", "BeginResponse", "opened"),
  Enlist: method("Enlist", "enlist", "EnlistResponse", "enlisted"),
  Commit: method("Commit", "commit", "DecisionResponse", "decided"),
  Abort: method("Abort", "abort", "DecisionResponse", "decided"),
  Get: method("Get", "outcome", "TransactionView", "transaction"),
  List: method("List", "list", "ListResponse", "transactions"),
  Put: method("Put", "put", "PutResponse", "put"),
  Read: method("Read", "read", "ReadResponse", "read"),
  Retry: method("Retry", "retry", "RetryResponse", "ok"),
  Resolve: method("Resolve", "resolve", "ResolveResponse", "ok"),
  Health: method("Health", "noop", "HealthResponse", "ok"),
} as const satisfies Readonly<Record<string, UnaryMethod>>;

export type UnaryMethodName = keyof typeof UNARY_METHODS;

/** The method that carries a request of this kind. */
export const UNARY_METHOD_OF: Readonly<Record<Request["kind"], UnaryMethodName>> = {
  open: "Begin",
  enlist: "Enlist",
  commit: "Commit",
  abort: "Abort",
  outcome: "Get",
  list: "List",
  put: "Put",
  read: "Read",
  retry: "Retry",
  resolve: "Resolve",
  noop: "Health",
};

function nodeReader(r: ProtoReader): NodeId | undefined {
  let id: NodeId | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) id = readOptionalNodeId(r);
    else r.skip(tag);
  }
  return id;
}

function writeNode(id: NodeId | undefined): Uint8Array {
  writer.begin();
  writer.uint(1, id ?? 0);
  return writer.finish();
}

/** StatusRequest has no fields. The response is NodeStatus. */
export const statusRequestCodec: Codec<undefined> = {
  encode: () => new Uint8Array(0),
  decode: (bytes) => decodeMessage("StatusRequest", bytes, readNothing),
};

/** undefined: the most advanced follower. */
export const moveLeaderRequestCodec: Codec<NodeId | undefined> = {
  encode: writeNode,
  decode: (bytes) => decodeMessage("MoveLeaderRequest", bytes, nodeReader),
};

/** The new leader. */
export const moveLeaderResponseCodec: Codec<NodeId> = {
  encode: writeNode,
  decode: (bytes) => decodeMessage("MoveLeaderResponse", bytes, (r) => requiredNodeId(nodeReader(r))),
};
