/**
 * What a measured load is shown as: one JSON value, a line in the shape of the scripts that measure other systems, a table for people.
 */
import { cleanSeconds, CLEAN_CORES_MAX, CLEAN_SECONDS_MIN } from "../../bench/clean-seconds.js";
import type { Usage, Watched } from "../../bench/usage-meter.js";
import { findings, type LoadRun, type Measured } from "./load.js";
import { formatTable } from "../table.js";

export type LoadJson = ReturnType<typeof loadJson>;

export function loadJson(run: LoadRun) {
  const { settings, meter, openLoop } = run;
  const { errors, aborts, intendedAborts, longestSilenceMs } = run.recorder.result();
  const cpu = meter.mean();
  return {
    peer: "quorate",
    mode: openLoop === undefined ? "load" : "open-loop",
    op: settings.op,
    nodes: run.nodes,
    concurrency: openLoop === undefined ? settings.outstanding : null,
    rate: settings.rate ?? null,
    valueBytes: settings.valueBytes,
    ...(settings.op === "write"
      ? {}
      : { kind: settings.kind, participants: settings.participants, abortShare: settings.abortShare, open: settings.open }),
    ...figures(run),
    longestSilenceMs: round(longestSilenceMs, 1),
    errors,
    aborts,
    intendedAborts,
    elections: run.elections,
    ...(openLoop === undefined ? {} : { due: openLoop.due, keptUp: openLoop.keptUp, lateMaxMs: round(openLoop.lateMaxMs, 1) }),
    ...(run.readBack === undefined ? {} : { readBack: run.readBack }),
    ...(run.byHand === undefined ? {} : { byHand: byHandJson(run, run.byHand) }),
    cpu: cpu === undefined ? null : cpuJson(cpu, meter.watched),
    rssMiB: run.rssMiB,
    stallMs: run.stallMs,
    findings: findings(run),
  };
}

/** Rates and percentiles over every second, and over the clean ones apart. */
function figures({ recorder, meter }: Measured) {
  const { ops, seconds, opsPerSec, latency } = recorder.result();
  const clean = cleanSeconds(meter.seconds);
  const counts = (second: number): boolean => clean.includes(second);
  const undisturbed = clean.enough ? recorder.of(counts) : undefined;
  const orNull = (value: number | undefined): number | null => (value === undefined ? null : round(value, 3));
  return {
    ops,
    seconds: round(seconds, 3),
    opsPerSec: round(opsPerSec, 1),
    opsPerCoreSec: perCore(opsPerSec, meter.mean(), meter.watched),
    p50ms: round(latency.p50ms, 3),
    p99ms: round(latency.p99ms, 3),
    p999ms: round(latency.p999ms, 3),
    maxMs: round(latency.maxMs, 3),
    /** Every measured second was clean. */
    clean: clean.of > 0 && clean.count === clean.of,
    cleanSeconds: clean.count,
    opsPerSecClean: undisturbed === undefined ? null : round(undisturbed.opsPerSec, 1),
    opsPerCoreSecClean: undisturbed === undefined ? null : perCore(undisturbed.opsPerSec, meter.mean(counts), meter.watched),
    p50msClean: orNull(undisturbed?.latency.p50ms),
    p99msClean: orNull(undisturbed?.latency.p99ms),
    p999msClean: orNull(undisturbed?.latency.p999ms),
  };
}

/** null when the coordinators' time is not in the account: they run elsewhere. */
function perCore(opsPerSec: number, usage: Usage | undefined, watched: readonly Watched[]): number | null {
  if (usage === undefined || usage.total === 0 || !watched.some((each) => each.role === "node")) return null;
  return round(opsPerSec / usage.total, 1);
}

function byHandJson(run: LoadRun, hand: Measured) {
  const rate = hand.recorder.result().opsPerSec;
  return {
    ...figures(hand),
    errors: hand.recorder.result().errors,
    /** This coordinator's rate as a fraction of it. */
    ratio: rate === 0 ? null : round(run.recorder.result().opsPerSec / rate, 3),
  };
}

function cpuJson(cpu: Usage, watched: readonly Watched[]) {
  const cores = Object.fromEntries(Object.entries(cpu.cores).map(([name, value]) => [name, round(value, 3)]));
  const sum = (role: Watched["role"]): number =>
    round(
      watched.filter((each) => each.role === role).reduce((total, each) => total + (cpu.cores[each.name] ?? 0), 0),
      3,
    );
  const known = (value: number | undefined): number | null => (value === undefined ? null : round(value, 3));
  return {
    ...cores,
    total: round(cpu.total, 3),
    servers: watched.filter((each) => each.role === "node").map((each) => cores[each.name] ?? 0),
    // Whatever a cluster needs besides the one who asks: participants are servers too.
    serversSum: round(sum("node") + sum("participant"), 3),
    foreign: known(cpu.foreign),
    steal: known(cpu.steal),
    idle: known(cpu.idle),
  };
}

/** The line of `-o ndjson`: as above, with the servers' memory as a list. */
export function loadLine(run: LoadRun): Readonly<Record<string, unknown>> {
  const json = loadJson(run);
  const servers = run.meter.watched.filter((each) => each.role === "node").map((each) => run.rssMiB[each.name] ?? 0);
  return {
    ...json,
    allSeconds: json.seconds,
    allOpsPerSec: json.opsPerSec,
    allForeign: json.cpu?.foreign ?? null,
    rssMiB: servers,
    rssMiBByProcess: run.rssMiB,
  };
}

export function loadTable(json: LoadJson): string {
  const rows: (readonly [string, string])[] = [
    ["operation", describe(json)],
    ["rate", `${Math.round(json.opsPerSec)}/s over ${json.seconds.toFixed(1)} s`],
    ["per core-second", json.opsPerCoreSec === null ? "?" : String(Math.round(json.opsPerCoreSec))],
    ["p50 / p99 / p99.9 / max", `${json.p50ms} / ${json.p99ms} / ${json.p999ms} / ${json.maxMs} ms`],
    ["clean seconds", cleanText(json)],
    ["errors, aborts", `${JSON.stringify(json.errors)}, ${JSON.stringify(json.aborts)}`],
    ...(json.intendedAborts === 0 ? [] : [["aborts that were meant", String(json.intendedAborts)] as const]),
    ["elections meanwhile", String(json.elections)],
    ...(json.readBack === undefined
      ? []
      : [
          [
            "read back",
            `${json.readBack.found} of ${json.readBack.asked} through ${json.readBack.through} (${json.readBack.role})`,
          ] as const,
        ]),
    ...(json.byHand === undefined
      ? []
      : [
          [
            "the same by hand",
            `${Math.round(json.byHand.opsPerSec)}/s, p50 / p99 ${json.byHand.p50ms} / ${json.byHand.p99ms} ms; this is ${json.byHand.ratio === null ? "?" : Math.round(json.byHand.ratio * 100)} % of it`,
          ] as const,
        ]),
    ["cores", coresText(json)],
    ["memory, MiB", pairs(json.rssMiB, (mib) => String(mib))],
    ["longest stall, ms", pairs(json.stallMs, (ms) => String(ms))],
    ...json.findings.map((finding) => ["NOTE", finding] as const),
  ];
  return formatTable(["", "RESULT"], rows);
}

function describe(json: LoadJson): string {
  const load = json.concurrency === null ? `${json.rate ?? 0} a second (open loop)` : `${json.concurrency} outstanding`;
  const participants = json.kind === undefined ? "" : `, ${json.participants} ${json.kind} participants`;
  const open = json.open === undefined || json.open === 0 ? "" : `, ${json.open} left open`;
  return `${json.op}, ${load}, ${json.valueBytes} bytes, ${json.nodes} nodes${participants}${open}`;
}

function cleanText(json: LoadJson): string {
  const of = `${json.cleanSeconds} of ${Math.round(json.seconds)} (others below ${CLEAN_CORES_MAX} core)`;
  return json.opsPerSecClean === null
    ? `${of}; fewer than ${CLEAN_SECONDS_MIN} say nothing apart`
    : `${of}: ${Math.round(json.opsPerSecClean)}/s, p50 / p99 / p99.9 ${json.p50msClean} / ${json.p99msClean} / ${json.p999msClean} ms`;
}

function coresText(json: LoadJson): string {
  if (json.cpu === null) return "?";
  const { cpu } = json;
  const own = Object.entries(cpu).filter(([name]) => name in json.rssMiB);
  return `${pairs(Object.fromEntries(own), (cores) => Number(cores).toFixed(2))}, foreign ${cpu.foreign?.toFixed(2) ?? "?"}, stolen ${cpu.steal?.toFixed(2) ?? "?"}`;
}

function pairs(values: Readonly<Record<string, unknown>>, show: (value: unknown) => string): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${show(value)}`)
    .join(", ");
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
