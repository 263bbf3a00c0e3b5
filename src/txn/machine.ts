/**
 * The replicated state machine: one dispatcher over the records of the log.
 *
 * Pure in (state, command, zxid). Every replica that applied the same entries has the same state, whatever it was restored from.
 */
import { gidTimeMs, unreachable } from "../base/index.js";
import type { Gid, Zxid } from "../base/index.js";
import type { ApplyResult, Restoring, StateMachine, TxnLimits } from "./api.js";
import { canonicalText } from "./canonical.js";
import type { Command, StampedCommand } from "./command.js";
import { applyDecide, applyDone, applyFloor, applyForget, applyHeuristic } from "./decision.js";
import { chainDigest } from "./digest.js";
import { applyBegin, applyEnlist, applyOpen } from "./lifecycle.js";
import { TXN_LIMITS } from "./limits.js";
import { applyPut, applyRegister } from "./put.js";
import { serviceProblem } from "./services.js";
import { Tables } from "./tables.js";

const NOOP: ApplyResult = Object.freeze({ kind: "noop" });

/** An empty state machine. `limits` are part of the machine: the same on every node of a cluster. */
export function createStateMachine(limits: TxnLimits = TXN_LIMITS): StateMachine {
  let tables = new Tables(limits);
  const restoring = (): Restoring => {
    const next = new Tables(limits);
    return {
      take: (change) => {
        next.load(change);
      },
      finish: () => {
        next.loaded();
        tables = next;
      },
    };
  };
  return {
    apply(entry: StampedCommand, zxid: Zxid): ApplyResult {
      tables.advance(zxid);
      // Stamps never go back along the log; a record that came with an older one counts as made now.
      if (entry.stampMs > tables.stampMs) tables.stampMs = entry.stampMs;
      const result = dispatch(tables, entry.command, zxid);
      tables.digest = chainDigest(tables.digest, zxid, result);
      return result;
    },
    lookup: (gid) => tables.lookup(gid),
    transactions: () => tables.transactions.values(),
    outcomes: (limit) => tables.outcomes.newest(limit),
    register: (name) => tables.registers.get(name),
    services: () => tables.services,
    serviceProblem: (branch) => serviceProblem(tables, branch),
    participants: () => [...tables.participants.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    isParticipant: (name) => tables.participants.has(name),
    meta: () => tables.meta(),
    counts: () => ({
      open: tables.open,
      sealed: tables.sealed,
      decidedUnfinished: tables.transactions.size - tables.open - tables.sealed,
      finished: tables.outcomes.size,
      registers: tables.registers.size,
      clients: tables.clients.size,
    }),
    forgettable: (limit) => forgettable(tables, limit),
    forgottenBelowMs: () => tables.forgottenBelowMs(),
    takeChanges: () => tables.takeChanges(),
    restore: (changes) => {
      const whole = restoring();
      for (const change of changes) whole.take(change);
      whole.finish();
    },
    restoring,
    canonical: () => canonicalText(tables),
  };
}

function dispatch(tables: Tables, command: Command, zxid: Zxid): ApplyResult {
  switch (command.kind) {
    case "OPEN":
      return applyOpen(tables, command, zxid);
    case "ENLIST":
      return applyEnlist(tables, command);
    case "BEGIN":
      return applyBegin(tables, command, zxid);
    case "DECIDE":
      return applyDecide(tables, command, zxid);
    case "DONE":
      return applyDone(tables, command);
    case "FORGET":
      return applyForget(tables, command);
    case "FLOOR":
      return applyFloor(tables, command);
    case "HEURISTIC":
      return applyHeuristic(tables, command);
    case "REGISTER":
      return applyRegister(tables, command);
    case "PUT":
      return applyPut(tables, command, zxid);
    case "NOOP":
      return NOOP;
    default:
      return unreachable(command);
  }
}

/** How many aborted, unacknowledged transactions one call looks at for each gid asked for: they are roughly oldest first. */
const LOOKED_AT_PER_GID = 4;

/** Outcomes below the floor, then aborted transactions below it that still wait for acknowledgements (see applyForget). */
function forgettable(tables: Tables, limit: number): readonly Gid[] {
  const gids = tables.outcomes.olderThan(tables.floorMs, limit);
  let looked = 0;
  for (const gid of tables.abortedUnfinished) {
    if (gids.length >= limit || looked++ >= limit * LOOKED_AT_PER_GID) break;
    if (gidTimeMs(gid) < tables.floorMs) gids.push(gid);
  }
  return gids;
}
