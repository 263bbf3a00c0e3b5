/**
 * The report of a run: one self-contained page, without network and without script.
 */
import type { HistoryEvent } from "../../src/check/index.js";
import { faultTimes, type FaultTimes, type Spread } from "../analysis/times.js";
import type { RunReport } from "../run.js";
import { courseChart } from "./chart.js";
import { STYLE } from "./style.js";
import { escapeText } from "./svg.js";

const VIOLATIONS_SHOWN = 200;
const NS = 1e9;

export function reportPage(report: RunReport, history: readonly HistoryEvent[]): string {
  const times = faultTimes(history);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(`${report.composition}, ${report.workload}: ${report.verdict}`)}</title>
<style>
${STYLE}
</style>
</head>
<body>
<header>
<p class="verdict ${report.verdict}">${report.verdict}</p>
<h1>${escapeText(report.composition)} <small>under ${escapeText(report.workload)}</small></h1>
<p>${escapeText(report.summary)}</p>
${report.why === undefined ? "" : `<p class="why">${escapeText(report.why)}</p>`}
<p>To repeat, with seed ${escapeText(report.seed)}: <code>${escapeText(report.command)}</code></p>
</header>
<section class="figures">
${figures(report)
  .map(([name, value]) => `<div><b>${escapeText(value)}</b><span>${escapeText(name)}</span></div>`)
  .join("\n")}
</section>
<h2>Invariants</h2>
${table(
  ["", "Promise", "Checked", "Broken"],
  report.invariants.map((each) => [
    each.invariant,
    each.promise,
    each.checked === 0 ? "not checked" : `${count(each.checked)} ${each.unit}`,
    each.violations === 0 ? (each.checked === 0 ? "–" : "none") : String(each.violations),
  ]),
  report.invariants.map((each) => (each.violations > 0 ? "bad" : each.checked === 0 ? "not" : "good")),
)}
${notChecked(report)}
${violations(report)}
<h2>The course of the run</h2>
<figure>${courseChart(history)}</figure>
<h2>What the faults cost</h2>
<p>In ms from the beginning of the fault, median / longest; the last column is the longest silence between two acknowledged commits that touches the fault. Watched every 25 ms.</p>
${table(
  ["Fault", "Felt", "Detected", "New leader", "First commit", "Without a commit"],
  report.times.map((each) => [
    each.fault,
    `${each.felt} of ${each.injected}`,
    both(each.detectMs),
    both(each.electMs),
    both(each.firstCommitMs),
    both(each.unavailableMs),
  ]),
)}
<details><summary>Every fault</summary>
${table(["At", "Fault", "Aim", "Held", "Detected", "New leader", "First commit", "Without a commit"], times.map(faultRow))}
</details>
<h2>Left over from the run</h2>
<p>${escapeText(doubtText(report))}</p>
${footprint(report)}
<p>${report.orphans} prepared branches and ${report.locks} locks were left at the end. Every event is in <code>history.jsonl</code>, every figure in <code>verdict.json</code>; <code>npx quorate partition check history.jsonl</code> judges it again.</p>
</body>
</html>
`;
}

function figures(report: RunReport): readonly (readonly [name: string, value: string])[] {
  return [
    ["decisions answered", count(report.okDecisions)],
    ["committed", share(report.committed, report)],
    ["aborted", share(report.aborted, report)],
    ["answers unknown at the time", count(report.unknownToClients)],
    ["faults felt", `${report.faultsFelt} of ${report.faultsInjected}`],
    ["leader changes", `${report.leaderChanges} (epoch ${report.epochBefore} to ${report.epochAfter})`],
    ["leader changes in 20 s", String(report.leaderChangesPer20s)],
    ["outcomes found by asking", count(report.resolvedByInquiry)],
    ["decisions a second", count(report.latencies.perS)],
    ["to a decision: p50 / p99 / p999, ms", latency(report)],
    ...(report.registerOperations > 0 ? [["register operations", count(report.registerOperations)] as const] : []),
    ...(report.duplicates > 0 ? [["calls delivered again", count(report.duplicates)] as const] : []),
    ...(report.lateTries > 0 ? [["tries after their cancel, refused", count(report.lateTries)] as const] : []),
    ["longest doubt with a majority", ms(report.doubt.withMajorityMs)],
    ["nodes, clients, seconds", `${report.nodes}, ${report.workers}, ${report.seconds}`],
  ];
}

function latency({ latencies }: RunReport): string {
  return [latencies.p50Ms, latencies.p99Ms, latencies.p999Ms]
    .map((value) => (value === undefined ? "–" : count(Math.round(value))))
    .join(" / ");
}

/** Of a cluster of somebody's own. */
function notChecked({ notChecked: list }: RunReport): string {
  if (list.length === 0) return "";
  return `<h2>Not checked on a cluster of your own</h2>
<ul>${list.map((what) => `<li>${escapeText(what)}</li>`).join("\n")}</ul>`;
}

/** What the nodes took of the machine, when that was sampled. */
function footprint({ footprints }: RunReport): string {
  if (footprints.length === 0) return "";
  const rows = footprints.map(({ node, rssMb, logMbMax, diskMb, samples }) => [
    node,
    `${rssMb.first} / ${rssMb.last} / ${rssMb.max}`,
    String(logMbMax),
    diskMb === undefined ? "–" : `${diskMb.last} / ${diskMb.max}`,
    String(samples),
  ]);
  return table(["Node", "Memory, MB: first / last / most", "Log, MB: most", "Data folder, MB: last / most", "Samples"], rows);
}

function doubtText({ doubt }: RunReport): string {
  const all = `${count(doubt.written)} branches were in doubt for 50 ms or more, the longest for ${ms(doubt.maxMs)}`;
  if (doubt.withMajorityMs === undefined) return `${all}; the history does not say when a majority was connected.`;
  const which = doubt.key === undefined ? "" : ` (${doubt.key})`;
  return `${all}; the longest while a majority was up and connected all the time: ${ms(doubt.withMajorityMs)}${which}, of which some coordinator waited ${count(Math.round(doubt.starvedMs))} ms for a processor. ${doubt.open} were still in doubt at the end.`;
}

function violations(report: RunReport): string {
  if (report.violations.length === 0) return "";
  const shown = report.violations.slice(0, VIOLATIONS_SHOWN);
  const more = report.violations.length - shown.length;
  return `<h2>What was broken</h2>
<ul class="violations">${shown.map((each) => `<li><b>${escapeText(each.invariant)}</b> ${escapeText(each.message)}</li>`).join("\n")}</ul>
${more > 0 ? `<p>and ${more} more, in verdict.json</p>` : ""}`;
}

function faultRow(each: FaultTimes): readonly string[] {
  const { band } = each;
  return [
    `${(band.fromNs / NS).toFixed(1)} s`,
    band.verified ? band.fault : `${band.fault} (not felt)`,
    band.detail,
    `${((band.toNs - band.fromNs) / NS).toFixed(1)} s`,
    ...[each.detectMs, each.electMs, each.firstCommitMs, each.unavailableMs].map((value) => (value === undefined ? "–" : value.toFixed(0))),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[], classes: readonly string[] = []): string {
  const cells = (row: readonly string[], name: string): string => row.map((cell) => `<${name}>${escapeText(cell)}</${name}>`).join("");
  return `<div class="scroll"><table>
<thead><tr>${cells(head, "th")}</tr></thead>
<tbody>
${rows.map((row, i) => `<tr${classes[i] === undefined ? "" : ` class="${classes[i]}"`}>${cells(row, "td")}</tr>`).join("\n")}
</tbody>
</table></div>`;
}

function both(spread: Spread | undefined): string {
  return spread === undefined ? "–" : `${spread.median} / ${spread.max}`;
}

function share(part: number, { committed, aborted }: RunReport): string {
  const whole = committed + aborted;
  return whole === 0 ? "0" : `${count(part)} (${Math.round((part * 100) / whole)} %)`;
}

function ms(value: number | undefined): string {
  return value === undefined ? "not known" : value === 0 ? "under 50 ms" : `${count(Math.round(value))} ms`;
}

function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}
