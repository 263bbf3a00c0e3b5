/**
 * The course of a run as one SVG: rate, latency, what is open, and who leads, one above the other on one time axis, faults as bands
 * through all of them.
 */
import type { HistoryEvent } from "../../src/check/index.js";
import { inDoubtSamples, series, type Step } from "../analysis/series.js";
import { faultBands, majoritySpans, nodeChanges, reigns } from "../analysis/timeline.js";
import { area, decades, escapeText, label, line, linear, logarithmic, tag, ticks, type Scale } from "./svg.js";

const WIDTH = 1100;
const LEFT = 62;
const RIGHT = 1088;
const TOP = 30;
const PANEL = 118;
const GAP = 34;
const TITLE = 20;
const LANE = 20;
const NS = 1e9;
/** Narrower bands have no room for a name of their own; about a letter's width each. */
const LETTER_PX = 6.2;
const LATENCY_MS_MIN = 1;
/** A time that stands closer to the end of the axis would leave the frame in the middle of its mark. */
const EDGE_PX = 16;

interface Panel {
  readonly top: number;
  readonly bottom: number;
  readonly title: string;
}

export function courseChart(history: readonly HistoryEvent[]): string {
  const { steps, seconds, stepS } = series(history);
  const x = linear(0, seconds, LEFT, RIGHT);
  const panels: readonly Panel[] = [
    `Decisions per second (steps of ${stepS} s)`,
    "From request to decision, ms (logarithmic)",
    "Open requests and branches in doubt",
  ].map((title, i) => {
    const top = TOP + TITLE + i * (PANEL + GAP);
    return { top, bottom: top + PANEL, title };
  });
  const nodes = [...new Set(nodeChanges(history).map((change) => change.node))].sort();
  const [rate, latency, open] = panels as [Panel, Panel, Panel];
  const lanesTop = open.bottom + GAP;
  const lanesBottom = lanesTop + nodes.length * LANE;
  const height = lanesBottom + 34;
  const parts = [
    ...bands(history, x, lanesBottom),
    ...panels.map((panel) => frame(panel)),
    ratePanel(steps, x, rate),
    latencyPanel(steps, x, latency),
    openPanel(history, steps, x, open),
    label(LEFT, lanesTop - 8, "Who leads, by each node's own word, with its epoch; below: no majority connected", { class: "title" }),
    ...nodes.map((node, i) => lane(history, node, x, lanesTop + i * LANE)),
    noMajority(history, x, lanesBottom),
    axis(seconds, x, lanesBottom + 8),
  ];
  return tag(
    "svg",
    { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "The course of the run" },
    parts.join("\n"),
  );
}

/** Verified faults are filled, others only outlined: nobody felt them. */
function bands(history: readonly HistoryEvent[], x: Scale, bottom: number): readonly string[] {
  let namedUntil = -Infinity;
  return faultBands(history).map((band) => {
    const from = x.at(band.fromNs / NS);
    const width = Math.max(1.5, x.at(band.toNs / NS) - from);
    const name = band.fault;
    const room = from + name.length * LETTER_PX + 4;
    const named = from >= namedUntil && room <= RIGHT + 4;
    if (named) namedUntil = room + LETTER_PX;
    const tip = `${name} ${band.detail}, ${(band.fromNs / NS).toFixed(1)} to ${(band.toNs / NS).toFixed(1)} s${band.verified ? "" : ", not felt"}`;
    return [
      tag(
        "rect",
        { x: from, y: TOP - 8, width, height: bottom - TOP + 8, class: band.verified ? "fault" : "fault unfelt" },
        tag("title", {}, escapeText(tip)),
      ),
      named ? label(from + 2, TOP - 14, name, { class: "faultname" }) : "",
    ].join("");
  });
}

function frame({ top, bottom, title }: Panel): string {
  return label(LEFT, top - 8, title, { class: "title" }) + tag("path", { d: `M${LEFT} ${bottom}H${RIGHT}`, class: "axis" });
}

function grid(values: readonly number[], y: Scale): string {
  return values
    .map(
      (value) =>
        tag("path", { d: `M${LEFT} ${y.at(value).toFixed(1)}H${RIGHT}`, class: "grid" }) +
        label(LEFT - 6, y.at(value) + 4, String(value), { class: "tick end" }),
    )
    .join("");
}

function ratePanel(steps: readonly Step[], x: Scale, { top, bottom }: Panel): string {
  const max = Math.max(1, ...steps.map((step) => step.commitsPerS + step.abortsPerS));
  const y = linear(0, max * 1.05, bottom, top);
  const all = steps.map((step) => [x.at(step.atS), y.at(step.commitsPerS + step.abortsPerS)] as const);
  const commits = steps.map((step) => [x.at(step.atS), y.at(step.commitsPerS)] as const);
  return (
    grid(ticks(max, 4), y) +
    area(all, bottom, "aborts") +
    area(commits, bottom, "commits") +
    legend(top, [
      ["commits", "committed"],
      ["aborts", "aborted"],
    ])
  );
}

function latencyPanel(steps: readonly Step[], x: Scale, { top, bottom }: Panel): string {
  const max = Math.max(LATENCY_MS_MIN * 10, ...steps.map((step) => step.p999Ms ?? 0));
  const y = logarithmic(LATENCY_MS_MIN, max * 1.2, bottom, top);
  const of = (pick: (step: Step) => number | undefined): readonly (readonly [number, number | undefined])[] =>
    steps.map((step) => {
      const ms = pick(step);
      return [x.at(step.atS), ms === undefined ? undefined : y.at(ms)];
    });
  return (
    grid(decades(LATENCY_MS_MIN, max * 1.2), y) +
    line(
      of((step) => step.p999Ms),
      "p999",
    ) +
    line(
      of((step) => step.p99Ms),
      "p99",
    ) +
    line(
      of((step) => step.p50Ms),
      "p50",
    ) +
    legend(top, [
      ["p50", "median"],
      ["p99", "99th percentile"],
      ["p999", "99.9th"],
    ])
  );
}

function openPanel(history: readonly HistoryEvent[], steps: readonly Step[], x: Scale, { top, bottom }: Panel): string {
  const samples = inDoubtSamples(history);
  const max = Math.max(1, ...steps.map((step) => step.open), ...samples.map((sample) => sample.inDoubt));
  const y = linear(0, max * 1.05, bottom, top);
  return (
    grid(ticks(max, 4), y) +
    line(
      steps.map((step) => [x.at(step.atS), y.at(step.open)] as const),
      "open",
    ) +
    line(
      samples.filter(({ atS }) => atS <= x.to).map((sample) => [x.at(sample.atS), y.at(sample.inDoubt)] as const),
      "doubt",
    ) +
    legend(top, [
      ["open", "requests to commit, unanswered"],
      ["doubt", "branches that said yes and know no outcome"],
    ])
  );
}

function legend(top: number, entries: readonly (readonly [className: string, text: string])[]): string {
  let right = RIGHT;
  return [...entries]
    .reverse()
    .map(([className, text]) => {
      const at = right - text.length * LETTER_PX;
      right = at - 34;
      return (
        tag("path", { d: `M${(at - 20).toFixed(1)} ${top - 12}h14`, class: `key ${className}` }) +
        label(at, top - 8, text, { class: "tick" })
      );
    })
    .join("");
}

function lane(history: readonly HistoryEvent[], node: string, x: Scale, top: number): string {
  const bars = reigns(history)
    .filter((reign) => reign.leader === node && reign.fromNs / NS <= x.to)
    .map((reign) => {
      const from = x.at(reign.fromNs / NS);
      const width = Math.max(1.5, x.at(reign.toNs / NS) - from);
      const text = `e${reign.epoch}`;
      const tip = `${node} leads epoch ${reign.epoch}, ${(reign.fromNs / NS).toFixed(2)} to ${(reign.toNs / NS).toFixed(2)} s`;
      return (
        tag("rect", { x: from, y: top + 2, width, height: LANE - 5, rx: 2, class: "leads" }, tag("title", {}, escapeText(tip))) +
        (width > text.length * LETTER_PX + 6 ? label(from + 3, top + LANE - 7, text, { class: "epoch" }) : "")
      );
    });
  return [label(LEFT - 6, top + LANE - 6, node, { class: "tick end" }), ...bars].join("");
}

function noMajority(history: readonly HistoryEvent[], x: Scale, top: number): string {
  const spans = majoritySpans(history) ?? [];
  // Before the first word on it nothing is known.
  let lostNs = history.find((event) => event.f === "majority")?.time ?? 0;
  const lost: string[] = [];
  for (const span of [...spans, { fromNs: x.to * NS, toNs: Infinity }]) {
    if (spans.length > 0 && span.fromNs > lostNs && lostNs / NS < x.to) {
      const from = x.at(lostNs / NS);
      const width = x.at(span.fromNs / NS) - from;
      if (width > 1) lost.push(tag("rect", { x: from, y: top + 1, width, height: 5, class: "lost" }));
    }
    lostNs = Math.max(lostNs, span.toNs);
  }
  return lost.join("");
}

function axis(seconds: number, x: Scale, top: number): string {
  const marks = ticks(seconds, 12).map(
    (s) =>
      tag("path", { d: `M${x.at(s).toFixed(1)} ${top}v4`, class: "axis" }) +
      label(x.at(s) > RIGHT - EDGE_PX ? RIGHT + 8 : x.at(s), top + 17, `${s} s`, {
        class: x.at(s) > RIGHT - EDGE_PX ? "tick end" : "tick middle",
      }),
  );
  return tag("path", { d: `M${LEFT} ${top}H${RIGHT}`, class: "axis" }) + marks.join("");
}
