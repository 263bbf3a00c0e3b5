/**
 * Finished outcomes in their stored form: a page of them at a time, and, as earlier versions stored them, one by one.
 *
 * A page's rows are fixed-width words, little-endian, whatever the machine: reading a million of them is copying, not parsing.
 */
import type { Gid } from "../base/index.js";
import { ZXID_ZERO } from "../base/index.js";
import type { FinishedOutcome, OutcomePage, OutcomeShape } from "../txn/index.js";
import { readGid, readZxid, writeZxid } from "./common-codec.js";
import { ABORT_REASON, DECISION, VOTE } from "./enums.js";
import type { ProtoReader } from "./proto-reader.js";
import { nested } from "./proto-reader.js";
import type { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

type FinishedBranch = FinishedOutcome["branches"][number];

// The layout of a row, as records.proto says it; a test holds it to the rows of the state machine.
const PAGE_ROWS_MAX = 1024;
const ROW_WORDS = 10;
const SHAPE_WORD = 9;
const WORD_BYTES = 4;
const ROW_BYTES = ROW_WORDS * WORD_BYTES;
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function writeBranches(w: ProtoWriter, field: number, branches: readonly FinishedBranch[]): void {
  for (let i = branches.length - 1; i >= 0; i--) {
    const branch = branches[i] as FinishedBranch;
    const mark = w.mark();
    w.bool(5, branch.kind === "tcc");
    if (branch.heuristic !== undefined) w.textPresent(4, branch.heuristic);
    w.uint(3, VOTE.code(branch.vote));
    w.text(2, branch.participant);
    w.text(1, branch.id);
    w.message(field, mark);
  }
}

export function writeOutcome(w: ProtoWriter, value: FinishedOutcome): void {
  writeBranches(w, 6, value.branches);
  w.uint(5, value.stampMs);
  writeZxid(w, 4, value.zxid);
  w.uint(3, ABORT_REASON.code(value.reason));
  w.uint(2, DECISION.code(value.decision));
  w.text(1, value.gid);
}

function readFinishedBranch(r: ProtoReader): FinishedBranch {
  let id = "";
  let participant = "";
  let vote: FinishedBranch["vote"];
  let heuristic: string | undefined;
  let tcc = false;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) id = r.text();
    else if (tag === 18) participant = r.text();
    else if (tag === 24) vote = VOTE.readOptional(r);
    else if (tag === 34) heuristic = r.text();
    else if (tag === 40) tcc = r.bool();
    else r.skip(tag);
  }
  return { id, participant, kind: tcc ? "tcc" : "2pc", vote, heuristic };
}

export function readOutcome(r: ProtoReader): FinishedOutcome {
  let gid = "" as Gid;
  let decision: FinishedOutcome["decision"] | undefined;
  let reason: FinishedOutcome["reason"];
  let zxid = ZXID_ZERO;
  let stampMs = 0;
  const branches: FinishedBranch[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 16) decision = DECISION.read(r);
    else if (tag === 24) reason = ABORT_REASON.readOptional(r);
    else if (tag === 34) zxid = readZxid(r);
    else if (tag === 40) stampMs = r.uint();
    else if (tag === 50) branches.push(nested(r, readFinishedBranch));
    else r.skip(tag);
  }
  return { gid, decision: DECISION.required(decision), reason, zxid, stampMs, branches };
}

// ---- pages

export function writeOutcomePage(w: ProtoWriter, value: OutcomePage): void {
  w.bytes(3, littleEndian(value.rows));
  for (let i = value.shapes.length - 1; i >= 0; i--) {
    const shape = value.shapes[i] as OutcomeShape;
    const mark = w.mark();
    writeBranches(w, 4, shape.branches);
    w.uint(3, ABORT_REASON.code(shape.reason));
    w.uint(2, DECISION.code(shape.decision));
    w.text(1, shape.group);
    w.message(2, mark);
  }
  w.uint(1, value.page);
}

function readShape(r: ProtoReader): OutcomeShape {
  let group = "";
  let decision: OutcomeShape["decision"] | undefined;
  let reason: OutcomeShape["reason"];
  const branches: FinishedBranch[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) group = r.text();
    else if (tag === 16) decision = DECISION.read(r);
    else if (tag === 24) reason = ABORT_REASON.readOptional(r);
    else if (tag === 34) branches.push(nested(r, readFinishedBranch));
    else r.skip(tag);
  }
  return { group, decision: DECISION.required(decision), reason, branches };
}

export function readOutcomePage(r: ProtoReader): OutcomePage {
  let page = 0;
  const shapes: OutcomeShape[] = [];
  let rows = new Uint32Array(0);
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) page = r.uint();
    else if (tag === 18) shapes.push(nested(r, readShape));
    else if (tag === 26) rows = words(r.copy());
    else r.skip(tag);
  }
  const count = rows.length / ROW_WORDS;
  if (count === 0 || count > PAGE_ROWS_MAX) throw new WireError(`a page of outcomes with ${count} rows, not 1 to ${PAGE_ROWS_MAX}`);
  for (let at = SHAPE_WORD; at < rows.length; at += ROW_WORDS)
    if ((rows[at] as number) >= shapes.length) throw new WireError(`a row of shape ${rows[at]} in a page of ${shapes.length} shapes`);
  return { page, rows, shapes };
}

function words(bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  if (bytes.length % ROW_BYTES !== 0)
    throw new WireError(`rows of outcomes in ${bytes.length} bytes, which is no multiple of ${ROW_BYTES}`);
  // A copy at a place of its own: a view of words has to begin at a multiple of four.
  const own = new Uint8Array(bytes.length);
  own.set(bytes);
  if (!LITTLE_ENDIAN) swap(own);
  return new Uint32Array(own.buffer);
}

function littleEndian(rows: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
  if (LITTLE_ENDIAN) return bytes;
  const own = bytes.slice();
  swap(own);
  return own;
}

function swap(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += WORD_BYTES) bytes.subarray(at, at + WORD_BYTES).reverse();
}
