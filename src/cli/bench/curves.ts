/**
 * `quorate bench curves`: throughput and 99th percentile against one quantity at a time, each point a run on a cluster of its own, drawn
 * as one SVG for each quantity, with the figures behind it as JSON.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, QuorateError } from "../../base/index.js";
import { chartSvg, type Series } from "../../bench/svg-chart.js";
import { runLoad } from "./load.js";
import type { LoadSettings } from "./options.js";
import { loadJson, type LoadJson } from "./report.js";
import { EXIT } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { note, printResult, type OutputFormat } from "../output.js";
import { formatTable } from "../table.js";

interface Curve {
  readonly title: string;
  readonly xTitle: string;
  readonly xs: readonly number[];
  readonly series: readonly { readonly name: string; readonly settings: (x: number) => Partial<LoadSettings> }[];
}

const WRITES = { op: "write", participants: 0, kind: "null" } as const satisfies Partial<LoadSettings>;
const KV = { op: "txn", participants: 2, kind: "kv" } as const satisfies Partial<LoadSettings>;

export const CURVES = {
  outstanding: {
    title: "More requests in flight",
    xTitle: "requests in flight",
    xs: [1, 8, 64, 256, 1024, 4096],
    series: [
      { name: "writes", settings: (outstanding) => ({ ...WRITES, outstanding }) },
      { name: "transactions", settings: (outstanding) => ({ ...KV, outstanding }) },
    ],
  },
  participants: {
    title: "More participants in each transaction",
    xTitle: "participants (key-value)",
    xs: [1, 2, 4, 8],
    series: [{ name: "transactions", settings: (participants) => ({ ...KV, participants, outstanding: 256 }) }],
  },
  nodes: {
    title: "More coordinators",
    xTitle: "nodes",
    xs: [1, 3, 5, 7],
    series: [
      { name: "writes", settings: (nodes) => ({ ...WRITES, nodes, outstanding: 256 }) },
      { name: "transactions", settings: (nodes) => ({ ...KV, nodes, outstanding: 256 }) },
    ],
  },
  open: {
    title: "More open transactions beside those measured",
    xTitle: "open transactions",
    xs: [1000, 10_000, 100_000, 1_000_000],
    series: [{ name: "transactions", settings: (open) => ({ ...KV, kind: "null", open, outstanding: 256 }) }],
  },
  "value-bytes": {
    title: "Larger values",
    xTitle: "bytes written by one operation",
    xs: [16, 256, 1024, 4096, 16_384, 60_000],
    series: [
      { name: "writes", settings: (valueBytes) => ({ ...WRITES, valueBytes, outstanding: 256 }) },
      { name: "transactions", settings: (valueBytes) => ({ ...KV, valueBytes, outstanding: 256 }) },
    ],
  },
} as const satisfies Readonly<Record<string, Curve>>;
export type CurveName = keyof typeof CURVES;
export const CURVE_NAMES = Object.keys(CURVES) as readonly CurveName[];

export interface CurveSettings {
  readonly dir: string;
  readonly names: readonly CurveName[];
  readonly seconds: number;
  readonly warmup: number;
  /** Only these x values of each curve; all by default. For a look in little time. */
  readonly points: readonly number[] | undefined;
}

interface Point {
  readonly series: string;
  readonly x: number;
  readonly figures: LoadJson;
}

interface Drawn {
  readonly curve: CurveName;
  readonly svg: string;
  readonly points: readonly Point[];
}

export async function curves(format: OutputFormat, settings: CurveSettings): Promise<ExitCode> {
  try {
    mkdirSync(settings.dir, { recursive: true });
  } catch (error) {
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `the folder of --output-dir cannot be made: ${messageOf(error)}`, { cause: error });
  }
  const drawn: Drawn[] = [];
  for (const name of settings.names) drawn.push(await drawCurve(name, settings));
  const points = drawn.flatMap(({ curve, points: each }) => each.map((point) => ({ curve, ...point })));
  printResult(format, {
    json: { curves: drawn.map(({ curve, svg, points: each }) => ({ curve, svg, points: each })) },
    lines: points.map(({ curve, series, x, figures }) => ({ curve, series, x, ...figures })),
    table: () =>
      formatTable(
        ["CURVE", "SERIES", "AT", "RATE /S", "P99 MS"],
        points.map(({ curve, series, x, figures }) => [curve, series, x, Math.round(rateOf(figures)), p99Of(figures)]),
        [2, 3, 4],
      ),
  });
  return points.every(({ figures }) => figures.findings.length === 0) ? EXIT.ok : EXIT.failed;
}

async function drawCurve(name: CurveName, settings: CurveSettings): Promise<Drawn> {
  const curve: Curve = CURVES[name];
  const { seconds, warmup } = settings;
  const xs = settings.points === undefined ? curve.xs : curve.xs.filter((x) => settings.points?.includes(x));
  const points: Point[] = [];
  for (const x of xs)
    for (const series of curve.series) {
      note(`${name} ${x}, ${series.name}:`);
      const run = await runLoad({ ...BASE, seconds, warmup, ...series.settings(x) });
      points.push({ series: series.name, x, figures: loadJson(run) });
    }
  const seriesOf = (y: (figures: LoadJson) => number): readonly Series[] =>
    curve.series.map((series) => ({
      name: series.name,
      points: points.filter((point) => point.series === series.name).map((point) => ({ x: point.x, y: y(point.figures) })),
    }));
  const svg = join(settings.dir, `${name}.svg`);
  const { title, xTitle } = curve;
  const panels = [
    { title: "operations a second", series: seriesOf(rateOf) },
    { title: "99th percentile, ms", series: seriesOf(p99Of) },
  ];
  writeFileSync(svg, chartSvg({ title, xTitle, panels }));
  writeFileSync(join(settings.dir, `${name}.json`), `${JSON.stringify({ curve: name, title, xTitle, points }, undefined, 2)}\n`);
  note(`${svg} is written.`);
  return { curve: name, svg, points };
}

/** Whatever a curve does not vary. */
const BASE: LoadSettings = {
  op: "write",
  endpoints: undefined,
  nodes: 3,
  outstanding: 1024,
  rate: undefined,
  seconds: 5,
  warmup: 2,
  valueBytes: 256,
  participants: 2,
  kind: "kv",
  abortShare: 0,
  open: 0,
  profileDir: undefined,
};

/** Of the undisturbed seconds where there were enough of them. */
function rateOf(figures: LoadJson): number {
  return figures.opsPerSecClean ?? figures.opsPerSec;
}

function p99Of(figures: LoadJson): number {
  return figures.p99msClean ?? figures.p99ms;
}
