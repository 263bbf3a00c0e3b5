/**
 * Messages between nodes: proto/quorate/v1/peer.proto, the control and follow lanes.
 *
 * Payloads of decoded entries are views: they live as long as the frame, which is as it should be for the entries of one frame, kept
 * and dropped together by the log's tail. Whatever the state machine keeps is copied when a record is decoded.
 */
import type { Zxid } from "../base/index.js";
import { unreachable, ZXID_ZERO } from "../base/index.js";
import type { ControlMessage, ElectionVote, Entry, SessionMessage } from "../zab/index.js";
import type { Codec } from "./codec-api.js";
import { EMPTY_BYTES, readNodeId, readOptionalNodeId, readZxid, requiredNodeId, writeZxid } from "./common-codec.js";
import { readConfiguration, writeConfiguration } from "./configuration-codec.js";
import { DAMAGE, PEER_STATE } from "./enums.js";
import type { ProtoReader, Read } from "./proto-reader.js";
import { decodeMessage, nested } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

type Control<K extends ControlMessage["kind"]> = Extract<ControlMessage, { kind: K }>;
type Session<K extends SessionMessage["kind"]> = Extract<SessionMessage, { kind: K }>;

/** A control frame, with the answer to a challenge; see peer.proto. */
export interface ControlFrame {
  readonly messages: readonly ControlMessage[];
  readonly proof: number;
}

const controlWriter = new ProtoWriter(16 * 1024);
const sessionWriter = new ProtoWriter(1024 * 1024);

// ---- control lane

const CONTROL_FIELD: Readonly<Record<ControlMessage["kind"], number>> = { NOTIFY: 1, PING: 2, PONG: 3, ABDICATE: 4 };

function writeElectionVote(w: ProtoWriter, field: number, vote: ElectionVote): void {
  const mark = w.mark();
  writeZxid(w, 3, vote.zxid);
  w.uint(2, vote.epoch);
  w.uint(1, vote.leader);
  w.message(field, mark);
}

function readElectionVote(r: ProtoReader): ElectionVote {
  let leader: ElectionVote["leader"] | undefined;
  let epoch = 0;
  let zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) leader = readNodeId(r);
    else if (tag === 16) epoch = r.uint32();
    else if (tag === 26) zxid = readZxid(r);
    else r.skip(tag);
  }
  return { leader: requiredNodeId(leader), epoch, zxid };
}

function writeControl(w: ProtoWriter, message: ControlMessage): void {
  const outer = w.mark();
  const mark = outer;
  switch (message.kind) {
    case "NOTIFY":
      w.bool(7, message.wantsReply);
      writeZxid(w, 6, message.configVersion);
      w.bool(5, message.nonVoting);
      w.uint(4, message.settledEpoch);
      writeElectionVote(w, 3, message.vote);
      w.uint(2, PEER_STATE.code(message.state));
      w.uint(1, message.round);
      break;
    case "PING":
      writeZxid(w, 3, message.commit);
      w.uint(2, message.seq);
      w.uint(1, message.epoch);
      break;
    case "PONG":
      writeZxid(w, 3, message.durable);
      w.uint(2, message.seq);
      w.uint(1, message.epoch);
      break;
    case "ABDICATE":
      w.uint(2, message.successor ?? 0);
      w.uint(1, message.epoch);
      break;
    default:
      unreachable(message);
  }
  w.message(CONTROL_FIELD[message.kind], mark);
  w.message(1, outer);
}

function readNotify(r: ProtoReader): Control<"NOTIFY"> {
  let round = 0;
  let state: Control<"NOTIFY">["state"] | undefined;
  let vote: ElectionVote | undefined;
  let settledEpoch = 0;
  let nonVoting = false;
  let configVersion = ZXID_ZERO;
  let wantsReply = false;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) round = r.uint();
    else if (tag === 16) state = PEER_STATE.read(r);
    else if (tag === 26) vote = nested(r, readElectionVote);
    else if (tag === 32) settledEpoch = r.uint32();
    else if (tag === 40) nonVoting = r.bool();
    else if (tag === 50) configVersion = readZxid(r);
    else if (tag === 56) wantsReply = r.bool();
    else r.skip(tag);
  }
  if (vote === undefined) throw new WireError("a NOTIFY without a vote");
  return { kind: "NOTIFY", round, state: PEER_STATE.required(state), vote, settledEpoch, nonVoting, configVersion, wantsReply };
}

/** PING and PONG have the same fields. */
function readBeat(r: ProtoReader): { epoch: number; seq: number; zxid: Zxid } {
  let epoch = 0;
  let seq = 0;
  let zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) epoch = r.uint32();
    else if (tag === 16) seq = r.uint();
    else if (tag === 26) zxid = readZxid(r);
    else r.skip(tag);
  }
  return { epoch, seq, zxid };
}

function readPing(r: ProtoReader): Control<"PING"> {
  const { epoch, seq, zxid } = readBeat(r);
  return { kind: "PING", epoch, seq, commit: zxid };
}

function readPong(r: ProtoReader): Control<"PONG"> {
  const { epoch, seq, zxid } = readBeat(r);
  return { kind: "PONG", epoch, seq, durable: zxid };
}

function readAbdicate(r: ProtoReader): Control<"ABDICATE"> {
  let epoch = 0;
  let successor: Control<"ABDICATE">["successor"];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) epoch = r.uint32();
    else if (tag === 16) successor = readOptionalNodeId(r);
    else r.skip(tag);
  }
  return { kind: "ABDICATE", epoch, successor };
}

const CONTROL_READERS: readonly (Read<ControlMessage> | undefined)[] = [undefined, readNotify, readPing, readPong, readAbdicate];

// ---- follow lane

const SESSION_FIELD: Readonly<Record<SessionMessage["kind"], number>> = {
  CEPOCH: 1,
  NEWEPOCH: 2,
  ACKEPOCH: 3,
  REFUSE: 4,
  DIFF: 5,
  TRUNC: 6,
  SNAP: 7,
  NEWLEADER: 8,
  ACKNEWLEADER: 9,
  UPTODATE: 10,
  PROPOSE: 11,
  ACK: 12,
  COMMIT: 13,
};

function writeEntry(w: ProtoWriter, field: number, entry: Entry): void {
  const mark = w.mark();
  w.bytes(3, entry.payload);
  w.uint(2, entry.zxid.counter);
  w.uint(1, entry.zxid.epoch);
  w.message(field, mark);
}

function writeSession(w: ProtoWriter, message: SessionMessage): void {
  const outer = w.mark();
  switch (message.kind) {
    case "CEPOCH":
      w.uint(3, DAMAGE.code(message.damage));
      writeZxid(w, 2, message.configVersion);
      w.uint(1, message.acceptedEpoch);
      break;
    case "NEWEPOCH":
      w.uint(1, message.epoch);
      break;
    case "ACKEPOCH":
      for (let i = message.lineage.length - 1; i >= 0; i--) writeZxid(w, 5, message.lineage[i] as Zxid);
      writeZxid(w, 4, message.base);
      writeZxid(w, 3, message.last);
      if (message.currentEpoch !== undefined) w.uintPresent(2, message.currentEpoch);
      w.uint(1, message.epoch);
      break;
    case "REFUSE":
      w.text(2, message.reason);
      w.uint(1, message.acceptedEpoch);
      break;
    case "DIFF":
      writeZxid(w, 1, message.from);
      break;
    case "TRUNC":
      writeZxid(w, 1, message.to);
      break;
    case "SNAP":
      w.text(2, message.snapshotId);
      writeZxid(w, 1, message.at);
      break;
    case "NEWLEADER":
      writeConfiguration(w, 3, message.configuration);
      writeZxid(w, 2, message.last);
      w.uint(1, message.epoch);
      break;
    case "ACKNEWLEADER":
      writeZxid(w, 2, message.last);
      w.uint(1, message.epoch);
      break;
    case "UPTODATE":
    case "COMMIT":
      writeZxid(w, 2, message.commit);
      w.uint(1, message.epoch);
      break;
    case "PROPOSE":
      writeZxid(w, 4, message.commit);
      for (let i = message.entries.length - 1; i >= 0; i--) writeEntry(w, 3, message.entries[i] as Entry);
      writeZxid(w, 2, message.previous);
      w.uint(1, message.epoch);
      break;
    case "ACK":
      writeZxid(w, 2, message.durable);
      w.uint(1, message.epoch);
      break;
    default:
      unreachable(message);
  }
  w.message(SESSION_FIELD[message.kind], outer);
  w.message(1, outer);
}

function readEntry(r: ProtoReader): Entry {
  const outer = r.enter();
  let epoch = 0;
  let counter = 0;
  let payload: Uint8Array = EMPTY_BYTES;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) epoch = r.uint32();
    else if (tag === 16) counter = r.uint();
    else if (tag === 26) payload = r.view();
    else r.skip(tag);
  }
  r.leave(outer);
  return { zxid: { epoch, counter }, payload };
}

function readPropose(r: ProtoReader): Session<"PROPOSE"> {
  let epoch = 0;
  let previous = ZXID_ZERO;
  const entries: Entry[] = [];
  let commit = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 26) entries.push(readEntry(r));
    else if (tag === 8) epoch = r.uint32();
    else if (tag === 18) previous = readZxid(r);
    else if (tag === 34) commit = readZxid(r);
    else r.skip(tag);
  }
  return { kind: "PROPOSE", epoch, previous, entries, commit };
}

/** Fields 1 (epoch) and 2 (zxid), as most messages of the follow lane have them. */
function readEpochZxid(r: ProtoReader): { epoch: number; zxid: Zxid } {
  let epoch = 0;
  let zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) epoch = r.uint32();
    else if (tag === 18) zxid = readZxid(r);
    else r.skip(tag);
  }
  return { epoch, zxid };
}

/** Field 1 (zxid) alone. */
function readOneZxid(r: ProtoReader): Zxid {
  let zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) zxid = readZxid(r);
    else r.skip(tag);
  }
  return zxid;
}

function readCepoch(r: ProtoReader): Session<"CEPOCH"> {
  let acceptedEpoch = 0;
  let configVersion = ZXID_ZERO;
  let damage: Session<"CEPOCH">["damage"];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) acceptedEpoch = r.uint32();
    else if (tag === 18) configVersion = readZxid(r);
    else if (tag === 24) damage = DAMAGE.readOptional(r);
    else r.skip(tag);
  }
  return { kind: "CEPOCH", acceptedEpoch, configVersion, damage };
}

function readAckEpoch(r: ProtoReader): Session<"ACKEPOCH"> {
  let epoch = 0;
  let currentEpoch: number | undefined;
  let last = ZXID_ZERO;
  let base = ZXID_ZERO;
  const lineage: Zxid[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) epoch = r.uint32();
    else if (tag === 16) currentEpoch = r.uint32();
    else if (tag === 26) last = readZxid(r);
    else if (tag === 34) base = readZxid(r);
    else if (tag === 42) lineage.push(readZxid(r));
    else r.skip(tag);
  }
  return { kind: "ACKEPOCH", epoch, currentEpoch, last, base, lineage };
}

function readRefuse(r: ProtoReader): Session<"REFUSE"> {
  let acceptedEpoch = 0;
  let reason = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) acceptedEpoch = r.uint32();
    else if (tag === 18) reason = r.text();
    else r.skip(tag);
  }
  return { kind: "REFUSE", acceptedEpoch, reason };
}

function readSnap(r: ProtoReader): Session<"SNAP"> {
  let at = ZXID_ZERO;
  let snapshotId = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) at = readZxid(r);
    else if (tag === 18) snapshotId = r.text();
    else r.skip(tag);
  }
  return { kind: "SNAP", at, snapshotId };
}

function readNewLeader(r: ProtoReader): Session<"NEWLEADER"> {
  let epoch = 0;
  let last = ZXID_ZERO;
  let configuration: Session<"NEWLEADER">["configuration"] | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) epoch = r.uint32();
    else if (tag === 18) last = readZxid(r);
    else if (tag === 26) configuration = nested(r, readConfiguration);
    else r.skip(tag);
  }
  if (configuration === undefined) throw new WireError("a NEWLEADER without a configuration");
  return { kind: "NEWLEADER", epoch, last, configuration };
}

function readAck(r: ProtoReader): Session<"ACK"> {
  const { epoch, zxid } = readEpochZxid(r);
  return { kind: "ACK", epoch, durable: zxid };
}

function readCommit(r: ProtoReader): Session<"COMMIT"> {
  const { epoch, zxid } = readEpochZxid(r);
  return { kind: "COMMIT", epoch, commit: zxid };
}

/** By field number of SessionMessage. */
const SESSION_READERS: readonly (Read<SessionMessage> | undefined)[] = [
  undefined,
  readCepoch,
  (r) => ({ kind: "NEWEPOCH", epoch: readEpochZxid(r).epoch }),
  readAckEpoch,
  readRefuse,
  (r) => ({ kind: "DIFF", from: readOneZxid(r) }),
  (r) => ({ kind: "TRUNC", to: readOneZxid(r) }),
  readSnap,
  readNewLeader,
  (r) => {
    const { epoch, zxid } = readEpochZxid(r);
    return { kind: "ACKNEWLEADER", epoch, last: zxid };
  },
  (r) => {
    const { epoch, zxid } = readEpochZxid(r);
    return { kind: "UPTODATE", epoch, commit: zxid };
  },
  readPropose,
  readAck,
  readCommit,
];

// ---- frames

/** One message of a oneof; an unknown one is an error, because a message that is ignored would be waited for. */
function readOneOf<T>(r: ProtoReader, readers: readonly (Read<T> | undefined)[]): T {
  const outer = r.enter();
  let value: T | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const read = (tag & 7) === 2 ? readers[tag >>> 3] : undefined;
    if (read === undefined) r.skip(tag);
    else value = nested(r, read);
  }
  r.leave(outer);
  if (value === undefined) throw new WireError("a message of no kind that this version knows");
  return value;
}

function readControlFrame(r: ProtoReader): ControlFrame {
  const messages: ControlMessage[] = [];
  let proof = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) messages.push(readOneOf(r, CONTROL_READERS));
    else if (tag === 16) proof = r.uint();
    else r.skip(tag);
  }
  return { messages, proof };
}

function readFollowFrame(r: ProtoReader): readonly SessionMessage[] {
  const messages: SessionMessage[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) messages.push(readOneOf(r, SESSION_READERS));
    else r.skip(tag);
  }
  return messages;
}

/** About how many bytes the message takes on the wire: what frames are filled by. */
export function sessionMessageBytes(message: SessionMessage): number {
  if (message.kind === "PROPOSE") {
    let bytes = 80;
    for (const entry of message.entries) bytes += entry.payload.length + 28;
    return bytes;
  }
  if (message.kind === "ACKEPOCH") return 100 + message.lineage.length * 20;
  if (message.kind === "REFUSE") return 40 + message.reason.length * 3;
  return message.kind === "NEWLEADER" ? 4096 : 100;
}

export const controlFrameCodec: Codec<ControlFrame> = {
  encode({ messages, proof }) {
    controlWriter.begin();
    controlWriter.uint(2, proof);
    for (let i = messages.length - 1; i >= 0; i--) writeControl(controlWriter, messages[i] as ControlMessage);
    return controlWriter.finish();
  },
  decode: (bytes) => decodeMessage("ControlFrame", bytes, readControlFrame),
};

export const controlCodec: Codec<readonly ControlMessage[]> = {
  encode: (messages) => controlFrameCodec.encode({ messages, proof: 0 }),
  decode: (bytes) => controlFrameCodec.decode(bytes).messages,
};

export const sessionCodec: Codec<readonly SessionMessage[]> = {
  encode(messages) {
    let bytes = 0;
    for (const message of messages) bytes += sessionMessageBytes(message);
    sessionWriter.begin(bytes);
    for (let i = messages.length - 1; i >= 0; i--) writeSession(sessionWriter, messages[i] as SessionMessage);
    return sessionWriter.finish();
  },
  decode: (bytes) => decodeMessage("FollowFrame", bytes, readFollowFrame),
};

/** ControlEvent: the accepting end's side of the control lane. */
export const controlEventCodec: Codec<{ readonly challenge: number }> = {
  encode({ challenge }) {
    controlWriter.begin();
    controlWriter.uint(1, challenge);
    return controlWriter.finish();
  },
  decode: (bytes) =>
    decodeMessage("ControlEvent", bytes, (r) => {
      let challenge = 0;
      for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
        if (tag === 8) challenge = r.uint();
        else r.skip(tag);
      }
      return { challenge };
    }),
};
