/**
 * A participant that keeps the contract, for one transaction: its row survives a crash, its fence too, and repeated calls change nothing.
 */
import type { BranchPhase } from "../coordinator/index.js";
import type { BranchKind } from "../txn/index.js";

export interface Participant {
  readonly row: "none" | "prepared" | "committed" | "rolled-back";
  /** The highest epoch that asked to prepare. */
  readonly fence: number;
  /** Counts crashes. Calls of an earlier life are lost. */
  readonly life: number;
  /** It said no at least once. */
  readonly saidNo: boolean;
  /** Of a branch that is tried: it had reserved, and it is cancelled. */
  readonly wasPrepared: boolean;
  /** It was told to cancel before it was tried. */
  readonly cancelledFirst: boolean;
  /** And the try that came then was refused. */
  readonly triedLate: boolean;
}

export const NEW_PARTICIPANT: Participant = {
  ...{ row: "none", fence: 0, life: 0, saidNo: false },
  ...{ wasPrepared: false, cancelledFirst: false, triedLate: false },
};

export type ParticipantReply = "yes" | "read-only" | "no" | "done" | "refused";

export type Served =
  | { readonly kind: "served"; readonly after: Participant; readonly reply: ParticipantReply }
  | { readonly kind: "broken"; readonly message: string };

/** Everything that may come of one call: a prepare or a one-phase commit that finds no row may end either way. */
export function serve(participant: Participant, phase: BranchPhase, epoch: number, kind: BranchKind): readonly Served[] {
  if (kind === "tcc" && (phase === "prepare" || phase === "rollback")) return reserve(participant, phase);
  switch (phase) {
    case "prepare":
      return prepare(participant, epoch);
    case "commit":
      if (participant.row === "prepared" || participant.row === "committed") {
        return [{ kind: "served", after: { ...participant, row: "committed" }, reply: "done" }];
      }
      return [{ kind: "broken", message: `atomicity: a branch whose row is ${participant.row} is told to commit` }];
    case "rollback":
      if (participant.row === "committed") return [{ kind: "broken", message: "atomicity: a committed branch is told to roll back" }];
      return [{ kind: "served", after: { ...participant, row: "rolled-back" }, reply: "done" }];
    case "one-phase":
      return onePhase(participant, epoch);
  }
}

/** Try and cancel behind a barrier: no epochs, because whoever is tried has a record; and a cancel that comes first is remembered. */
function reserve(participant: Participant, phase: "prepare" | "rollback"): readonly Served[] {
  const { row } = participant;
  if (phase === "rollback") {
    if (row === "committed") return [{ kind: "broken", message: "atomicity: a confirmed branch is told to cancel" }];
    const first = row === "none";
    const wasPrepared = participant.wasPrepared || row === "prepared";
    const after: Participant = { ...participant, row: "rolled-back", wasPrepared, cancelledFirst: participant.cancelledFirst || first };
    return [{ kind: "served", after, reply: "done" }];
  }
  if (row === "prepared" || row === "committed") return [{ kind: "served", after: participant, reply: "yes" }];
  const no: Served = { kind: "served", after: { ...participant, saidNo: true, triedLate: row === "rolled-back" }, reply: "no" };
  return row === "none" ? [{ kind: "served", after: { ...participant, row: "prepared" }, reply: "yes" }, no] : [no];
}

/** What is settled is said again; a leader of the past gets no answer that counts, and nothing is done for it. */
function onePhase(participant: Participant, epoch: number): readonly Served[] {
  const { row, fence } = participant;
  if (row === "committed") return [{ kind: "served", after: participant, reply: "done" }];
  if (row === "rolled-back") return [{ kind: "served", after: participant, reply: "refused" }];
  if (epoch < fence) return [];
  const done: Served = { kind: "served", after: { ...participant, row: "committed", fence: epoch }, reply: "done" };
  if (row === "prepared") return [done];
  return [done, { kind: "served", after: { ...participant, row: "rolled-back", fence: epoch, saidNo: true }, reply: "refused" }];
}

function prepare(participant: Participant, epoch: number): readonly Served[] {
  const { row, fence } = participant;
  const no: Served = { kind: "served", after: { ...participant, fence: Math.max(fence, epoch), saidNo: true }, reply: "no" };
  if (row === "prepared") return [{ kind: "served", after: participant, reply: "yes" }];
  if (row !== "none" || epoch < fence) return [{ ...no, after: { ...participant, saidNo: true } }];
  return [
    { kind: "served", after: { ...participant, row: "prepared", fence: epoch }, reply: "yes" },
    { kind: "served", after: { ...participant, fence: epoch }, reply: "read-only" },
    no,
  ];
}
