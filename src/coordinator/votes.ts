/**
 * What the votes of a drive say: the lists of a decision, and in words why one is missing.
 */
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

export function whyMissing(branch: BranchDrive): string {
  if (branch.status === "unattached") return "no instance of it is attached";
  if (branch.lastError !== undefined) return `asked ${branch.attempt} times, last error: ${branch.lastError}`;
  return branch.status === "held" ? "its participant keeps failing" : `asked ${branch.attempt} times, no reply`;
}
