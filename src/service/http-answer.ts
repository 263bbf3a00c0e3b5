/**
 * What an HTTP answer means: docs/participants.md, "Services over HTTP". Pure.
 *
 * Strict about success: a page of a proxy, a redirect or the default answer of a wrong port must never pass for a yes.
 */
import type { ServicePhaseName } from "../wire/index.js";
import { isNewWork, oneLine, type ServiceSaid } from "./call.js";

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: Buffer;
}

const REFUSED = 409;
const NOT_YET = 425;

/** Throws an Error that says what is wrong with the answer. */
export function readAnswer(phase: ServicePhaseName, answer: HttpAnswer): ServiceSaid {
  const { status } = answer;
  if (status >= 200 && status < 300) return { kind: "done", vote: voteIn(phase, answer) };
  const detail = detailOf(answer);
  if (status === NOT_YET) return { kind: "not-yet", detail: said(phase, status, detail, "it is asked again soon") };
  if (status !== REFUSED) throw new Error(said(phase, status, detail, "a service answers 2xx, 409 or 425"));
  if (isNewWork(phase)) return { kind: "refused", detail: detail === "" ? `answered 409 to ${phase}` : detail };
  throw new Error(said(phase, status, detail, "what is decided cannot be refused, so it is asked again"));
}

function said(phase: string, status: number, detail: string, rule: string): string {
  return `answered ${status} to ${phase}${detail === "" ? "" : ` (${detail})`}; ${rule}`;
}

function voteIn(phase: ServicePhaseName, { status, contentType, body }: HttpAnswer): "yes" | "read-only" {
  if (body.length === 0) return "yes";
  const wrong = (what: string): Error =>
    new Error(`answered ${status} to ${phase} with ${what}; a body of 2xx is empty or a JSON object, {"vote":"yes"} for example`);
  if (!isJson(contentType)) throw wrong(contentType === undefined ? "a body without a content-type" : `a body of ${oneLine(contentType)}`);
  const value = parsed(body);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("a body that is no JSON object");
  const vote = (value as { readonly vote?: unknown }).vote;
  if (vote === undefined || vote === "yes" || !isNewWork(phase)) return "yes";
  if (vote === "read-only") return vote;
  throw wrong(`vote ${oneLine(JSON.stringify(vote))}, which is neither "yes" nor "read-only" (409 says no)`);
}

function isJson(contentType: string | undefined): boolean {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase();
  return type === "application/json" || type?.endsWith("+json") === true;
}

/** Undefined when it is no JSON: `undefined` is no JSON value. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** `detail` of a JSON object, else the text itself; nothing of a page. */
function detailOf({ contentType, body }: HttpAnswer): string {
  if (body.length === 0) return "";
  if (isJson(contentType)) {
    const value = parsed(body);
    const detail = typeof value === "object" && value !== null ? (value as { readonly detail?: unknown }).detail : undefined;
    return typeof detail === "string" ? oneLine(detail) : "";
  }
  return contentType?.trim().toLowerCase().startsWith("text/plain") === true ? oneLine(body.toString("utf8")) : "";
}
