/**
 * Registrations of services: small values in the replicated state, below a reserved name. The leader checks what is written there; here
 * they are made, compared and listed.
 */
import { nameProblem, QuorateError, SERVICE_DEADLINE_MS, SERVICE_PREFIX, serviceBytes, serviceSpec, ZXID_ZERO } from "../base/index.js";
import type { ServiceKind, ServiceSpec, Zxid } from "../base/index.js";
import type { CallOptions } from "./session.js";

export interface ServiceRegistration {
  /** The participant's name, for `tx.ask(name, ...)`. */
  readonly name: string;
  /** `http://host:port/path` (HTTP/JSON) or `grpc://host:port` (gRPC unary), as the nodes reach it. */
  readonly url: string;
  /** `2pc` (default): called to prepare, commit, roll back. `tcc`: to try, confirm, cancel. */
  readonly kind?: ServiceKind | undefined;
  /** Of each call: 50 to 60,000, default 5,000 ms. */
  readonly deadlineMs?: number | undefined;
}

export interface RegisterServiceOptions extends CallOptions {
  /** Takes the place of a registration of this name with other settings. Default: refused with QUORATE_CONFLICT. */
  readonly replace?: boolean | undefined;
}

/** One line of the list. `problem`: the stored value cannot be read, so nobody calls this service. */
export type ListedService =
  ({ readonly name: string; readonly problem?: undefined } & ServiceSpec) | { readonly name: string; readonly problem: string };

/** The registers of the cluster, as the client reads and writes them. */
export interface Registers {
  put(name: string, value: Uint8Array, options: CallOptions & { readonly expect?: Zxid }): Promise<unknown>;
  read(name: string, options: CallOptions): Promise<{ readonly value: Uint8Array; readonly version: Zxid } | undefined>;
}

/** The work of a branch at a service: `tx.ask("hotel", servicePayload({ room: 12 }))`. Throws QUORATE_INVALID_ARGUMENT for what JSON cannot hold. */
export function servicePayload(work: unknown): Uint8Array {
  const text = JSON.stringify(work) as string | undefined;
  if (text === undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `the work of a branch must be JSON, got ${typeof work}`);
  return Buffer.from(text, "utf8");
}

/** Resolves with what was done. Throws QUORATE_INVALID_ARGUMENT naming the field, QUORATE_CONFLICT. */
export async function registerService(
  registers: Registers,
  registration: ServiceRegistration,
  options: RegisterServiceOptions,
): Promise<"added" | "replaced" | "unchanged"> {
  const { replace = false, ...call } = options;
  const { name, url, kind = "2pc", deadlineMs = SERVICE_DEADLINE_MS.default } = registration;
  const register = registerOf(name);
  const spec = serviceSpec({ url, kind, deadlineMs });
  if (typeof spec === "string") throw new QuorateError("QUORATE_INVALID_ARGUMENT", `service "${name}": ${spec}`);
  const value = serviceBytes(spec);
  const found = await registers.read(register, call);
  const before = found === undefined || found.value.length === 0 ? undefined : Buffer.from(found.value);
  if (before?.equals(value) === true) return "unchanged";
  if (before !== undefined && !replace) {
    const message = `service "${name}" is registered as ${before.toString("utf8")}, not as ${Buffer.from(value).toString("utf8")}; ask for it to be replaced, or choose another name`;
    throw new QuorateError("QUORATE_CONFLICT", message);
  }
  await registers.put(register, value, { ...call, expect: found?.version ?? ZXID_ZERO });
  return before === undefined ? "added" : "replaced";
}

export async function listServices(registers: Registers, options: CallOptions): Promise<readonly ListedService[]> {
  const list = await registers.read(SERVICE_PREFIX, options);
  return list === undefined ? [] : (JSON.parse(Buffer.from(list.value).toString("utf8")) as ListedService[]);
}

/** Throws QUORATE_INVALID_ARGUMENT when there is none, QUORATE_WRONG_STATE while it has branches in unfinished transactions. */
export async function removeService(registers: Registers, name: string, options: CallOptions): Promise<void> {
  const { register, version } = await existing(registers, name, options);
  await registers.put(register, new Uint8Array(0), { ...options, expect: version });
}

/** Everything that waits for the service goes out now, paused branches too. Throws QUORATE_INVALID_ARGUMENT when there is none. */
export async function wakeService(registers: Registers, name: string, options: CallOptions): Promise<void> {
  const { register, value, version } = await existing(registers, name, options);
  await registers.put(register, value, { ...options, expect: version });
}

async function existing(
  registers: Registers,
  name: string,
  options: CallOptions,
): Promise<{ readonly register: string; readonly value: Uint8Array; readonly version: Zxid }> {
  const register = registerOf(name);
  const found = await registers.read(register, options);
  if (found !== undefined && found.value.length > 0) return { register, ...found };
  const names = (await listServices(registers, options)).map((service) => service.name).join(", ");
  throw new QuorateError("QUORATE_INVALID_ARGUMENT", `there is no service "${name}"; registered are: ${names === "" ? "none" : names}`);
}

function registerOf(name: string): string {
  const problem = nameProblem("service", String(name));
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
  return SERVICE_PREFIX + name;
}
