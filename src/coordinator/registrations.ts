/**
 * Registrations of services in the register space: what may be written there, and their list.
 *
 * What a registration says is checked by the leader before the write is proposed, not at apply: what an earlier version wrote there stays,
 * and whoever calls services passes over what it cannot read. Whether a service may go now is checked here for the answer's sake, and again at
 * apply (txn/services.ts), where the log's order settles it.
 */
import { maxZxid, readService, SERVICE_PARTICIPANT_KINDS, SERVICE_PREFIX, ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import { heldMessage, unfinishedWith } from "../txn/index.js";
import type { Register, StateMachine } from "../txn/index.js";
import { errorAnswer } from "./answers.js";
import type { Drive } from "./drive.js";
import type { Answer } from "./request.js";

/** Why this may not be written; undefined when it may, and for every other register. */
export function registrationProblem(state: StateMachine, drives: Iterable<Drive>, name: string, value: Uint8Array): Answer | undefined {
  if (!name.startsWith(SERVICE_PREFIX)) return undefined;
  const next = readService(name, value);
  if (next.kind === "malformed") return errorAnswer("QUORATE_INVALID_ARGUMENT", next.problem, {});
  const register = state.register(name);
  const before = register === undefined ? undefined : readService(name, register.value);
  if (before?.kind !== "service") return next.kind === "removed" ? undefined : nameTaken(state, next.name);
  if (next.kind === "service" && next.spec.kind === before.spec.kind) return undefined;
  const owing = unfinishedWith(state.transactions(), next.name);
  // Those whose record is on its way.
  for (const { gid, stage, branches } of drives)
    if (stage !== "decided" && branches.some((branch) => branch.listed && branch.participant === next.name)) owing.add(gid);
  const held = heldMessage(next.name, next.kind === "removed" ? undefined : next.spec.kind, owing);
  return held === undefined ? undefined : errorAnswer("QUORATE_WRONG_STATE", held, {});
}

function nameTaken(state: StateMachine, name: string): Answer | undefined {
  const known = state.participants().find((participant) => participant.name === name);
  if (known === undefined || SERVICE_PARTICIPANT_KINDS.has(known.participantKind)) return undefined;
  const message = `"${name}" is a participant of kind ${known.participantKind} already; give the service another name`;
  return errorAnswer("QUORATE_INVALID_ARGUMENT", message, {});
}

/** The answer to a read of SERVICE_PREFIX: a JSON list by name; the version is the newest of theirs. */
export function listRegistrations(registers: ReadonlyMap<string, Register>): Answer {
  let version: Zxid = ZXID_ZERO;
  const list: Readonly<Record<string, unknown>>[] = [];
  for (const register of registers.values()) {
    version = maxZxid(version, register.version);
    const read = readService(register.name, register.value);
    const name = register.name.slice(SERVICE_PREFIX.length);
    if (read.kind === "service") list.push({ name, ...read.spec });
    else if (read.kind === "malformed") list.push({ name, problem: read.problem });
  }
  list.sort((a, b) => (String(a["name"]) < String(b["name"]) ? -1 : 1));
  return { kind: "read", value: new TextEncoder().encode(JSON.stringify(list)), version };
}
