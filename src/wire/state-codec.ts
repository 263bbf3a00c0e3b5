/**
 * The replicated state in its stored form: one key per transaction, page of outcomes, register, participant and client, and "meta".
 *
 * Keys are a letter, a slash and the name: t/<gid>, q/<page>, r/<name>, p/<name>, c/<client>; o/<gid> from earlier versions. A value repeats its name, and decoding
 * compares the two: a value that was stored under a wrong key is found when it is read, not when it is acted upon.
 */
import type { Gid, Zxid } from "../base/index.js";
import { must, unreachable, ZXID_ZERO } from "../base/index.js";
import type {
  BranchRecord,
  ClientMemory,
  DecisionRecord,
  KnownParticipant,
  Register,
  StateChange,
  StateMeta,
  Transaction,
} from "../txn/index.js";
import type { WireCodecs } from "./codec-api.js";
import { EMPTY_BYTES, readBranch, readGid, readZxid, writeBranch, writeZxid } from "./common-codec.js";
import { ABORT_REASON, DECISION, REMEMBERED_OUTCOME, TRANSACTION_STATE, VOTE } from "./enums.js";
import { readOutcome, readOutcomePage, writeOutcome, writeOutcomePage } from "./outcome-codec.js";
import type { ProtoReader, Read } from "./proto-reader.js";
import { decodeMessage, nested } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

type RememberedAnswer = ClientMemory["answers"][number];

/** Values are handed to the state store within one checkpoint slice and not kept. */
const writer = new ProtoWriter(256 * 1024);

const PREFIX: Readonly<Record<Exclude<StateChange["kind"], "meta">, string>> = {
  transaction: "t/",
  outcomes: "q/",
  outcome: "o/",
  register: "r/",
  participant: "p/",
  client: "c/",
};
const META_KEY = "meta";

// ---- transaction

function writeBranchRecord(w: ProtoWriter, field: number, branch: BranchRecord): void {
  const mark = w.mark();
  if (branch.heuristic !== undefined) {
    const inner = w.mark();
    w.text(3, branch.heuristic.note);
    w.text(2, branch.heuristic.by);
    w.text(1, branch.heuristic.outcome);
    w.message(4, inner);
  }
  w.bool(3, branch.done);
  w.uint(2, VOTE.code(branch.vote));
  writeBranch(w, 1, branch);
  w.message(field, mark);
}

function readHeuristicRecord(r: ProtoReader): NonNullable<BranchRecord["heuristic"]> {
  let outcome = "";
  let by = "";
  let note = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) outcome = r.text();
    else if (tag === 18) by = r.text();
    else if (tag === 26) note = r.text();
    else r.skip(tag);
  }
  return { outcome, by, note };
}

function readBranchRecord(r: ProtoReader): BranchRecord {
  let spec: ReturnType<typeof readBranch> | undefined;
  let vote: BranchRecord["vote"];
  let done = false;
  let heuristic: BranchRecord["heuristic"];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) spec = nested(r, readBranch);
    else if (tag === 16) vote = VOTE.readOptional(r);
    else if (tag === 24) done = r.bool();
    else if (tag === 34) heuristic = nested(r, readHeuristicRecord);
    else r.skip(tag);
  }
  if (spec === undefined) throw new WireError("a branch without its spec");
  const { id, participant, mode, payload, kind = "2pc" } = spec;
  return { id, participant, mode, payload, kind, vote, done, heuristic };
}

function writeDecision(w: ProtoWriter, field: number, record: DecisionRecord): void {
  const mark = w.mark();
  w.uint(5, record.stampMs);
  writeZxid(w, 4, record.zxid);
  w.text(3, record.detail);
  w.uint(2, ABORT_REASON.code(record.reason));
  w.uint(1, DECISION.code(record.decision));
  w.message(field, mark);
}

function readDecision(r: ProtoReader): DecisionRecord {
  let decision: DecisionRecord["decision"] | undefined;
  let reason: DecisionRecord["reason"];
  let detail = "";
  let zxid = ZXID_ZERO;
  let stampMs = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) decision = DECISION.read(r);
    else if (tag === 16) reason = ABORT_REASON.readOptional(r);
    else if (tag === 26) detail = r.text();
    else if (tag === 34) zxid = readZxid(r);
    else if (tag === 40) stampMs = r.uint();
    else r.skip(tag);
  }
  return { decision: DECISION.required(decision), reason, detail, zxid, stampMs };
}

function writeTransaction(w: ProtoWriter, value: Transaction): void {
  w.bool(9, value.delegated);
  if (value.decision !== undefined) writeDecision(w, 8, value.decision);
  for (let i = value.branches.length - 1; i >= 0; i--) writeBranchRecord(w, 7, value.branches[i] as BranchRecord);
  w.uint(6, value.openedStampMs);
  writeZxid(w, 5, value.openedZxid);
  w.uint(4, value.timeoutMs);
  w.text(3, value.client);
  w.uint(2, TRANSACTION_STATE.code(value.state));
  w.text(1, value.gid);
}

function readTransaction(r: ProtoReader): Transaction {
  let gid = "" as Gid;
  let state: Transaction["state"] | undefined;
  let client = "";
  let timeoutMs = 0;
  let openedZxid = ZXID_ZERO;
  let openedStampMs = 0;
  const branches: BranchRecord[] = [];
  let decision: Transaction["decision"];
  let delegated = false;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 16) state = TRANSACTION_STATE.read(r);
    else if (tag === 26) client = r.text();
    else if (tag === 32) timeoutMs = r.uint();
    else if (tag === 42) openedZxid = readZxid(r);
    else if (tag === 48) openedStampMs = r.uint();
    else if (tag === 58) branches.push(nested(r, readBranchRecord));
    else if (tag === 66) decision = nested(r, readDecision);
    else if (tag === 72) delegated = r.bool();
    else r.skip(tag);
  }
  return { gid, state: TRANSACTION_STATE.required(state), client, timeoutMs, openedZxid, openedStampMs, branches, delegated, decision };
}

// ---- register, participant, client, meta

function writeRegister(w: ProtoWriter, value: Register): void {
  writeZxid(w, 3, value.version);
  w.bytes(2, value.value);
  w.text(1, value.name);
}

function readRegister(r: ProtoReader): Register {
  let name = "";
  let value: Uint8Array = EMPTY_BYTES;
  let version: Zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) name = r.text();
    else if (tag === 18) value = r.copy();
    else if (tag === 26) version = readZxid(r);
    else r.skip(tag);
  }
  return { name, value, version };
}

function writeParticipant(w: ProtoWriter, value: KnownParticipant): void {
  w.text(2, value.participantKind);
  w.text(1, value.name);
}

function readParticipant(r: ProtoReader): KnownParticipant {
  let name = "";
  let participantKind = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) name = r.text();
    else if (tag === 18) participantKind = r.text();
    else r.skip(tag);
  }
  return { name, participantKind };
}

function writeClient(w: ProtoWriter, value: ClientMemory): void {
  w.uint(4, value.lastStampMs);
  for (let i = value.answers.length - 1; i >= 0; i--) {
    const answer = value.answers[i] as RememberedAnswer;
    const mark = w.mark();
    writeZxid(w, 3, answer.version);
    w.uint(2, REMEMBERED_OUTCOME.code(answer.outcome));
    w.uint(1, answer.seq);
    w.message(3, mark);
  }
  w.uint(2, value.ackBelow);
  w.text(1, value.client);
}

function readAnswer(r: ProtoReader): RememberedAnswer {
  let seq = 0;
  let outcome: RememberedAnswer["outcome"] | undefined;
  let version: Zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) seq = r.uint();
    else if (tag === 16) outcome = REMEMBERED_OUTCOME.read(r);
    else if (tag === 26) version = readZxid(r);
    else r.skip(tag);
  }
  return { seq, outcome: REMEMBERED_OUTCOME.required(outcome), version };
}

function readClient(r: ProtoReader): ClientMemory {
  let client = "";
  let ackBelow = 0;
  const answers: RememberedAnswer[] = [];
  let lastStampMs = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) client = r.text();
    else if (tag === 16) ackBelow = r.uint();
    else if (tag === 26) answers.push(nested(r, readAnswer));
    else if (tag === 32) lastStampMs = r.uint();
    else r.skip(tag);
  }
  return { client, ackBelow, answers, lastStampMs };
}

function writeMeta(w: ProtoWriter, value: StateMeta): void {
  w.uint(4, value.featureLevel);
  w.uint(3, value.digest);
  w.uint(2, value.stampMs);
  w.uint(1, value.floorMs);
}

function readMeta(r: ProtoReader): StateMeta {
  let floorMs = 0;
  let stampMs = 0;
  let digest = 0;
  let featureLevel = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) floorMs = r.uint();
    else if (tag === 16) stampMs = r.uint();
    else if (tag === 24) digest = r.uint();
    else if (tag === 32) featureLevel = r.uint32();
    else r.skip(tag);
  }
  return { floorMs, stampMs, digest, featureLevel };
}

// ---- changes

function writeValue(change: StateChange): boolean {
  if (change.value === undefined) return false;
  switch (change.kind) {
    case "transaction":
      writeTransaction(writer, change.value);
      return true;
    case "outcomes":
      writeOutcomePage(writer, change.value);
      return true;
    case "outcome":
      writeOutcome(writer, change.value);
      return true;
    case "register":
      writeRegister(writer, change.value);
      return true;
    case "participant":
      writeParticipant(writer, change.value);
      return true;
    case "client":
      writeClient(writer, change.value);
      return true;
    case "meta":
      writeMeta(writer, change.value);
      return true;
    default:
      return unreachable(change);
  }
}

function decodeChange(key: string, bytes: Uint8Array): StateChange {
  if (key === META_KEY) return { kind: "meta", key: META_KEY, value: decodeMessage("StateMeta", bytes, readMeta) };
  const name = key.slice(2);
  const of = <T>(message: string, read: Read<T>, nameOf: (value: T) => string): T => {
    const value = decodeMessage(message, bytes, read);
    if (nameOf(value) !== name)
      throw new WireError(`${message}: stored under ${JSON.stringify(key)} but names ${JSON.stringify(nameOf(value))}`);
    return value;
  };
  switch (key.slice(0, 2)) {
    case PREFIX.transaction: {
      const value = of("Transaction", readTransaction, (t) => t.gid);
      return { kind: "transaction", key: value.gid, value };
    }
    case PREFIX.outcomes:
      return { kind: "outcomes", key: name, value: of("OutcomePage", readOutcomePage, ({ page }) => String(page)) };
    case PREFIX.outcome: {
      const value = of("FinishedOutcome", readOutcome, (o) => o.gid);
      return { kind: "outcome", key: value.gid, value };
    }
    case PREFIX.register:
      return { kind: "register", key: name, value: of("StoredRegister", readRegister, (v) => v.name) };
    case PREFIX.participant:
      return { kind: "participant", key: name, value: of("KnownParticipant", readParticipant, (v) => v.name) };
    case PREFIX.client:
      return { kind: "client", key: name, value: of("ClientMemory", readClient, (v) => v.client) };
    default:
      throw new WireError(`state key ${JSON.stringify(key.slice(0, 80))} is of no known kind`);
  }
}

export const stateChangeCodec: WireCodecs["stateChange"] = {
  encodeKey: (change) => (change.kind === "meta" ? META_KEY : must(PREFIX[change.kind], "prefix") + change.key),
  encodeValue(change) {
    writer.begin();
    return writeValue(change) ? writer.finish() : undefined;
  },
  decode: decodeChange,
};
