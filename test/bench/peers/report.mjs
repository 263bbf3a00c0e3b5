/**
 * Medians of runs, ratios between systems, and tables of both.
 */
import { round } from "./measure.mjs";

const MEDIANS = ["opsPerSec", "opsPerCoreSec", "p50ms", "p99ms", "p999ms"];

/** One line a point. Undisturbed runs count; only when there is none, the disturbed ones do, and the point says so. */
export function summarize(lines) {
  const points = new Map();
  for (const line of lines) {
    const name = `${line.system} ${line.kind} ${line.outstanding}`;
    points.set(name, [...(points.get(name) ?? []), line]);
  }
  return [...points.values()].map((runs) => {
    const sound = runs.filter(({ failed }) => failed === undefined);
    const undisturbed = sound.filter((run) => run.undisturbed);
    const counted = undisturbed.length > 0 ? undisturbed : sound;
    const { system, op, kind, outstanding } = runs[0];
    const point = { summary: true, system, op, kind, outstanding, runs: runs.length, failed: runs.length - sound.length };
    if (counted.length === 0) return { ...point, counted: 0, undisturbed: false };
    for (const name of MEDIANS) point[name] = median(counted.map((run) => run[name]));
    const rates = counted.map(({ opsPerSec }) => opsPerSec);
    const errors = counted.reduce((sum, run) => sum + Object.values(run.errors).reduce((all, each) => all + each, 0), 0);
    const cores = (name) => round(median(counted.map((run) => sum(run.cpu[name] ?? []))), 2);
    return {
      ...point,
      counted: counted.length,
      undisturbed: undisturbed.length > 0,
      rates: { min: Math.min(...rates), max: Math.max(...rates) },
      errors,
      cores: { servers: cores("servers"), participants: cores("participants"), drivers: cores("drivers") },
      rssMiB: median(counted.map((run) => Math.max(...run.rssMiB))),
      foreign: round(Math.max(...counted.map((run) => run.machine.foreign)), 2),
      steal: round(Math.max(...counted.map((run) => run.machine.steal)), 2),
    };
  });
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function rateTable(points) {
  const head = [
    "system, operation",
    "out.",
    "ops/s (min-max)",
    "per core-second",
    "p50 / p99 / p99.9 ms",
    "cores: servers, participants, driver",
    "MiB",
    "runs",
  ];
  const rows = points.map((point) =>
    point.counted === 0
      ? [`${point.system} ${point.op}`, point.outstanding, "every run failed", "", "", "", "", `0 of ${point.runs}`]
      : [
          `${point.system} ${point.op}`,
          point.outstanding,
          `${whole(point.opsPerSec)} (${whole(point.rates.min)}-${whole(point.rates.max)})${point.errors > 0 ? `, ${point.errors} errors` : ""}`,
          whole(point.opsPerCoreSec),
          [point.p50ms, point.p99ms, point.p999ms].map(brief).join(" / "),
          [point.cores.servers, point.cores.participants, point.cores.drivers].map((each) => each.toFixed(2)).join(", "),
          Math.round(point.rssMiB),
          `${point.counted} of ${point.runs}${point.undisturbed ? "" : `, SHARED: foreign ${point.foreign}, steal ${point.steal}`}`,
        ],
  );
  return table(head, rows);
}

/** Quorate's medians divided by each peer's at as many outstanding; above 1, Quorate did more. */
export function ratios(points) {
  const ours = points.filter(({ system, counted }) => system === "quorate" && counted > 0);
  return points
    .filter(({ system, counted }) => system !== "quorate" && counted > 0)
    .flatMap((peer) =>
      ours
        .filter(({ outstanding }) => outstanding === peer.outstanding)
        .map((own) => ({
          ratio: `quorate ${own.op} / ${peer.system} ${peer.op}`,
          outstanding: peer.outstanding,
          opsPerSec: round(own.opsPerSec / peer.opsPerSec, 2),
          opsPerCoreSec: round(own.opsPerCoreSec / peer.opsPerCoreSec, 2),
          p50: round(own.p50ms / peer.p50ms, 2),
          undisturbed: own.undisturbed && peer.undisturbed,
        })),
    );
}

export function ratioTable(lines) {
  const head = ["ratio", "out.", "ops/s", "per core-second", "p50", ""];
  return table(
    head,
    lines.map((line) => [
      line.ratio,
      line.outstanding,
      `${line.opsPerSec}x`,
      `${line.opsPerCoreSec}x`,
      `${line.p50}x`,
      line.undisturbed ? "" : "SHARED",
    ]),
  );
}

export function failoverTable(lines) {
  const head = ["leader killed with -9: longest silence, ms", "kills", "min / median / max", ""];
  const shared = ({ undisturbed, machine }) => (undisturbed ? "" : `SHARED: foreign ${machine.foreign}, steal ${machine.steal}`);
  const rows = lines.map((line) => [
    line.system,
    line.kills,
    [line.gapMs.min, line.gapMs.median, line.gapMs.max].map(whole).join(" / "),
    shared(line),
  ]);
  return table(head, rows);
}

export function restartTable(lines) {
  const head = ["restart of a killed follower", "writes before", "ms", "MiB", ""];
  return table(
    head,
    lines.map((line) => [line.system, whole(line.writes), whole(line.restartMs), line.rssMiB, line.undisturbed ? "" : "SHARED"]),
  );
}

function table(head, rows) {
  const all = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const text = (row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  return [text(all[0]), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...all.slice(1).map(text)].join("\n");
}

function whole(value) {
  return Math.round(value).toLocaleString("en-US");
}

function brief(ms) {
  return ms >= 100 ? String(Math.round(ms)) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2);
}

function sum(values) {
  return values.reduce((total, each) => total + each, 0);
}
