/**
 * What the votes of a drive say: the lists of a decision, and in words why one is missing.
 */
import type { Vote } from "../txn/index.js";
import type { BranchDrive, Drive } from "./drive.js";

export function votesOf(drive: Drive): { readonly yes: string[]; readonly readOnly: string[] } {
  const yes: string[] = [];
  const readOnly: string[] = [];
  for (const branch of drive.branches) {
    if (!branch.listed) continue;
    if (branch.vote === "yes") yes.push(branch.id);
    else if (branch.vote === "read-only") readOnly.push(branch.id);
  }
  return { yes, readOnly };
}

/** A try reserves or refuses; a branch that voted read-only would drop out, and what it reserved would stay. */
export function ballotOf(branch: BranchDrive, vote: Vote, detail: string): { readonly vote: Vote; readonly detail: string } {
  if (branch.branchKind === "2pc" || vote !== "read-only") return { vote, detail };
  return { vote: "no", detail: "it voted read-only, which a try cannot" };
}

export function whyMissing(branch: BranchDrive): string {
  if (branch.status === "unattached") {
    return `no instance of it ${branch.branchKind === "tcc" ? "that takes branches of kind tcc " : ""}is attached`;
  }
  if (branch.lastError !== undefined) return `asked ${branch.attempt} times, last error: ${branch.lastError}`;
  return branch.status === "held" ? "its participant keeps failing" : `asked ${branch.attempt} times, no reply`;
}
