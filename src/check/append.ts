/**
 * Strict serializability of transactions over lists, after Elle (Kingsbury and Alvaro, 2020) and Adya's phenomena.
 *
 * A cycle among transactions is named by the worst that its edges allow: G0 only writes, G1c also reads of what was written, G-single one
 * read of what was overwritten later, G2 more of them. `needs` says whether the cycle also takes the order of a client or of the clock.
 * No cycle and no anomaly of a single read means that the transactions, in some order that respects real time, give exactly these reads.
 */
import { appendTransactions, type AppendTransaction } from "./append-history.js";
import { graphOf, type AppendGraph, type EdgeKind } from "./append-graph.js";
import { versionsOf, type AppendAnomaly, type AppendAnomalyKind, type Versions } from "./append-versions.js";
import { components, shortestPath } from "./cycles.js";
import type { HistoryEvent } from "./history.js";
import type { Violation } from "./violation.js";

const ORDERS: readonly { readonly needs: AppendAnomaly["needs"]; readonly kinds: readonly EdgeKind[] }[] = [
  { needs: "nothing", kinds: [] },
  { needs: "process", kinds: ["process"] },
  { needs: "realtime", kinds: ["process", "realtime"] },
];

/** Every anomaly of single reads; of each tangle of transactions the worst cycle. Empty: strictly serializable. */
export function findAppendAnomalies(transactions: readonly AppendTransaction[]): readonly AppendAnomaly[] {
  const versions = versionsOf(transactions);
  return [...versions.anomalies, ...cyclesOf(versions)];
}

/** The `txn` operations of a history; see append-history.ts for their values. */
export function checkAppends(history: readonly HistoryEvent[]): readonly Violation[] {
  return findAppendAnomalies(appendTransactions(history)).map(({ kind, needs, message }) => ({
    invariant: `append-${kind}`,
    message: needs === "nothing" ? message : `${message} (by ${needs} order)`,
  }));
}

function cyclesOf(versions: Versions): readonly AppendAnomaly[] {
  const { committed } = versions;
  const size = committed.length;
  const graph = graphOf(versions);
  const found: AppendAnomaly[] = [];
  const named = new Set<number>();
  const idOf = (node: number): number => committed[node]?.id ?? -1;
  const report = (kind: AppendAnomalyKind, needs: AppendAnomaly["needs"], cycle: readonly number[], kinds: ReadonlySet<EdgeKind>): void => {
    const words = cycle.map((node, at) => `${idOf(node)} -${edgeBetween(graph, node, cycle[(at + 1) % cycle.length], kinds)}->`);
    const message = [...words, idOf(cycle[0] ?? -1)].join(" ");
    found.push({ kind, needs, transactions: cycle.map(idOf), message });
  };
  /** Parts of which nothing was said yet; from now on something is. */
  const fresh = (next: (node: number) => readonly number[]): readonly (readonly number[])[] =>
    components(size, next).filter((part) => {
      const known = part.some((node) => named.has(node));
      for (const node of part) named.add(node);
      return !known;
    });
  for (const { needs, kinds } of ORDERS) {
    const writes = new Set<EdgeKind>(["ww", ...kinds]);
    const overWrites = successors(graph, writes);
    for (const part of fresh(overWrites)) report("G0", needs, cycleIn(part, overWrites), writes);
    const flow = new Set<EdgeKind>(["wr", ...writes]);
    const overFlow = successors(graph, flow);
    for (const part of fresh(overFlow)) report("G1c", needs, cycleIn(part, overFlow), flow);
    const all = new Set<EdgeKind>(["rw", ...flow]);
    const overAll = successors(graph, all);
    for (const part of fresh(overAll)) {
      const one = withOneRead(graph, part, overFlow);
      if (one === undefined) report("G2", needs, cycleIn(part, overAll), all);
      else report("G-single", needs, one, all);
    }
  }
  return found;
}

function successors(graph: AppendGraph, kinds: ReadonlySet<EdgeKind>): (node: number) => readonly number[] {
  const lists = graph.map((edges) => edges.filter(({ kind }) => kinds.has(kind)).map(({ to }) => to));
  return (node) => lists[node] ?? [];
}

/** A short cycle in a part: from its first node, and back. */
function cycleIn(part: readonly number[], next: (node: number) => readonly number[]): readonly number[] {
  const [first = 0] = part;
  const inside = new Set(part);
  let best: readonly number[] = part;
  for (const to of next(first)) {
    if (!inside.has(to)) continue;
    const path = shortestPath(to, first, next);
    if (path !== undefined && (best === part || path.length < best.length)) best = path;
  }
  return best === part ? part : [first, ...best.slice(0, -1)];
}

/** A cycle of this part with exactly one rw edge. */
function withOneRead(
  graph: AppendGraph,
  part: readonly number[],
  without: (node: number) => readonly number[],
): readonly number[] | undefined {
  const inside = new Set(part);
  for (const node of part) {
    for (const { to, kind } of graph[node] ?? []) {
      if (kind !== "rw" || !inside.has(to)) continue;
      const path = shortestPath(to, node, without);
      if (path !== undefined) return [node, ...path.slice(0, -1)];
    }
  }
  return undefined;
}

function edgeBetween(graph: AppendGraph, from: number, to: number | undefined, kinds: ReadonlySet<EdgeKind>): string {
  return graph[from]?.find((edge) => edge.to === to && kinds.has(edge.kind))?.kind ?? "?";
}
