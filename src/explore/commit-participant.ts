/**
 * A participant that keeps the contract, for one transaction: its row survives a crash, its fence too, and repeated calls change nothing.
 */
import type { BranchPhase } from "../coordinator/index.js";

export interface Participant {
  readonly row: "none" | "prepared" | "committed" | "rolled-back";
  /** The highest epoch that asked to prepare. */
  readonly fence: number;
  /** Counts crashes. Calls of an earlier life are lost. */
  readonly life: number;
  /** It said no at least once. */
  readonly saidNo: boolean;
}

export const NEW_PARTICIPANT: Participant = { row: "none", fence: 0, life: 0, saidNo: false };

export type ParticipantReply = "yes" | "read-only" | "no" | "done" | "refused";

export type Served =
  | { readonly kind: "served"; readonly after: Participant; readonly reply: ParticipantReply }
  | { readonly kind: "broken"; readonly message: string };

/** Everything that may come of one call: a prepare or a one-phase commit that finds no row may end either way. */
export function serve(participant: Participant, phase: BranchPhase, epoch: number): readonly Served[] {
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
