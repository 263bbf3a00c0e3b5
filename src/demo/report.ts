/**
 * The report of a transfer run as one table for people.
 */
import type { TransferReport } from "./transfer.js";

/** Label and value, in reading order. */
export function reportRows(report: TransferReport): readonly (readonly [string, string])[] {
  const reasons = Object.entries(report.abortsByReason)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(", ");
  const rate = report.seconds === 0 ? 0 : report.committed / report.seconds;
  return [
    ["transfers", String(report.transfers)],
    ["committed", `${report.committed} (${rate.toFixed(0)}/s)`],
    ["aborted", report.aborted === 0 ? "0" : `${report.aborted} (${reasons})`],
    ["unknown", String(report.unknown)],
    ["killed", killed(report)],
    [
      "at the kill",
      report.kills === 0 ? "-" : `${report.inFlightAtKill} transfers in flight, ${report.preparedAtKill} branches prepared and undecided`,
    ],
    ["leads now", `${report.newLeader === null ? "nobody" : `n${report.newLeader}`}, epoch ${report.epochBefore} -> ${report.epochAfter}`],
    ["longest in doubt", `${report.maxInDoubtMs} ms`],
    ["commit gap", report.kills === 0 ? "-" : `${report.commitGapMs} ms`],
    ["sum before / after", `${report.sumBefore} / ${report.sumAfter}`],
    ...(report.duplicates === null ? [] : [["repeated calls seen", String(report.duplicates)] as const]),
    ["verdict", report.ok ? verdictOf(report) : "WRONG"],
    ...report.problems.slice(0, 20).map((problem) => ["problem", problem] as const),
  ];
}

function killed(report: TransferReport): string {
  if (report.kills === 0) return "nobody";
  if (report.targetsKilled.length > 0) return report.targetsKilled.join(", ");
  const last = report.leaderKilled === null ? "none" : `n${report.leaderKilled}`;
  return `${report.kills} nodes, ${report.leaderKills} of them leaders; last leader killed: ${last}`;
}

function verdictOf({ duplicates }: TransferReport): string {
  if (duplicates === null) return "ok: money conserved, every transfer in both ledgers or in none";
  return `ok: money conserved, every transfer in all ledgers or in none, nothing left reserved or prepared, ${duplicates} repeated calls without a second effect`;
}
