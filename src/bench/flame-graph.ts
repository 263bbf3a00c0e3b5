/**
 * A processor profile, as V8 writes it, as one flame graph: the stack grows downwards, a box is as wide as the share of the busy time
 * that was spent in the function and what it called, and its colour is the room it belongs to. One SVG that needs nothing else; the
 * full name and the share of a box stand in its tooltip.
 */

/** What is read of a `.cpuprofile`: a tree of call frames, and which of them was on top at each sample. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples?: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas?: readonly number[];
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

interface Frame {
  readonly name: string;
  readonly place: string;
  readonly room: string;
  /** Microseconds on top of the stack. */
  own: number;
  /** Own, and that of everything it called. */
  total: number;
  readonly children: Map<string, Frame>;
}

export interface FlameGraph {
  readonly svg: string;
  /** Milliseconds that the process was busy in. */
  readonly busyMs: number;
  /** Of the whole profiled time, 0 to 1. */
  readonly busyShare: number;
  /** Share of the busy time spent in code of each room itself, the greatest first. */
  readonly rooms: readonly (readonly [room: string, share: number])[];
}

const WIDTH = 1000;
const ROW = 17;
const TOP = 46;
const LEGEND_ROW = 18;
const MARGIN = 10;
/** A box narrower than this share of the whole is left out: nobody could see it. */
const SHARE_MIN = 0.0025;
const DEPTH_MAX = 48;
const CHAR_WIDTH = 6.4;
/** V8's names for time that is not work. */
const IDLE = new Set(["(idle)", "(program)"]);
const COLOURS: Readonly<Record<string, string>> = {
  zab: "#e8a33d",
  txn: "#d9772b",
  coordinator: "#c95f4a",
  replica: "#e0b96a",
  wire: "#8fb35a",
  storage: "#5c9f8f",
  transport: "#6aa5cf",
  participant: "#b58ac4",
  client: "#9aa9dc",
  server: "#d7a3b5",
  bench: "#bdbdbd",
  grpc: "#7f8fa6",
  node: "#c9ced6",
  "garbage collection": "#9c6b4f",
  other: "#dddddd",
};

/** Throws when `profile` has no samples. */
export function flameGraph(profile: CpuProfile, title: string): FlameGraph {
  const { root, idleUs } = treeOf(profile);
  if (root.total === 0) throw new Error(`${title}: no sample of this profile shows any work`);
  const depth = Math.min(DEPTH_MAX, depthOf(root, root.total * SHARE_MIN));
  const rooms = [...ownByRoom(root)].sort((a, b) => b[1] - a[1]).map(([room, us]) => [room, us / root.total] as const);
  const busyShare = root.total / (root.total + idleUs);
  const busyMs = root.total / 1000;
  const legend = legendOf(rooms);
  const top = TOP + legend.rows * LEGEND_ROW;
  const height = top + depth * ROW + MARGIN;
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH + 2 * MARGIN} ${height}" width="${WIDTH + 2 * MARGIN}" height="${height}" font-family="system-ui, sans-serif" font-size="11" fill="#1f2328" role="img" aria-label="${escapeText(title)}">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${MARGIN}" y="20" font-size="14" font-weight="600">${escapeText(title)}</text>`,
    `<text x="${MARGIN}" y="38">busy ${(busyShare * 100).toFixed(0)} % of the time, ${(busyMs / 1000).toFixed(2)} s; own time by room:</text>`,
    legend.svg,
    ...boxes(root, top, depth),
    "</svg>\n",
  ].join("\n");
  return { svg, busyMs, busyShare, rooms };
}

/** The profile's tree with the samples' time in it; frames of one function below one caller are one, idle time is apart. */
function treeOf(profile: CpuProfile): { readonly root: Frame; readonly idleUs: number } {
  const ownUs = new Map<number, number>();
  const { samples = [], timeDeltas = [] } = profile;
  // A delta is the time since the sample before: it was spent where that one was.
  samples.forEach((id, i) => ownUs.set(id, (ownUs.get(id) ?? 0) + Math.max(0, timeDeltas[i + 1] ?? 0)));
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const top = profile.nodes[0];
  const root: Frame = { name: "all", place: "", room: "other", own: 0, total: 0, children: new Map() };
  let idleUs = 0;
  const visit = (node: ProfileNode, parent: Frame): void => {
    const us = ownUs.get(node.id) ?? 0;
    if (IDLE.has(node.callFrame.functionName)) {
      idleUs += us;
      return;
    }
    const frame = childOf(parent, node);
    frame.own += us;
    for (const id of node.children ?? []) {
      const child = byId.get(id);
      if (child !== undefined) visit(child, frame);
    }
  };
  for (const id of top?.children ?? []) {
    const child = byId.get(id);
    if (child !== undefined) visit(child, root);
  }
  sum(root);
  return { root, idleUs };
}

function childOf(parent: Frame, { callFrame }: ProfileNode): Frame {
  const name = callFrame.functionName === "" ? "(anonymous)" : callFrame.functionName;
  const file = callFrame.url.replace(/^.*\/(?=(?:dist\/)?src\/|node_modules\/)/, "").replace(/^dist\//, "");
  const place = file === "" ? "" : `${file}:${callFrame.lineNumber + 1}`;
  const key = `${name} ${place}`;
  let frame = parent.children.get(key);
  if (frame === undefined) {
    frame = { name, place, room: roomOf(name, callFrame.url), own: 0, total: 0, children: new Map() };
    parent.children.set(key, frame);
  }
  return frame;
}

function roomOf(name: string, url: string): string {
  if (name === "(garbage collector)") return "garbage collection";
  if (url === "" || url.startsWith("node:")) return "node";
  if (url.includes("/node_modules/")) return url.includes("@grpc") ? "grpc" : "node";
  const room = /\/src\/([a-z]+)\//.exec(url)?.[1];
  return room !== undefined && Object.hasOwn(COLOURS, room) ? room : "other";
}

function sum(frame: Frame): number {
  frame.total = frame.own;
  for (const child of frame.children.values()) frame.total += sum(child);
  return frame.total;
}

function ownByRoom(root: Frame): Map<string, number> {
  const out = new Map<string, number>();
  const visit = (frame: Frame): void => {
    if (frame.own > 0) out.set(frame.room, (out.get(frame.room) ?? 0) + frame.own);
    for (const child of frame.children.values()) visit(child);
  };
  visit(root);
  return out;
}

function depthOf(frame: Frame, minUs: number): number {
  let deepest = 0;
  for (const child of frame.children.values()) if (child.total >= minUs) deepest = Math.max(deepest, depthOf(child, minUs));
  return deepest + 1;
}

function legendOf(rooms: FlameGraph["rooms"]): { readonly svg: string; readonly rows: number } {
  const out: string[] = [];
  let x = MARGIN;
  let row = 0;
  for (const [room, share] of rooms.filter((each) => each[1] >= 0.005)) {
    const label = `${room} ${(share * 100).toFixed(0)} %`;
    const width = 18 + label.length * CHAR_WIDTH + 14;
    if (x + width > WIDTH) {
      x = MARGIN;
      row++;
    }
    const y = TOP + row * LEGEND_ROW;
    out.push(
      `<rect x="${x}" y="${y}" width="12" height="12" fill="${COLOURS[room] ?? ""}"/><text x="${x + 17}" y="${y + 10}">${label}</text>`,
    );
    x += width;
  }
  return { svg: out.join("\n"), rows: row + 1 };
}

function boxes(root: Frame, top: number, depth: number): readonly string[] {
  const out: string[] = [];
  const scale = WIDTH / root.total;
  const draw = (frame: Frame, x: number, row: number): void => {
    const width = frame.total * scale;
    if (row >= depth || frame.total < root.total * SHARE_MIN) return;
    const share = ((frame.total / root.total) * 100).toFixed(1);
    const own = ((frame.own / root.total) * 100).toFixed(1);
    const letters = Math.floor((width - 6) / CHAR_WIDTH);
    const label = letters >= 3 ? frame.name.slice(0, letters) : "";
    const y = top + row * ROW;
    out.push(
      `<g><title>${escapeText(`${frame.name} ${frame.place}`.trim())}: ${share} %, itself ${own} %</title>` +
        `<rect x="${(MARGIN + x).toFixed(1)}" y="${y}" width="${Math.max(0.5, width - 0.5).toFixed(1)}" height="${ROW - 1}" fill="${COLOURS[frame.room] ?? ""}"/>` +
        (label === "" ? "" : `<text x="${(MARGIN + x + 3).toFixed(1)}" y="${y + 12}">${escapeText(label)}</text>`) +
        "</g>",
    );
    let next = x;
    for (const child of [...frame.children.values()].sort((a, b) => b.total - a.total)) {
      draw(child, next, row + 1);
      next += child.total * scale;
    }
  };
  draw(root, 0, 0);
  return out;
}

function escapeText(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}
