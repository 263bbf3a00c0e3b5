/**
 * Refusals of apply, as values. A refusal changes nothing.
 */
import type { Gid, Zxid } from "../base/index.js";
import type { ApplyResult, RefusalReason } from "./api.js";
import type { Decision, RequestId } from "./command.js";

export type Refused = Extract<ApplyResult, { kind: "refused" }>;

export function refuse(reason: RefusalReason, message: string, gid: Gid, decision?: Decision): Refused {
  return { kind: "refused", reason, message, gid, request: undefined, decision, version: undefined };
}

export function refuseRequest(reason: RefusalReason, message: string, request: RequestId, version?: Zxid): Refused {
  return { kind: "refused", reason, message, gid: undefined, request, decision: undefined, version };
}

export function refusePlain(reason: RefusalReason, message: string): Refused {
  return { kind: "refused", reason, message, gid: undefined, request: undefined, decision: undefined, version: undefined };
}
