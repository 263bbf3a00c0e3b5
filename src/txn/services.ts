/**
 * What apply keeps of registered services: none is taken away, or given another kind, while a transaction may still have to tell it
 * something; and no branch is recorded that its service could never be told about.
 *
 * The leader checks the same before it proposes, for the sake of whoever asked. Only the log's order settles it: a removal and a branch
 * that cross on their way are refused or accepted by which of them is applied first. From feature level 3 on; below it the leader's check
 * is all there is.
 */
import { SERVICE_PARTICIPANT_KINDS, SERVICE_PREFIX, type Gid, type ServiceKind } from "../base/index.js";
import { kindOf } from "./check.js";
import type { BranchSpec } from "./command.js";
import { SERVICE_LEVEL } from "./limits.js";
import { owes, type Transaction } from "./transaction.js";
import type { Tables } from "./tables.js";

/** Transactions that may still have to tell this participant something. */
export function unfinishedWith(transactions: Iterable<Transaction>, participant: string): Set<Gid> {
  const gids = new Set<Gid>();
  for (const { gid, branches, decision } of transactions) {
    const owed = branches.some(
      (branch) => branch.participant === participant && (decision === undefined || owes(branch, decision.decision)),
    );
    if (owed) gids.add(gid);
  }
  return gids;
}

/** `next` undefined: it is to be removed. Undefined when nothing stands against it. */
export function heldMessage(service: string, next: ServiceKind | undefined, owing: ReadonlySet<Gid>): string | undefined {
  const first = owing.values().next().value;
  if (first === undefined) return undefined;
  const what = next === undefined ? "be removed" : `become ${next}`;
  return `service "${service}" cannot ${what}: it has branches in ${owing.size} unfinished transactions, ${first} among them; wait for them, or settle its branches by \`quorate txn resolve\``;
}

/**
 * The kind that a registration says; undefined for a removed one, and for what cannot be read. Not more than that is read here: every
 * replica must come to the same, and what counts as a URL differs between versions of Node.
 */
export function registeredKind(value: Uint8Array): ServiceKind | undefined {
  if (value.length === 0) return undefined;
  let spec: unknown;
  try {
    spec = JSON.parse(new TextDecoder().decode(value));
  } catch {
    return undefined;
  }
  if (typeof spec !== "object" || spec === null) return undefined;
  const { kind = "2pc" } = spec as { readonly kind?: unknown };
  return kind === "2pc" || kind === "tcc" ? kind : undefined;
}

/** Why this register may not be written now. */
export function registrationProblem(tables: Tables, name: string, value: Uint8Array): string | undefined {
  if (!name.startsWith(SERVICE_PREFIX) || tables.featureLevel < SERVICE_LEVEL) return undefined;
  const service = name.slice(SERVICE_PREFIX.length);
  const before = tables.serviceKinds.get(service);
  const next = registeredKind(value);
  if (before === undefined || next === before) return undefined;
  return heldMessage(service, next, unfinishedWith(tables.transactions.values(), service));
}

/** Why no branch like this can be recorded: its service is removed, or is of another kind. */
export function serviceProblem(tables: Tables, branch: BranchSpec): string | undefined {
  if (tables.featureLevel < SERVICE_LEVEL) return undefined;
  const { participant } = branch;
  const register = tables.services.get(SERVICE_PREFIX + participant);
  const known = tables.participants.get(participant)?.participantKind;
  // A name that was a service's and has attached as something else since is no service's any more.
  if (register === undefined || known === undefined || !SERVICE_PARTICIPANT_KINDS.has(known)) return undefined;
  const where = `participant "${participant}" of branch "${branch.id}"`;
  if (register.value.length === 0) return `${where} was a service and is removed; register it again`;
  const kind = tables.serviceKinds.get(participant);
  if (kind === undefined || kind === kindOf(branch)) return undefined;
  return `${where} is a service of kind ${kind}, and the branch is of kind ${kindOf(branch)}; name the service's own kind`;
}
