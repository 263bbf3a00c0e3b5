/**
 * Answers to clients: the response messages of proto/quorate/v1/coordinator.proto, and Error of session.proto.
 */
import type { ErrorCode, Gid, Outcome, Retry, Zxid } from "../base/index.js";
import { ERROR_CODES, unreachable, ZXID_ZERO } from "../base/index.js";
import type { Answer, BranchView, TransactionView } from "../coordinator/index.js";
import { pushBounded, readGid, readNothing, readZxid, writeOptionalZxid, writeZxid } from "./common-codec.js";
import { DECISION, OUTCOME, RETRY, VIEW_STATE, VOTE } from "./enums.js";
import type { ProtoReader, Read } from "./proto-reader.js";
import { nested } from "./proto-reader.js";
import type { ProtoWriter } from "./proto-writer.js";

type Of<K extends Answer["kind"]> = Extract<Answer, { kind: K }>;

function writeBranchView(w: ProtoWriter, branch: BranchView): void {
  w.bool(11, branch.kind === "tcc");
  if (branch.payload !== undefined) w.bytesPresent(10, branch.payload);
  if (branch.heuristic !== undefined) w.textPresent(9, branch.heuristic);
  if (branch.lastError !== undefined) w.textPresent(8, branch.lastError);
  w.uint(7, branch.attempts);
  w.text(6, branch.phase);
  w.bool(5, branch.done);
  w.uint(4, VOTE.code(branch.vote));
  w.text(3, branch.mode);
  w.text(2, branch.participant);
  w.text(1, branch.id);
}

function writeTransactionView(w: ProtoWriter, view: TransactionView): void {
  for (let i = view.branches.length - 1; i >= 0; i--) {
    const mark = w.mark();
    writeBranchView(w, view.branches[i] as BranchView);
    w.message(8, mark);
  }
  if (view.openedMs !== undefined) w.uintPresent(7, view.openedMs);
  writeOptionalZxid(w, 6, view.decidedAt);
  if (view.detail !== undefined) w.textPresent(5, view.detail);
  if (view.reason !== undefined) w.textPresent(4, view.reason);
  w.uint(3, DECISION.code(view.decision));
  w.uint(2, VIEW_STATE.code(view.state));
  w.text(1, view.gid);
}

/** Writes the fields of the answer's message. */
export function writeAnswer(w: ProtoWriter, answer: Answer): void {
  switch (answer.kind) {
    case "opened":
    case "enlisted":
      w.text(1, answer.gid);
      return;
    case "decided":
      writeZxid(w, 5, answer.zxid);
      w.text(4, answer.detail);
      if (answer.reason !== undefined) w.textPresent(3, answer.reason);
      w.uint(2, DECISION.code(answer.decision));
      w.text(1, answer.gid);
      return;
    case "transaction":
      writeTransactionView(w, answer.transaction);
      return;
    case "transactions":
      for (let i = answer.transactions.length - 1; i >= 0; i--) {
        const mark = w.mark();
        writeTransactionView(w, answer.transactions[i] as TransactionView);
        w.message(1, mark);
      }
      return;
    case "put":
      writeZxid(w, 1, answer.version);
      return;
    case "read":
      writeOptionalZxid(w, 2, answer.version);
      if (answer.value !== undefined) w.bytesPresent(1, answer.value);
      return;
    case "ok":
      return;
    case "error":
      writeOptionalZxid(w, 6, answer.version);
      w.text(5, answer.gid ?? "");
      w.uint(4, RETRY.code(answer.retry));
      w.uint(3, OUTCOME.code(answer.outcome));
      w.text(2, answer.message);
      w.text(1, answer.code);
      return;
    default:
      unreachable(answer);
  }
}

function viewBytes(view: TransactionView): number {
  return view.branches.reduce((bytes, { payload }) => bytes + 300 + (payload?.length ?? 0), 300);
}

/** About how many bytes the answer takes on the wire: what frames are filled by. */
export function answerBytes(answer: Answer): number {
  switch (answer.kind) {
    case "read":
      return 60 + (answer.value?.length ?? 0);
    case "transaction":
      return viewBytes(answer.transaction);
    case "transactions":
      return answer.transactions.reduce((bytes, view) => bytes + viewBytes(view), 0);
    case "error":
      return 120 + answer.message.length * 2;
    case "decided":
      return 100 + answer.detail.length * 2;
    default:
      return 100;
  }
}

function readBranchViewMessage(r: ProtoReader): BranchView {
  let id = "";
  let participant = "";
  let mode = "";
  let vote: BranchView["vote"];
  let done = false;
  let phase = "";
  let attempts = 0;
  let lastError: string | undefined;
  let heuristic: string | undefined;
  let payload: Uint8Array | undefined;
  let tcc = false;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) id = r.text();
    else if (tag === 18) participant = r.text();
    else if (tag === 26) mode = r.text();
    else if (tag === 32) vote = VOTE.readOptional(r);
    else if (tag === 40) done = r.bool();
    else if (tag === 50) phase = r.text();
    else if (tag === 56) attempts = r.uint32();
    else if (tag === 66) lastError = r.text();
    else if (tag === 74) heuristic = r.text();
    else if (tag === 82) payload = r.copy();
    else if (tag === 88) tcc = r.bool();
    else r.skip(tag);
  }
  const kind = tcc ? ("tcc" as const) : ("2pc" as const);
  const view = { id, participant, mode, kind, vote, done, phase, attempts, lastError, heuristic };
  return payload === undefined ? view : { ...view, payload };
}

function readTransactionView(r: ProtoReader): TransactionView {
  let gid = "" as Gid;
  let state: TransactionView["state"] | undefined;
  let decision: TransactionView["decision"];
  let reason: string | undefined;
  let detail: string | undefined;
  let decidedAt: Zxid | undefined;
  let openedMs: number | undefined;
  const branches: BranchView[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 16) state = VIEW_STATE.read(r);
    else if (tag === 24) decision = DECISION.readOptional(r);
    else if (tag === 34) reason = r.text();
    else if (tag === 42) detail = r.text();
    else if (tag === 50) decidedAt = readZxid(r);
    else if (tag === 56) openedMs = r.uint();
    else if (tag === 66) pushBounded(branches, nested(r, readBranchViewMessage));
    else r.skip(tag);
  }
  return { gid, state: VIEW_STATE.required(state), decision, reason, detail, decidedAt, openedMs, branches };
}

function readOnlyGid(r: ProtoReader): Gid {
  let gid = "" as Gid;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else r.skip(tag);
  }
  return gid;
}

function readDecided(r: ProtoReader): Of<"decided"> {
  let gid = "" as Gid;
  let decision: Of<"decided">["decision"] | undefined;
  let reason: string | undefined;
  let detail = "";
  let zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) gid = readGid(r);
    else if (tag === 16) decision = DECISION.read(r);
    else if (tag === 26) reason = r.text();
    else if (tag === 34) detail = r.text();
    else if (tag === 42) zxid = readZxid(r);
    else r.skip(tag);
  }
  return { kind: "decided", gid, decision: DECISION.required(decision), reason, detail, zxid };
}

function readTransactions(r: ProtoReader): Of<"transactions"> {
  const transactions: TransactionView[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) pushBounded(transactions, nested(r, readTransactionView));
    else r.skip(tag);
  }
  return { kind: "transactions", transactions };
}

function readPut(r: ProtoReader): Of<"put"> {
  let version: Zxid = ZXID_ZERO;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) version = readZxid(r);
    else r.skip(tag);
  }
  return { kind: "put", version };
}

/** The value goes to the caller of a library, who may keep it: a copy. */
function readRead(r: ProtoReader): Of<"read"> {
  let value: Uint8Array | undefined;
  let version: Zxid | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) value = r.copy();
    else if (tag === 18) version = readZxid(r);
    else r.skip(tag);
  }
  return { kind: "read", value, version };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** A code of a newer node keeps what it says of outcome and retry, and is shown in the message. */
export function knownErrorCode(code: string, message: string): { readonly code: ErrorCode; readonly message: string } {
  return isErrorCode(code) ? { code, message } : { code: "QUORATE_INTERNAL", message: `${code} (unknown to this version): ${message}` };
}

function readError(r: ProtoReader): Of<"error"> {
  let code = "";
  let message = "";
  let outcome: Outcome | undefined;
  let retry: Retry | undefined;
  let gid = "" as Gid;
  let version: Zxid | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) code = r.text();
    else if (tag === 18) message = r.text();
    else if (tag === 24) outcome = OUTCOME.readOptional(r);
    else if (tag === 32) retry = RETRY.read(r);
    else if (tag === 42) gid = readGid(r);
    else if (tag === 50) version = readZxid(r);
    else r.skip(tag);
  }
  return {
    kind: "error",
    ...knownErrorCode(code, message),
    outcome,
    retry: RETRY.required(retry),
    gid: gid.length === 0 ? undefined : gid,
    version,
  };
}

/** Reads the fields of one response message. */
export const ANSWER_READERS: { readonly [K in Answer["kind"]]: Read<Of<K>> } = {
  opened: (r) => ({ kind: "opened", gid: readOnlyGid(r) }),
  enlisted: (r) => ({ kind: "enlisted", gid: readOnlyGid(r) }),
  decided: readDecided,
  transaction: (r) => ({ kind: "transaction", transaction: readTransactionView(r) }),
  transactions: readTransactions,
  put: readPut,
  read: readRead,
  ok(r) {
    readNothing(r);
    return { kind: "ok" };
  },
  error: readError,
};
