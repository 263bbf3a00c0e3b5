/**
 * Messages that several frames and records share. Writers run back to front: see proto-writer.ts.
 *
 * Gids and names are taken as they come: who accepts bytes from outside checks them with request-check.ts before anybody acts on them.
 */
import type { Gid, NodeId, Zxid } from "../base/index.js";
import { isNodeId, ZXID_ZERO } from "../base/index.js";
import type { BranchSpec, RequestId, Vote } from "../txn/index.js";
import { BRANCH_MODE, VOTE } from "./enums.js";
import type { ProtoReader } from "./proto-reader.js";
import type { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

/** A frame's lists are bounded, because an empty item takes two bytes on the wire and fifty in memory. */
export const LIST_ITEMS_MAX = 65_536;

export function pushBounded<T>(list: T[], item: T): void {
  if (list.length >= LIST_ITEMS_MAX) throw new WireError(`more than ${LIST_ITEMS_MAX} items in one list`);
  list.push(item);
}

export function readGid(reader: ProtoReader): Gid {
  return reader.text() as Gid;
}

export function readNodeId(reader: ProtoReader): NodeId {
  const value = reader.uint32();
  if (!isNodeId(value)) throw new WireError(`node id ${value} is not from 1 to 255`);
  return value;
}

/** 0 means none. */
export function readOptionalNodeId(reader: ProtoReader): NodeId | undefined {
  const value = reader.uint32();
  if (value === 0) return undefined;
  if (!isNodeId(value)) throw new WireError(`node id ${value} is not from 1 to 255`);
  return value;
}

export function requiredNodeId(value: NodeId | undefined): NodeId {
  if (value === undefined) throw new WireError("a node id is missing");
  return value;
}

export function writeZxid(w: ProtoWriter, field: number, value: Zxid): void {
  const mark = w.mark();
  w.uint(2, value.counter);
  w.uint(1, value.epoch);
  w.message(field, mark);
}

export function writeOptionalZxid(w: ProtoWriter, field: number, value: Zxid | undefined): void {
  if (value !== undefined) writeZxid(w, field, value);
}

export function readZxid(r: ProtoReader): Zxid {
  const outer = r.enter();
  let epoch = 0;
  let counter = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) epoch = r.uint32();
    else if (tag === 16) counter = r.uint();
    else r.skip(tag);
  }
  r.leave(outer);
  return epoch === 0 && counter === 0 ? ZXID_ZERO : { epoch, counter };
}

export const EMPTY_BYTES = new Uint8Array(0);

/** The payload is a copy: a branch is kept until its transaction is finished, far longer than its frame. */
export function readBranch(r: ProtoReader): BranchSpec {
  let id = "";
  let participant = "";
  let mode: ReturnType<typeof BRANCH_MODE.required> | undefined;
  let payload: Uint8Array = EMPTY_BYTES;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) id = r.text();
    else if (tag === 18) participant = r.text();
    else if (tag === 24) mode = BRANCH_MODE.read(r);
    else if (tag === 34) payload = r.copy();
    else r.skip(tag);
  }
  const known = BRANCH_MODE.required(mode);
  if (known === "tcc-asked") return { id, participant, mode: "asked", payload, kind: "tcc" };
  if (known === "tcc-brought") return { id, participant, mode: "brought", payload, kind: "tcc" };
  return { id, participant, mode: known, payload };
}

export function writeBranch(w: ProtoWriter, field: number, branch: BranchSpec): void {
  const mark = w.mark();
  w.bytes(4, branch.payload);
  w.uint(3, BRANCH_MODE.code(branch.kind === "tcc" ? `tcc-${branch.mode}` : branch.mode));
  w.text(2, branch.participant);
  w.text(1, branch.id);
  w.message(field, mark);
}

export function writeBranches(w: ProtoWriter, field: number, branches: readonly BranchSpec[]): void {
  for (let i = branches.length - 1; i >= 0; i--) writeBranch(w, field, branches[i] as BranchSpec);
}

export interface BranchVote {
  readonly branch: string;
  readonly vote: Vote;
}

export function writeVotes(w: ProtoWriter, field: number, votes: readonly BranchVote[]): void {
  for (let i = votes.length - 1; i >= 0; i--) {
    const vote = votes[i] as BranchVote;
    const mark = w.mark();
    w.uint(2, VOTE.code(vote.vote));
    w.text(1, vote.branch);
    w.message(field, mark);
  }
}

export function readVote(r: ProtoReader): BranchVote {
  let branch = "";
  let vote: Vote | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) branch = r.text();
    else if (tag === 16) vote = VOTE.read(r);
    else r.skip(tag);
  }
  return { branch, vote: VOTE.required(vote) };
}

export interface GidBranch {
  readonly gid: Gid;
  readonly branch: string;
}

/** BranchRef and Inquiry have the same two fields. */
export function writeGidBranches(w: ProtoWriter, field: number, refs: readonly GidBranch[]): void {
  for (let i = refs.length - 1; i >= 0; i--) {
    const ref = refs[i] as GidBranch;
    const mark = w.mark();
    w.text(2, ref.branch);
    w.text(1, ref.gid);
    w.message(field, mark);
  }
}

export function readGidBranch(r: ProtoReader): GidBranch {
  let gid = "" as Gid;
  let branch = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) branch = r.text();
    else r.skip(tag);
  }
  return { gid, branch };
}

export function writeRequestId(w: ProtoWriter, field: number, id: RequestId): void {
  const mark = w.mark();
  w.uint(3, id.ackBelow);
  w.uint(2, id.seq);
  w.text(1, id.client);
  w.message(field, mark);
}

export function readRequestId(r: ProtoReader): RequestId {
  let client = "";
  let seq = 0;
  let ackBelow = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) client = r.text();
    else if (tag === 16) seq = r.uint();
    else if (tag === 24) ackBelow = r.uint();
    else r.skip(tag);
  }
  return { client, seq, ackBelow };
}

export const NO_REQUEST_ID: RequestId = Object.freeze({ client: "", seq: 0, ackBelow: 0 });

/** Messages without fields: whatever they hold is unknown and skipped. */
export function readNothing(r: ProtoReader): undefined {
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) r.skip(tag);
  return undefined;
}

export function readTexts(list: string[], r: ProtoReader): void {
  pushBounded(list, r.text());
}
