/**
 * Requests of clients: the request messages of proto/quorate/v1/coordinator.proto, as the unary calls take them whole and the session
 * stream takes them as members of ClientRequest. Payloads and values are copies: the leader applies what it proposed from memory, and a
 * value that is current for long must not keep the frame it came in.
 *
 * Only the shape is decided here; texts, sizes and ranges are judged by request-check.ts, which can answer a single request.
 */
import type { Gid, Zxid } from "../base/index.js";
import { unreachable } from "../base/index.js";
import type { Request } from "../coordinator/index.js";
import type { BranchSpec, RequestId } from "../txn/index.js";
import type { BranchVote } from "./common-codec.js";
import {
  EMPTY_BYTES,
  NO_REQUEST_ID,
  pushBounded,
  readBranch,
  readGid,
  readNothing,
  readRequestId,
  readVote,
  readZxid,
  writeBranch,
  writeBranches,
  writeOptionalZxid,
  writeRequestId,
  writeVotes,
} from "./common-codec.js";
import { HEURISTIC, LIST_STATE } from "./enums.js";
import type { ProtoReader, Read } from "./proto-reader.js";
import { nested } from "./proto-reader.js";
import type { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

type Of<K extends Request["kind"]> = Extract<Request, { kind: K }>;

export const LIST_LIMIT_DEFAULT = 100;

/** Writes the fields of the request's message. */
export function writeRequest(w: ProtoWriter, body: Request): void {
  switch (body.kind) {
    case "open":
      writeBranches(w, 4, body.branches);
      w.uint(3, body.timeoutMs);
      w.text(2, body.client);
      w.text(1, body.gid ?? "");
      return;
    case "enlist":
      writeBranch(w, 2, body.branch);
      w.text(1, body.gid);
      return;
    case "commit":
      writeVotes(w, 5, body.votes);
      writeBranches(w, 4, body.branches);
      w.uint(3, body.timeoutMs);
      w.text(2, body.client);
      w.text(1, body.gid);
      return;
    case "abort":
    case "retry":
      w.text(1, body.gid);
      return;
    case "outcome":
      w.bool(2, body.wait);
      w.text(1, body.gid);
      return;
    case "list":
      w.uint(2, body.limit);
      w.uint(1, LIST_STATE.code(body.state));
      return;
    case "put":
      writeOptionalZxid(w, 4, body.expect);
      w.bytes(3, body.value);
      w.text(2, body.name);
      if (body.request.client !== "") writeRequestId(w, 1, body.request);
      return;
    case "read":
      w.text(1, body.name);
      return;
    case "resolve":
      w.text(5, body.note);
      w.text(4, body.by);
      w.uint(3, HEURISTIC.code(body.outcome));
      w.text(2, body.branch);
      w.text(1, body.gid);
      return;
    case "noop":
      return;
    default:
      unreachable(body);
  }
}

/** Begin and Commit have the same first four fields. */
function readStart(
  r: ProtoReader,
  votes: BranchVote[] | undefined,
): { gid: Gid; client: string; timeoutMs: number; branches: BranchSpec[] } {
  let gid = "" as Gid;
  let client = "";
  let timeoutMs = 0;
  const branches: BranchSpec[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) client = r.text();
    else if (tag === 24) timeoutMs = r.uint();
    else if (tag === 34) pushBounded(branches, nested(r, readBranch));
    else if (tag === 42 && votes !== undefined) pushBounded(votes, nested(r, readVote));
    else r.skip(tag);
  }
  return { gid, client, timeoutMs, branches };
}

function readOpen(r: ProtoReader): Of<"open"> {
  const { gid, client, timeoutMs, branches } = readStart(r, undefined);
  return { kind: "open", gid: gid.length === 0 ? undefined : gid, client, timeoutMs, branches };
}

function readCommit(r: ProtoReader): Of<"commit"> {
  const votes: BranchVote[] = [];
  const { gid, client, timeoutMs, branches } = readStart(r, votes);
  return { kind: "commit", gid, client, timeoutMs, branches, votes };
}

function readEnlist(r: ProtoReader): Of<"enlist"> {
  let gid = "" as Gid;
  let branch: BranchSpec | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) branch = nested(r, readBranch);
    else r.skip(tag);
  }
  if (branch === undefined) throw new WireError("branch is missing");
  return { kind: "enlist", gid, branch };
}

/** Field 1 (gid) and, where it exists, field 2 (wait). */
function readGidWait(r: ProtoReader): { gid: Gid; wait: boolean } {
  let gid = "" as Gid;
  let wait = false;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 16) wait = r.bool();
    else r.skip(tag);
  }
  return { gid, wait };
}

function readList(r: ProtoReader): Of<"list"> {
  let state: Of<"list">["state"] | undefined;
  let limit = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) state = LIST_STATE.readOptional(r);
    else if (tag === 16) limit = r.uint32();
    else r.skip(tag);
  }
  return { kind: "list", state: state ?? "all", limit: limit === 0 ? LIST_LIMIT_DEFAULT : limit };
}

function readPut(r: ProtoReader): Of<"put"> {
  let request: RequestId = NO_REQUEST_ID;
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
  return { kind: "put", request, name, value, expect };
}

function readRead(r: ProtoReader): Of<"read"> {
  let name = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) name = r.text();
    else r.skip(tag);
  }
  return { kind: "read", name };
}

function readResolve(r: ProtoReader): Of<"resolve"> {
  let gid = "" as Gid;
  let branch = "";
  let outcome: Of<"resolve">["outcome"] | undefined;
  let by = "";
  let note = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 18) branch = r.text();
    else if (tag === 24) {
      const value = HEURISTIC.read(r);
      if (value !== "committed" && value !== "rolled-back") throw new WireError(`outcome must be COMMITTED or ROLLED_BACK, not ${value}`);
      outcome = value;
    } else if (tag === 34) by = r.text();
    else if (tag === 42) note = r.text();
    else r.skip(tag);
  }
  if (outcome === undefined) throw new WireError("outcome is missing");
  return { kind: "resolve", gid, branch, outcome, by, note };
}

/** Reads the fields of one request message. */
export const REQUEST_READERS: { readonly [K in Request["kind"]]: Read<Of<K>> } = {
  open: readOpen,
  enlist: readEnlist,
  commit: readCommit,
  abort: (r) => ({ kind: "abort", gid: readGidWait(r).gid }),
  outcome: (r) => ({ kind: "outcome", ...readGidWait(r) }),
  list: readList,
  put: readPut,
  read: readRead,
  retry: (r) => ({ kind: "retry", gid: readGidWait(r).gid }),
  resolve: readResolve,
  noop(r) {
    readNothing(r);
    return { kind: "noop" };
  },
};
