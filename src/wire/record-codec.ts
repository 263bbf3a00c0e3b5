/**
 * Records of the replicated log: proto/quorate/v1/records.proto, LogRecord.
 *
 * A decoded record shares nothing with its input: the state machine keeps values for as long as they are current, and one kept view
 * would keep the whole frame or slab it arrived in.
 */
import type { Gid, Zxid } from "../base/index.js";
import { unreachable } from "../base/index.js";
import type { BranchSpec, Command, StampedCommand } from "../txn/index.js";
import type { Codec } from "./codec-api.js";
import type { BranchVote, GidBranch } from "./common-codec.js";
import {
  EMPTY_BYTES,
  NO_REQUEST_ID,
  readBranch,
  readGid,
  readGidBranch,
  readNothing,
  readRequestId,
  readVote,
  readZxid,
  writeBranch,
  writeBranches,
  writeGidBranches,
  writeOptionalZxid,
  writeRequestId,
  writeVotes,
} from "./common-codec.js";
import { ABORT_REASON, DECISION, HEURISTIC } from "./enums.js";
import type { ProtoReader, Read } from "./proto-reader.js";
import { decodeMessage, nested } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

type Of<K extends Command["kind"]> = Extract<Command, { kind: K }>;

/** Records stay in memory as the log's tail: slabs small enough that the tail's edge wastes little. */
const writer = new ProtoWriter(64 * 1024);

/** A BEGIN that is delegated: see records.proto. */
const DELEGATED_BEGIN = 13;

/** Field numbers of LogRecord.command. */
const FIELD: Readonly<Record<Command["kind"], number>> = {
  OPEN: 2,
  ENLIST: 3,
  BEGIN: 4,
  DECIDE: 5,
  DONE: 6,
  FORGET: 7,
  FLOOR: 8,
  HEURISTIC: 9,
  REGISTER: 10,
  PUT: 11,
  NOOP: 12,
};

function writeCommand(w: ProtoWriter, command: Command): void {
  const mark = w.mark();
  switch (command.kind) {
    case "OPEN":
      writeBranches(w, 4, command.branches);
      w.uint(3, command.timeoutMs);
      w.text(2, command.client);
      w.text(1, command.gid);
      break;
    case "ENLIST":
      writeBranch(w, 2, command.branch);
      w.text(1, command.gid);
      break;
    case "BEGIN":
      writeVotes(w, 5, command.votes);
      writeBranches(w, 4, command.branches);
      w.uint(3, command.timeoutMs);
      w.text(2, command.client);
      w.text(1, command.gid);
      break;
    case "DECIDE":
      w.text(7, command.refusedBy);
      w.texts(6, command.readOnly);
      w.texts(5, command.yes);
      w.text(4, command.detail);
      w.uint(3, ABORT_REASON.code(command.reason));
      w.uint(2, DECISION.code(command.decision));
      w.text(1, command.gid);
      break;
    case "DONE":
      writeGidBranches(w, 1, command.branches);
      break;
    case "FORGET":
      w.texts(1, command.gids);
      break;
    case "FLOOR":
      w.uint(1, command.timeMs);
      break;
    case "HEURISTIC":
      w.text(5, command.note);
      w.text(4, command.by);
      w.uint(3, HEURISTIC.code(command.outcome));
      w.text(2, command.branch);
      w.text(1, command.gid);
      break;
    case "REGISTER":
      w.text(2, command.participantKind);
      w.text(1, command.participant);
      break;
    case "PUT":
      writeOptionalZxid(w, 4, command.expect);
      w.bytes(3, command.value);
      w.text(2, command.name);
      writeRequestId(w, 1, command.request);
      break;
    case "NOOP":
      break;
    default:
      unreachable(command);
  }
  w.message(command.kind === "BEGIN" && command.delegated ? DELEGATED_BEGIN : FIELD[command.kind], mark);
}

/** OPEN and BEGIN have the same first four fields. */
function readStart(r: ProtoReader, votes: BranchVote[] | undefined): Omit<Of<"OPEN">, "kind"> {
  let gid = "" as Gid;
  let client = "";
  let timeoutMs = 0;
  const branches: BranchSpec[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) client = r.text();
    else if (tag === 24) timeoutMs = r.uint();
    else if (tag === 34) branches.push(nested(r, readBranch));
    else if (tag === 42 && votes !== undefined) votes.push(nested(r, readVote));
    else r.skip(tag);
  }
  return { gid, client, timeoutMs, branches };
}

function readOpen(r: ProtoReader): Of<"OPEN"> {
  const { gid, client, timeoutMs, branches } = readStart(r, undefined);
  return { kind: "OPEN", gid, client, timeoutMs, branches };
}

function readAnyBegin(r: ProtoReader, delegated: boolean): Of<"BEGIN"> {
  const votes: BranchVote[] = [];
  const { gid, client, timeoutMs, branches } = readStart(r, votes);
  return { kind: "BEGIN", gid, client, timeoutMs, branches, votes, delegated };
}

function readBegin(r: ProtoReader): Of<"BEGIN"> {
  return readAnyBegin(r, false);
}

function readDelegatedBegin(r: ProtoReader): Of<"BEGIN"> {
  return readAnyBegin(r, true);
}

function readEnlist(r: ProtoReader): Of<"ENLIST"> {
  let gid = "" as Gid;
  let branch: BranchSpec | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) branch = nested(r, readBranch);
    else r.skip(tag);
  }
  if (branch === undefined) throw new WireError("branch is missing");
  return { kind: "ENLIST", gid, branch };
}

function readDecide(r: ProtoReader): Of<"DECIDE"> {
  let gid = "" as Gid;
  let decision: Of<"DECIDE">["decision"] | undefined;
  let reason: Of<"DECIDE">["reason"];
  let detail = "";
  const yes: string[] = [];
  const readOnly: string[] = [];
  let refusedBy = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 16) decision = DECISION.read(r);
    else if (tag === 24) reason = ABORT_REASON.readOptional(r);
    else if (tag === 34) detail = r.text();
    else if (tag === 42) yes.push(r.text());
    else if (tag === 50) readOnly.push(r.text());
    else if (tag === 58) refusedBy = r.text();
    else r.skip(tag);
  }
  return { kind: "DECIDE", gid, decision: DECISION.required(decision), reason, detail, yes, readOnly, refusedBy };
}

function readDone(r: ProtoReader): Of<"DONE"> {
  const branches: GidBranch[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) branches.push(nested(r, readGidBranch));
    else r.skip(tag);
  }
  return { kind: "DONE", branches };
}

function readForget(r: ProtoReader): Of<"FORGET"> {
  const gids: Gid[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gids.push(readGid(r));
    else r.skip(tag);
  }
  return { kind: "FORGET", gids };
}

function readFloor(r: ProtoReader): Of<"FLOOR"> {
  let timeMs = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) timeMs = r.uint();
    else r.skip(tag);
  }
  return { kind: "FLOOR", timeMs };
}

function readHeuristic(r: ProtoReader): Of<"HEURISTIC"> {
  let gid = "" as Gid;
  let branch = "";
  let outcome: Of<"HEURISTIC">["outcome"] | undefined;
  let by = "";
  let note = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) branch = r.text();
    else if (tag === 24) outcome = HEURISTIC.read(r);
    else if (tag === 34) by = r.text();
    else if (tag === 42) note = r.text();
    else r.skip(tag);
  }
  return { kind: "HEURISTIC", gid, branch, outcome: HEURISTIC.required(outcome), by, note };
}

function readRegister(r: ProtoReader): Of<"REGISTER"> {
  let participant = "";
  let participantKind = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) participant = r.text();
    else if (tag === 18) participantKind = r.text();
    else r.skip(tag);
  }
  return { kind: "REGISTER", participant, participantKind };
}

function readPut(r: ProtoReader): Of<"PUT"> {
  let request = NO_REQUEST_ID;
  let name = "";
  let value: Uint8Array = EMPTY_BYTES;
  let expect: Zxid | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) request = nested(r, readRequestId);
    else if (tag === 18) name = r.text();
    else if (tag === 26) value = r.copy();
    else if (tag === 34) expect = readZxid(r);
    else r.skip(tag);
  }
  return { kind: "PUT", request, name, value, expect };
}

function readNoop(r: ProtoReader): Of<"NOOP"> {
  readNothing(r);
  return { kind: "NOOP" };
}

/** Readers by field number. */
const READERS: readonly (Read<Command> | undefined)[] = [
  undefined,
  undefined,
  readOpen,
  readEnlist,
  readBegin,
  readDecide,
  readDone,
  readForget,
  readFloor,
  readHeuristic,
  readRegister,
  readPut,
  readNoop,
  readDelegatedBegin,
];

function readRecord(r: ProtoReader): StampedCommand {
  let stampMs = 0;
  let command: Command | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const read = (tag & 7) === 2 ? READERS[tag >>> 3] : undefined;
    if (tag === 8) stampMs = r.uint();
    else if (read !== undefined) command = nested(r, read);
    else r.skip(tag);
  }
  // A command this version does not know must not be applied as something else, nor skipped: states would part.
  if (command === undefined) throw new WireError("no command that this version knows");
  return { stampMs, command };
}

export const commandCodec: Codec<StampedCommand> = {
  encode({ stampMs, command }) {
    writer.begin();
    writeCommand(writer, command);
    writer.uint(1, stampMs);
    return writer.finish();
  },
  decode: (bytes) => decodeMessage("LogRecord", bytes, readRecord),
};
