/**
 * What is wrong with a request from outside, in words that name the field and the fix. Past here texts are what their types say.
 *
 * Sizes and lists are checked where they are decided upon (txn's rules, at the leader and at apply); a unary call gets the same words
 * early, on whatever node it reached.
 */
import type { ErrorCode } from "../base/index.js";
import { gidProblem, nameProblem } from "../base/index.js";
import type { BranchReply, Inquiry, Request } from "../coordinator/index.js";
import { checkBranches, checkRegister, TXN_LIMITS } from "../txn/index.js";
import type { BranchSpec } from "../txn/index.js";
import type { ParticipantFrame } from "../wire/index.js";

export interface RequestProblem {
  readonly code: ErrorCode;
  readonly message: string;
}

const CLIENT_PATTERN = /^[0-9a-f]{32}$/;
const LIST_LIMIT_MAX = 1_000;
const VERSION_CHARS_MAX = 64;
const INSTANCE_CHARS_MAX = 128;

function invalid(message: string | undefined): RequestProblem | undefined {
  return message === undefined ? undefined : { code: "QUORATE_INVALID_ARGUMENT", message };
}

/** `field` must be a client's id. */
export function clientProblem(field: string, value: string): string | undefined {
  if (CLIENT_PATTERN.test(value)) return undefined;
  return `${field} ${JSON.stringify(value.slice(0, 60))} must be a UUID v7 as 32 hex digits, made once when the client starts`;
}

function optionalClientProblem(value: string): string | undefined {
  return value.length === 0 ? undefined : clientProblem("client", value);
}

/** Identifiers and ranges: cheap, for every request of every stream. */
export function requestProblem(body: Request): RequestProblem | undefined {
  switch (body.kind) {
    case "open":
      return invalid((body.gid === undefined ? undefined : gidProblem(body.gid)) ?? optionalClientProblem(body.client));
    case "commit":
      return invalid(gidProblem(body.gid) ?? optionalClientProblem(body.client));
    case "enlist":
    case "abort":
    case "outcome":
    case "retry":
      return invalid(gidProblem(body.gid));
    case "resolve":
      return invalid(gidProblem(body.gid) ?? nameProblem("branch", body.branch) ?? resolveProblem(body.by, body.note));
    case "put":
      return invalid(body.request.client.length === 0 ? undefined : clientProblem("request.client", body.request.client));
    case "list":
      return invalid(
        body.limit >= 1 && body.limit <= LIST_LIMIT_MAX ? undefined : `limit is ${body.limit}; it must be from 1 to ${LIST_LIMIT_MAX}`,
      );
    case "read":
    case "noop":
      return undefined;
    default:
      return body satisfies never;
  }
}

function resolveProblem(by: string, note: string): string | undefined {
  const { noteCharsMax } = TXN_LIMITS;
  if (by.length === 0) return "by is empty; name who settled the branch";
  if (by.length > noteCharsMax) return `by is ${by.length} characters long; the limit is ${noteCharsMax}`;
  return note.length > noteCharsMax ? `note is ${note.length} characters long; the limit is ${noteCharsMax}` : undefined;
}

/** Everything that can be said without the replicated state, for a unary call. */
export function unaryProblem(body: Request): RequestProblem | undefined {
  return requestProblem(body) ?? sizeProblem(body);
}

function sizeProblem(body: Request): RequestProblem | undefined {
  switch (body.kind) {
    case "open":
    case "commit":
      return branchesProblem(body.branches);
    case "enlist":
      return branchesProblem([body.branch]);
    case "put":
      return registerProblem(body.name, body.value.length);
    case "read":
      return registerProblem(body.name, 0);
    default:
      return undefined;
  }
}

function branchesProblem(branches: readonly BranchSpec[]): RequestProblem | undefined {
  return coded(checkBranches(branches, TXN_LIMITS));
}

function registerProblem(name: string, valueBytes: number): RequestProblem | undefined {
  return coded(checkRegister(name, valueBytes, TXN_LIMITS));
}

function coded(problem: { readonly reason: string; readonly message: string } | undefined): RequestProblem | undefined {
  if (problem === undefined) return undefined;
  return { code: problem.reason === "too-large" ? "QUORATE_TOO_LARGE" : "QUORATE_INVALID_ARGUMENT", message: problem.message };
}

/** A participant's frames come from an adapter, not from a user: any problem ends the stream. */
export function participantFrameProblem(frame: ParticipantFrame): string | undefined {
  return referencesProblem("replies", frame.replies) ?? referencesProblem("inquiries", frame.inquiries);
}

function referencesProblem(list: string, references: readonly (BranchReply | Inquiry)[]): string | undefined {
  for (let i = 0; i < references.length; i++) {
    const reference = references[i];
    if (reference === undefined) continue;
    const problem = gidProblem(reference.gid) ?? nameProblem("branch", reference.branch);
    if (problem !== undefined) return `${list}[${i}]: ${problem}`;
  }
  return undefined;
}

export function participantHelloProblem(hello: NonNullable<ParticipantFrame["hello"]>): string | undefined {
  return (
    nameProblem("hello.participant", hello.participant) ??
    nameProblem("hello.participant_kind", hello.participantKind) ??
    lengthProblem("hello.instance", hello.instance, INSTANCE_CHARS_MAX) ??
    lengthProblem("hello.version", hello.version, VERSION_CHARS_MAX)
  );
}

export function clientHelloProblem(hello: { readonly client: string; readonly version: string }): string | undefined {
  return clientProblem("hello.client", hello.client) ?? lengthProblem("hello.version", hello.version, VERSION_CHARS_MAX);
}

function lengthProblem(field: string, value: string, max: number): string | undefined {
  return value.length <= max ? undefined : `${field} is ${value.length} characters long; the limit is ${max}`;
}
