/**
 * Registrations of services in the register space: what may be written there, and their list.
 *
 * Checked by the leader before a write is proposed, not at apply: what an earlier version wrote there stays, and whoever calls services
 * passes over what it cannot read.
 */
import { maxZxid, readService, SERVICE_PREFIX, ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import { owes } from "../txn/index.js";
import type { Register, StateMachine } from "../txn/index.js";
import { errorAnswer } from "./answers.js";
import type { Drive } from "./drive.js";
import type { Answer } from "./request.js";

/** What participants that are services are known as. */
export const SERVICE_PARTICIPANT_KINDS: readonly string[] = ["http", "grpc"];

/** Why this may not be written; undefined when it may, and for every other register. */
export function registrationProblem(state: StateMachine, drives: Iterable<Drive>, name: string, value: Uint8Array): Answer | undefined {
  if (!name.startsWith(SERVICE_PREFIX)) return undefined;
  const next = readService(name, value);
  if (next.kind === "malformed") return errorAnswer("QUORATE_INVALID_ARGUMENT", next.problem, {});
  const register = state.register(name);
  const before = register === undefined ? undefined : readService(name, register.value);
  if (before?.kind !== "service") return next.kind === "removed" ? undefined : nameTaken(state, next.name);
  if (next.kind === "service" && next.spec.kind === before.spec.kind) return undefined;
  const owing = unfinishedWith(state, drives, next.name);
  const first = owing.values().next().value;
  if (first === undefined) return undefined;
  const what = next.kind === "removed" ? "be removed" : `become ${next.spec.kind}`;
  return errorAnswer(
    "QUORATE_WRONG_STATE",
    `service "${next.name}" cannot ${what}: it has branches in ${owing.size} unfinished transactions, ${first} among them; wait for them, or settle its branches by \`quorate txn resolve\``,
    {},
  );
}

function nameTaken(state: StateMachine, name: string): Answer | undefined {
  const known = state.participants().find((participant) => participant.name === name);
  if (known === undefined || SERVICE_PARTICIPANT_KINDS.includes(known.participantKind)) return undefined;
  const message = `"${name}" is a participant of kind ${known.participantKind} already; give the service another name`;
  return errorAnswer("QUORATE_INVALID_ARGUMENT", message, {});
}

/** Transactions that may still have to tell it something. */
function unfinishedWith(state: StateMachine, drives: Iterable<Drive>, participant: string): Set<string> {
  const gids = new Set<string>();
  for (const { gid, branches, decision } of state.transactions()) {
    const owed = branches.some(
      (branch) => branch.participant === participant && (decision === undefined || owes(branch, decision.decision)),
    );
    if (owed) gids.add(gid);
  }
  // Those whose record is on its way.
  for (const { gid, stage, branches } of drives)
    if (stage !== "decided" && branches.some((branch) => branch.listed && branch.participant === participant)) gids.add(gid);
  return gids;
}

/** The participant was a service and is not any more: nobody will ever call it, unless it is registered again. */
export function isRemovedService(state: StateMachine, participant: string): boolean {
  return state.register(SERVICE_PREFIX + participant)?.value.length === 0;
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
