/**
 * Frames of the client's stream: proto/quorate/v1/session.proto.
 */
import { must } from "../base/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import { ANSWER_READERS, answerBytes, writeAnswer } from "./answer-codec.js";
import type { Codec } from "./codec-api.js";
import { pushBounded } from "./common-codec.js";
import type { ClientFrame, ServerFrame } from "./frames.js";
import type { ProtoReader, Read } from "./proto-reader.js";
import { decodeMessage, nested } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { REQUEST_READERS, writeRequest } from "./request-codec.js";
import { readView, writeOptionalView } from "./view-codec.js";
import { WireError } from "./wire-error.js";

type ClientRequest = ClientFrame["requests"][number];
type ServerAnswer = ServerFrame["answers"][number];

const clientWriter = new ProtoWriter(512 * 1024);
const serverWriter = new ProtoWriter(512 * 1024);

/** Field numbers of ClientRequest.body, in the order of `body`. */
const REQUEST_KINDS: readonly Request["kind"][] = [
  "open",
  "enlist",
  "commit",
  "abort",
  "outcome",
  "list",
  "put",
  "read",
  "retry",
  "resolve",
  "noop",
];
/** Field numbers of ServerAnswer.answer. */
const ANSWER_KINDS: readonly Answer["kind"][] = [
  "opened",
  "enlisted",
  "decided",
  "transaction",
  "transactions",
  "put",
  "read",
  "ok",
  "error",
];
const FIRST_FIELD = 2;

function fieldsOf<K extends string>(kinds: readonly K[]): ReadonlyMap<K, number> {
  return new Map(kinds.map((kind, index) => [kind, index + FIRST_FIELD]));
}

const requestFields = fieldsOf(REQUEST_KINDS);
const answerFields = fieldsOf(ANSWER_KINDS);
const requestReaders: readonly (Read<Request> | undefined)[] = [
  undefined,
  undefined,
  ...REQUEST_KINDS.map((kind) => REQUEST_READERS[kind]),
];
const answerReaders: readonly (Read<Answer> | undefined)[] = [undefined, undefined, ...ANSWER_KINDS.map((kind) => ANSWER_READERS[kind])];

function readHello(r: ProtoReader): NonNullable<ClientFrame["hello"]> {
  let client = "";
  let version = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) client = r.text();
    else if (tag === 18) version = r.text();
    else r.skip(tag);
  }
  return { client, version };
}

function readClientRequest(r: ProtoReader): ClientRequest {
  let request = 0;
  let body: Request | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const read = (tag & 7) === 2 ? requestReaders[tag >>> 3] : undefined;
    if (tag === 8) request = r.uint();
    else if (read !== undefined) body = nested(r, read);
    else r.skip(tag);
  }
  if (body === undefined) throw new WireError(`request ${request} is of no kind that this version knows`);
  return { request, body };
}

function readClientFrame(r: ProtoReader): ClientFrame {
  let hello: ClientFrame["hello"];
  const requests: ClientRequest[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 18) pushBounded(requests, nested(r, readClientRequest));
    else if (tag === 10) hello = nested(r, readHello);
    else r.skip(tag);
  }
  return { hello, requests };
}

function readServerAnswer(r: ProtoReader): ServerAnswer {
  let request = 0;
  let answer: Answer | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const read = (tag & 7) === 2 ? answerReaders[tag >>> 3] : undefined;
    if (tag === 8) request = r.uint();
    else if (read !== undefined) answer = nested(r, read);
    else r.skip(tag);
  }
  if (answer === undefined) throw new WireError(`the answer to request ${request} is of no kind that this version knows`);
  return { request, answer };
}

function readServerFrame(r: ProtoReader): ServerFrame {
  let view: ServerFrame["view"];
  const answers: ServerAnswer[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 18) pushBounded(answers, nested(r, readServerAnswer));
    else if (tag === 10) view = nested(r, readView);
    else r.skip(tag);
  }
  return { view, answers };
}

/** About how many bytes the request takes on the wire: what frames are filled by. */
export function requestBytes(body: Request): number {
  let bytes = 120;
  if (body.kind === "put") bytes += body.value.length + body.name.length * 2;
  else if (body.kind === "open" || body.kind === "commit") for (const branch of body.branches) bytes += branch.payload.length + 100;
  else if (body.kind === "enlist") bytes += body.branch.payload.length + 100;
  else if (body.kind === "resolve") bytes += (body.by.length + body.note.length) * 2;
  return bytes;
}

export const clientFrameCodec: Codec<ClientFrame> = {
  encode({ hello, requests }) {
    const w = clientWriter;
    let bytes = 100;
    for (const { body } of requests) bytes += requestBytes(body);
    w.begin(bytes);
    for (let i = requests.length - 1; i >= 0; i--) {
      const { request, body } = requests[i] as ClientRequest;
      const outer = w.mark();
      writeRequest(w, body);
      w.message(must(requestFields.get(body.kind), "field of a request"), outer);
      w.uint(1, request);
      w.message(2, outer);
    }
    if (hello !== undefined) {
      const mark = w.mark();
      w.text(2, hello.version);
      w.text(1, hello.client);
      w.message(1, mark);
    }
    return w.finish();
  },
  decode: (bytes) => decodeMessage("ClientFrame", bytes, readClientFrame),
};

export const serverFrameCodec: Codec<ServerFrame> = {
  encode({ view, answers }) {
    const w = serverWriter;
    let bytes = 400;
    for (const { answer } of answers) bytes += answerBytes(answer);
    w.begin(bytes);
    for (let i = answers.length - 1; i >= 0; i--) {
      const { request, answer } = answers[i] as ServerAnswer;
      const outer = w.mark();
      writeAnswer(w, answer);
      w.message(must(answerFields.get(answer.kind), "field of an answer"), outer);
      w.uint(1, request);
      w.message(2, outer);
    }
    writeOptionalView(w, 1, view);
    return w.finish();
  },
  decode: (bytes) => decodeMessage("ServerFrame", bytes, readServerFrame),
};
