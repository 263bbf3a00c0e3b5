/**
 * What is wrong with a request from outside, in words that name the field and the fix. Past here texts are what their types say.
 *
 * Only what needs no limits of the state machine: sizes, lists and timeouts are judged by the leader, and again at apply, with an answer of
 * the same codes.
 */
import type { ErrorCode } from "../base/index.js";
import { gidProblem, nameProblem } from "../base/index.js";
import type { BranchReply, Inquiry, Request } from "../coordinator/index.js";
import type { ParticipantFrame } from "../wire/index.js";

type Branch = Extract<Request, { kind: "enlist" }>["branch"];

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
      return invalid(gidProblem(body.gid) ?? nameProblem("branch", body.branch) ?? byProblem(body.by));
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

function byProblem(by: string): string | undefined {
  return by.length > 0 ? undefined : "by is empty; name who settled the branch";
}

/** The names inside, too, for a unary call: on a stream the leader's check of the whole list is near enough. */
export function unaryProblem(body: Request): RequestProblem | undefined {
  return requestProblem(body) ?? invalid(branchNameProblem(body));
}

function branchNameProblem(body: Request): string | undefined {
  if (body.kind === "enlist") return branchProblem("branch", body.branch);
  if (body.kind !== "open" && body.kind !== "commit") return undefined;
  for (const [index, branch] of body.branches.entries()) {
    const problem = branchProblem(`branches[${index}]`, branch);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function branchProblem(field: string, branch: Branch): string | undefined {
  return nameProblem(`${field}.id`, branch.id) ?? nameProblem(`${field}.participant`, branch.participant);
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
