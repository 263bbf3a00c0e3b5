/**
 * How a service that takes part in transactions is registered: the register's name, and what its value says.
 *
 * Shared by whoever writes it (client), whoever refuses it (coordinator) and whoever calls the service. Pure.
 */
import { nameProblem } from "./ids.js";

/** Registers below this name hold the registrations; the name itself is their list. */
export const SERVICE_PREFIX = "service/";

/** `2pc`: asked to prepare, commit and roll back. `tcc`: to try, confirm and cancel. The contract is the same. */
export type ServiceKind = "2pc" | "tcc";

/** As what the callers of services register: what they call is told how a branch ended, and never asks. */
export const SERVICE_PARTICIPANT_KINDS: ReadonlySet<string> = new Set(["http", "grpc"]);

export interface ServiceSpec {
  /** `http://host:port/path` or `grpc://host:port`. */
  readonly url: string;
  readonly kind: ServiceKind;
  /** For one call, from its start to the last byte of the answer. */
  readonly deadlineMs: number;
}

export const SERVICE_DEADLINE_MS = { default: 5_000, min: 50, max: 60_000 } as const;
const URL_CHARS_MAX = 1_024;
const FIELDS = new Set(["url", "kind", "deadlineMs"]);

export type ServiceRegister =
  | { readonly kind: "service"; readonly name: string; readonly spec: ServiceSpec }
  /** Its value is empty. */
  | { readonly kind: "removed"; readonly name: string }
  | { readonly kind: "malformed"; readonly problem: string };

/** What a register below SERVICE_PREFIX says. Bytes that anybody may have written. */
export function readService(register: string, value: Uint8Array): ServiceRegister {
  const name = register.slice(SERVICE_PREFIX.length);
  const named = nameProblem("service", name);
  if (named !== undefined) return { kind: "malformed", problem: named };
  if (value.length === 0) return { kind: "removed", name };
  let given: unknown;
  try {
    given = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
  } catch {
    return { kind: "malformed", problem: `service "${name}": the value must be JSON, such as {"url":"http://127.0.0.1:8080/quorate"}` };
  }
  const spec = serviceSpec(given);
  return typeof spec === "string" ? { kind: "malformed", problem: `service "${name}": ${spec}` } : { kind: "service", name, spec };
}

/** The same settings give the same bytes. */
export function serviceBytes({ url, kind, deadlineMs }: ServiceSpec): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ url, kind, deadlineMs }));
}

/** The settings with defaults filled in, or what is wrong with them, naming the field and the fix. */
export function serviceSpec(given: unknown): ServiceSpec | string {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return "the settings must be an object with url, kind and deadlineMs";
  const unknown = Object.keys(given).find((key) => !FIELDS.has(key));
  if (unknown !== undefined) return `${JSON.stringify(unknown.slice(0, 60))} is no setting; there are url, kind and deadlineMs`;
  const { url, kind = "2pc", deadlineMs = SERVICE_DEADLINE_MS.default } = given as Readonly<Record<string, unknown>>;
  const problem = urlProblem(url);
  if (problem !== undefined) return problem;
  if (kind !== "2pc" && kind !== "tcc") return `kind ${shown(kind)} must be "2pc" or "tcc"`;
  const { min, max } = SERVICE_DEADLINE_MS;
  if (typeof deadlineMs !== "number" || !Number.isInteger(deadlineMs) || deadlineMs < min || deadlineMs > max)
    return `deadlineMs ${shown(deadlineMs)} must be an integer from ${min} to ${max}`;
  return { url: url as string, kind, deadlineMs };
}

function urlProblem(url: unknown): string | undefined {
  if (typeof url !== "string") return `url ${shown(url)} must be a text: http://host:port/path or grpc://host:port`;
  if (url.length > URL_CHARS_MAX) return `url is ${url.length} characters long; the limit is ${URL_CHARS_MAX}`;
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return `url ${shown(url)} is no URL; give http://host:port/path or grpc://host:port`;
  }
  const { protocol, hostname, port, pathname, search, hash, username, password } = parsed;
  if (protocol !== "http:" && protocol !== "grpc:") return `url ${shown(url)} must begin with http:// or grpc://`;
  if (hostname === "") return `url ${shown(url)} names no host`;
  if (username !== "" || password !== "") return "url holds a user or a password; it is shown to everybody, so it must not";
  if (hash !== "") return `url ${shown(url)} has a fragment (${hash}), which is never sent; leave it out`;
  if (protocol === "http:") return undefined;
  if (port === "") return `url ${shown(url)} names no port; grpc:// has no default one`;
  return (pathname === "" || pathname === "/") && search === ""
    ? undefined
    : `url ${shown(url)} has a path; grpc:// takes host and port only`;
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 120);
}
