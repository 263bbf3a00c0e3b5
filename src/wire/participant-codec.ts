/**
 * Frames of a participant instance's stream: proto/quorate/v1/participant.proto. Payloads of calls are views of their frame.
 */
import type { Gid } from "../base/index.js";
import { unreachable } from "../base/index.js";
import type { Abilities, BranchPhase, BranchReply, Inquiry, InquiryAnswer } from "../coordinator/index.js";
import type { Vote } from "../txn/index.js";
import type { Codec } from "./codec-api.js";
import { EMPTY_BYTES, pushBounded, readGid, readGidBranch, readNothing, writeGidBranches } from "./common-codec.js";
import { BRANCH_PHASE, HEURISTIC, INQUIRY_ANSWER, VOTE } from "./enums.js";
import type { CoordinatorFrame, FrameCall, ParticipantFrame } from "./frames.js";
import type { ProtoReader } from "./proto-reader.js";
import { decodeMessage, nested } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { readView, writeOptionalView } from "./view-codec.js";
import { WireError } from "./wire-error.js";

type Result = BranchReply["result"];
type Hello = NonNullable<ParticipantFrame["hello"]>;

const participantWriter = new ProtoWriter(256 * 1024);
const coordinatorWriter = new ProtoWriter(512 * 1024);

// ---- participant to node

function writeResult(w: ProtoWriter, result: Result): void {
  const mark = w.mark();
  switch (result.kind) {
    case "vote":
      w.text(2, result.detail);
      w.uint(1, VOTE.code(result.vote));
      w.message(4, mark);
      return;
    case "done":
      w.message(5, mark);
      return;
    case "heuristic":
      w.text(2, result.detail);
      w.uint(1, HEURISTIC.code(result.outcome));
      w.message(6, mark);
      return;
    case "failed":
      w.text(1, result.detail);
      w.message(7, mark);
      return;
    case "refused":
      w.text(1, result.detail);
      w.message(8, mark);
      return;
    default:
      unreachable(result);
  }
}

function writeReplies(w: ProtoWriter, field: number, replies: readonly BranchReply[]): void {
  for (let i = replies.length - 1; i >= 0; i--) {
    const reply = replies[i] as BranchReply;
    const mark = w.mark();
    writeResult(w, reply.result);
    w.text(3, reply.branch);
    w.text(2, reply.gid);
    w.uint(1, BRANCH_PHASE.code(reply.phase));
    w.message(field, mark);
  }
}

function readVoteResult(r: ProtoReader): Extract<Result, { kind: "vote" }> {
  let vote: Vote | undefined;
  let detail = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) vote = VOTE.read(r);
    else if (tag === 18) detail = r.text();
    else r.skip(tag);
  }
  return { kind: "vote", vote: VOTE.required(vote), detail };
}

function readHeuristicResult(r: ProtoReader): Extract<Result, { kind: "heuristic" }> {
  let outcome: Extract<Result, { kind: "heuristic" }>["outcome"] | undefined;
  let detail = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) outcome = HEURISTIC.read(r);
    else if (tag === 18) detail = r.text();
    else r.skip(tag);
  }
  return { kind: "heuristic", outcome: HEURISTIC.required(outcome), detail };
}

function readDetail(r: ProtoReader): string {
  let detail = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) detail = r.text();
    else r.skip(tag);
  }
  return detail;
}

/**
 * A vote answers prepare, done and heuristic answer a decision, done and refused a one-phase commit; anything else would be counted as
 * what it is not.
 */
function replyOf(phase: BranchPhase, gid: Gid, branch: string, result: Result | undefined): BranchReply {
  if (result === undefined) throw new WireError("a reply without a result that this version knows");
  switch (result.kind) {
    case "failed":
      return { phase, gid, branch, result };
    case "vote":
      if (phase !== "prepare") throw new WireError(`a vote in answer to ${phase}`);
      return { phase, gid, branch, result };
    case "done":
      if (phase === "prepare") throw new WireError("done in answer to prepare");
      return { phase, gid, branch, result };
    case "heuristic":
      if (phase === "prepare" || phase === "one-phase") throw new WireError(`a heuristic outcome in answer to ${phase}`);
      return { phase, gid, branch, result };
    case "refused":
      if (phase !== "one-phase") throw new WireError(`refused in answer to ${phase}`);
      return { phase, gid, branch, result };
    default:
      return unreachable(result);
  }
}

function readReply(r: ProtoReader): BranchReply {
  let phase: BranchPhase | undefined;
  let gid = "" as Gid;
  let branch = "";
  let result: Result | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) phase = BRANCH_PHASE.read(r);
    else if (tag === 18) gid = readGid(r);
    else if (tag === 26) branch = r.text();
    else if (tag === 34) result = nested(r, readVoteResult);
    else if (tag === 42) {
      nested(r, readNothing);
      result = { kind: "done" };
    } else if (tag === 50) result = nested(r, readHeuristicResult);
    else if (tag === 58) result = { kind: "failed", detail: nested(r, readDetail) };
    else if (tag === 66) result = { kind: "refused", detail: nested(r, readDetail) };
    else r.skip(tag);
  }
  return replyOf(BRANCH_PHASE.required(phase), gid, branch, result);
}

const TWO_PHASE: Abilities["kinds"] = ["2pc"];
const TCC_ONLY: Abilities["kinds"] = ["tcc"];
const BOTH: Abilities["kinds"] = ["2pc", "tcc"];

function readHello(r: ProtoReader): Hello {
  let participant = "";
  let participantKind = "";
  let instance = "";
  let version = "";
  let onePhase = false;
  let afterBegin = false;
  let tcc = false;
  let tccOnly = false;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) participant = r.text();
    else if (tag === 18) participantKind = r.text();
    else if (tag === 26) instance = r.text();
    else if (tag === 34) version = r.text();
    else if (tag === 40) onePhase = r.bool();
    else if (tag === 48) afterBegin = r.bool();
    else if (tag === 56) tcc = r.bool();
    else if (tag === 64) tccOnly = r.bool();
    else r.skip(tag);
  }
  return { participant, participantKind, instance, version, onePhase, afterBegin, kinds: tccOnly ? TCC_ONLY : tcc ? BOTH : TWO_PHASE };
}

function readParticipantFrame(r: ProtoReader): ParticipantFrame {
  let hello: ParticipantFrame["hello"];
  const replies: BranchReply[] = [];
  const inquiries: Inquiry[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 18) pushBounded(replies, nested(r, readReply));
    else if (tag === 26) pushBounded(inquiries, nested(r, readGidBranch));
    else if (tag === 10) hello = nested(r, readHello);
    else r.skip(tag);
  }
  return { hello, replies, inquiries };
}

export const participantFrameCodec: Codec<ParticipantFrame> = {
  encode({ hello, replies, inquiries }) {
    const w = participantWriter;
    w.begin();
    writeGidBranches(w, 3, inquiries);
    writeReplies(w, 2, replies);
    if (hello !== undefined) {
      const mark = w.mark();
      w.bool(8, !hello.kinds.includes("2pc"));
      w.bool(7, hello.kinds.includes("tcc"));
      w.bool(6, hello.afterBegin);
      w.bool(5, hello.onePhase);
      w.text(4, hello.version);
      w.text(3, hello.instance);
      w.text(2, hello.participantKind);
      w.text(1, hello.participant);
      w.message(1, mark);
    }
    return w.finish();
  },
  decode: (bytes) => decodeMessage("ParticipantFrame", bytes, readParticipantFrame),
};

// ---- node to participant

function writeCalls(w: ProtoWriter, field: number, calls: readonly FrameCall[]): void {
  for (let i = calls.length - 1; i >= 0; i--) {
    const call = calls[i] as FrameCall;
    const mark = w.mark();
    w.bool(7, call.kind === "tcc");
    w.bytes(6, call.payload);
    w.uint(5, call.attempt);
    w.uint(4, call.epoch);
    w.text(3, call.branch);
    w.text(2, call.gid);
    w.uint(1, BRANCH_PHASE.code(call.phase));
    w.message(field, mark);
  }
}

function readCall(r: ProtoReader): FrameCall {
  let phase: BranchPhase | undefined;
  let gid = "" as Gid;
  let branch = "";
  let epoch = 0;
  let attempt = 0;
  let payload: Uint8Array = EMPTY_BYTES;
  let tcc = false;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) phase = BRANCH_PHASE.read(r);
    else if (tag === 18) gid = readGid(r);
    else if (tag === 26) branch = r.text();
    else if (tag === 32) epoch = r.uint32();
    else if (tag === 40) attempt = r.uint32();
    else if (tag === 50) payload = r.view();
    else if (tag === 56) tcc = r.bool();
    else r.skip(tag);
  }
  return { phase: BRANCH_PHASE.required(phase), kind: tcc ? "tcc" : "2pc", gid, branch, epoch, attempt, payload };
}

function writeInquiryAnswers(w: ProtoWriter, field: number, answers: readonly InquiryAnswer[]): void {
  for (let i = answers.length - 1; i >= 0; i--) {
    const answer = answers[i] as InquiryAnswer;
    const mark = w.mark();
    w.uint(3, INQUIRY_ANSWER.code(answer.answer));
    w.text(2, answer.branch);
    w.text(1, answer.gid);
    w.message(field, mark);
  }
}

function readInquiryAnswer(r: ProtoReader): InquiryAnswer {
  let gid = "" as Gid;
  let branch = "";
  let answer: InquiryAnswer["answer"] | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) branch = r.text();
    else if (tag === 24) answer = INQUIRY_ANSWER.read(r);
    else r.skip(tag);
  }
  return { gid, branch, answer: INQUIRY_ANSWER.required(answer) };
}

function readCoordinatorFrame(r: ProtoReader): CoordinatorFrame {
  let view: CoordinatorFrame["view"];
  const calls: FrameCall[] = [];
  const answers: InquiryAnswer[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 18) pushBounded(calls, nested(r, readCall));
    else if (tag === 26) pushBounded(answers, nested(r, readInquiryAnswer));
    else if (tag === 10) view = nested(r, readView);
    else r.skip(tag);
  }
  return { view, calls, answers };
}

/** About how many bytes the call takes on the wire: what frames are filled by. */
export function callBytes(call: FrameCall): number {
  return call.payload.length + 120;
}

export const coordinatorFrameCodec: Codec<CoordinatorFrame> = {
  encode({ view, calls, answers }) {
    const w = coordinatorWriter;
    let bytes = 400 + answers.length * 110;
    for (const call of calls) bytes += callBytes(call);
    w.begin(bytes);
    writeInquiryAnswers(w, 3, answers);
    writeCalls(w, 2, calls);
    writeOptionalView(w, 1, view);
    return w.finish();
  },
  decode: (bytes) => decodeMessage("CoordinatorFrame", bytes, readCoordinatorFrame),
};
