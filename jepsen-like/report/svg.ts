/**
 * The few pieces of SVG that the report draws with, written by hand. Every text is escaped here.
 */

export function escapeText(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

/** A straight map from a domain to pixels. */
export interface Scale {
  at(value: number): number;
  readonly from: number;
  readonly to: number;
}

export function linear(from: number, to: number, pixelFrom: number, pixelTo: number): Scale {
  const width = to - from || 1;
  return { from, to, at: (value) => pixelFrom + ((Math.min(Math.max(value, from), to) - from) / width) * (pixelTo - pixelFrom) };
}

/** Values below `from` are drawn at `from`: a logarithm has no zero. */
export function logarithmic(from: number, to: number, pixelFrom: number, pixelTo: number): Scale {
  const inner = linear(Math.log10(from), Math.log10(to), pixelFrom, pixelTo);
  return { from, to, at: (value) => inner.at(Math.log10(Math.max(value, from))) };
}

/** About `count` round numbers in [0, max], beginning with 0. */
export function ticks(max: number, count: number): readonly number[] {
  if (!(max > 0)) return [0];
  const rough = max / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10) * power;
  const found: number[] = [];
  for (let i = 0; i * step <= max * 1.0001; i++) found.push(Math.round(i * step * 1e6) / 1e6);
  return found;
}

/** 1, 10, 100, ... that are in [from, to]. */
export function decades(from: number, to: number): readonly number[] {
  const found: number[] = [];
  for (let value = 10 ** Math.ceil(Math.log10(from)); value <= to * 1.0001; value *= 10) found.push(value);
  return found;
}

export type Attributes = Readonly<Record<string, string | number>>;

export function tag(name: string, attributes: Attributes, inner = ""): string {
  const list = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? round(value) : escapeText(value)}"`)
    .join("");
  return inner === "" ? `<${name}${list}/>` : `<${name}${list}>${inner}</${name}>`;
}

export function label(x: number, y: number, text: string, more: Attributes = {}): string {
  return tag("text", { x, y, ...more }, escapeText(text));
}

/** Undefined values break the line: a second in which nothing was answered has no latency. */
export function line(points: readonly (readonly [x: number, y: number | undefined])[], className: string): string {
  const parts: string[] = [];
  let drawing = false;
  for (const [i, [x, y]] of points.entries()) {
    if (y === undefined) drawing = false;
    else {
      parts.push(`${drawing ? "L" : "M"}${round(x)} ${round(y)}`);
      // A point alone between two gaps would be invisible.
      if (!drawing && points[i + 1]?.[1] === undefined) parts.push("h1");
      drawing = true;
    }
  }
  return parts.length === 0 ? "" : tag("path", { d: parts.join(""), class: className });
}

export function area(points: readonly (readonly [x: number, y: number])[], floor: number, className: string): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return "";
  const top = points.map(([x, y]) => `L${round(x)} ${round(y)}`).join("");
  return tag("path", { d: `M${round(first[0])} ${round(floor)}${top}L${round(last[0])} ${round(floor)}Z`, class: className });
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}
