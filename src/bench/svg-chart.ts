/**
 * A scaling curve as one small SVG that needs nothing else: panels one above the other over a common logarithmic x axis, straight lines
 * between the measured points, every point drawn. White ground and dark letters, so that it reads the same on any page.
 */

export interface Series {
  readonly name: string;
  /** Ascending in x; y undefined: not measured. */
  readonly points: readonly { readonly x: number; readonly y: number | undefined }[];
}

export interface Panel {
  /** What is drawn, with its unit. */
  readonly title: string;
  readonly series: readonly Series[];
}

export interface Chart {
  readonly title: string;
  /** What the x axis counts, with its unit. */
  readonly xTitle: string;
  readonly panels: readonly Panel[];
}

const WIDTH = 640;
const LEFT = 70;
const RIGHT = 616;
const TOP = 54;
const PANEL = 150;
const GAP = 42;
const FOOT = 46;
/** Colours that stay apart for the colour-blind, and on paper. */
const COLOURS = ["#0b62a4", "#c4540a", "#3a7d44", "#7b3f98"] as const;
const INK = "#1f2328";
const FAINT = "#d8dee4";
const TEXT = `font-family="system-ui, sans-serif" font-size="12" fill="${INK}"`;
const Y_TICKS = 4;
/** Values further apart than this are drawn on a logarithmic axis: on a straight one the small ones would all lie on the floor. */
const LOGARITHMIC_FROM = 50;

export function chartSvg(chart: Chart): string {
  const xs = [...new Set(chart.panels.flatMap((panel) => panel.series.flatMap((series) => series.points.map(({ x }) => x))))].sort(
    (a, b) => a - b,
  );
  const x = xScale(xs);
  const height = TOP + chart.panels.length * PANEL + (chart.panels.length - 1) * GAP + FOOT;
  const bottom = height - FOOT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeText(chart.title)}" ${TEXT}>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="18" font-size="14" font-weight="600">${escapeText(chart.title)}</text>`,
    ...chart.panels.map((panel, i) => drawPanel(panel, xs, x, TOP + i * (PANEL + GAP))),
    ...xs.map((value) => `<text x="${round(x(value))}" y="${bottom + 17}" text-anchor="middle">${xNumber(value)}</text>`),
    `<text x="${(LEFT + RIGHT) / 2}" y="${bottom + 36}" text-anchor="middle">${escapeText(chart.xTitle)}</text>`,
    "</svg>\n",
  ].join("\n");
}

function drawPanel(panel: Panel, xs: readonly number[], x: (value: number) => number, top: number): string {
  const bottom = top + PANEL;
  const { marks, share, logarithmic } = yScale(panel.series.flatMap((series) => series.points.map((point) => point.y ?? 0)));
  const y = (value: number): number => bottom - share(value) * PANEL;
  return [
    `<text x="${LEFT}" y="${top - 8}" font-weight="600">${escapeText(panel.title)}${logarithmic ? " (logarithmic)" : ""}</text>`,
    legend(panel, top - 8),
    ...xs.map((value) => `<path d="M${round(x(value))} ${top}V${bottom}" stroke="${FAINT}"/>`),
    ...marks.map(
      (value) =>
        `<path d="M${LEFT} ${round(y(value))}H${RIGHT}" stroke="${value === marks[0] ? INK : FAINT}"/>` +
        `<text x="${LEFT - 8}" y="${round(y(value) + 4)}" text-anchor="end">${shortNumber(value)}</text>`,
    ),
    ...panel.series.map((series, i) => drawSeries(series, COLOURS[i % COLOURS.length] ?? INK, x, y)),
  ].join("\n");
}

function drawSeries(series: Series, colour: string, x: (value: number) => number, y: (value: number) => number): string {
  const known = series.points.flatMap((point) => (point.y === undefined ? [] : [{ x: point.x, y: point.y }]));
  const path = known.map((point, i) => `${i === 0 ? "M" : "L"}${round(x(point.x))} ${round(y(point.y))}`).join("");
  const dots = known.map(
    (point) =>
      `<circle cx="${round(x(point.x))}" cy="${round(y(point.y))}" r="3" fill="${colour}"><title>${escapeText(`${series.name}: ${xNumber(point.x)}, ${shortNumber(point.y)}`)}</title></circle>`,
  );
  return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots.join("")}`;
}

/** Names at the right end of the panel's title line; one series alone needs none. */
function legend(panel: Panel, baseline: number): string {
  if (panel.series.length < 2) return "";
  let right = RIGHT;
  return panel.series
    .map((series, i) => {
      const at = right;
      // About seven pixels a letter, the line before it and a gap.
      right -= series.name.length * 7 + 34;
      const width = series.name.length * 7;
      return (
        `<path d="M${at - width - 20} ${baseline - 4}h14" stroke="${COLOURS[i % COLOURS.length] ?? INK}" stroke-width="2"/>` +
        `<text x="${at}" y="${baseline}" text-anchor="end">${escapeText(series.name)}</text>`
      );
    })
    .join("");
}

/** Logarithmic, with a margin; a single value stands in the middle. */
function xScale(xs: readonly number[]): (value: number) => number {
  const from = Math.log(xs[0] ?? 1);
  const to = Math.log(xs.at(-1) ?? 1);
  const margin = 20;
  return (value) => {
    if (to === from) return (LEFT + RIGHT) / 2;
    return LEFT + margin + ((Math.log(value) - from) / (to - from)) * (RIGHT - LEFT - 2 * margin);
  };
}

interface YScale {
  readonly marks: readonly number[];
  readonly logarithmic: boolean;
  /** How high a value stands, from 0 at the floor to 1 at the top. */
  share(value: number): number;
}

/** From 0, unless the values are orders of magnitude apart; then from the power of ten below the smallest. */
export function yScale(values: readonly number[]): YScale {
  const positive = values.filter((value) => value > 0);
  const max = Math.max(0, ...positive);
  const min = Math.min(...positive);
  if (!(max / min > LOGARITHMIC_FROM)) {
    const marks = yTicks(max);
    const highest = marks.at(-1) || 1;
    return { marks, logarithmic: false, share: (value) => Math.min(1, value / highest) };
  }
  const from = Math.floor(Math.log10(min));
  const to = Math.ceil(Math.log10(max));
  const marks = Array.from({ length: to - from + 1 }, (_, i) => Number((10 ** (from + i)).toPrecision(6)));
  // A logarithm has no zero: it stands on the floor.
  return { marks, logarithmic: true, share: (value) => (value > 0 ? Math.max(0, (Math.log10(value) - from) / (to - from)) : 0) };
}

/** Round numbers from 0 to at least `max`, about Y_TICKS steps. */
export function yTicks(max: number): readonly number[] {
  if (!(max > 0)) return [0];
  const rough = max / Y_TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5].find((each) => each * power >= rough) ?? 10) * power;
  const count = Math.ceil(max / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

/** 1,500 is 1.5k; three digits are enough for an axis. */
export function shortNumber(value: number): string {
  const [divisor, unit] = value >= 1e6 ? [1e6, "M"] : value >= 1e3 ? [1e3, "k"] : [1, ""];
  return `${Number((value / divisor).toPrecision(3))}${unit}`;
}

/** What was chosen, not measured, is shown exactly where there is room. */
function xNumber(value: number): string {
  return value < 10_000 ? String(value) : shortNumber(value);
}

export function escapeText(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}
