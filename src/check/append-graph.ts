/**
 * Which transaction must come before which, and why.
 *
 * `ww`: it appended what the other appended behind. `wr`: the other read what it appended last. `rw`: it read the list before the other
 * appended to it. `process`: the same client did one after the other. `realtime`: it was answered before the other was asked; only
 * the edges that others do not imply.
 */
import type { AppendTransaction } from "./append-history.js";
import { cell, type Versions } from "./append-versions.js";

export type EdgeKind = "ww" | "wr" | "rw" | "process" | "realtime";

export interface Edge {
  readonly to: number;
  readonly kind: EdgeKind;
}

/** Edges by transaction; numbers are positions in `versions.committed`. */
export type AppendGraph = readonly (readonly Edge[])[];

export function graphOf(versions: Versions): AppendGraph {
  const { committed, writers, order, unread, reads } = versions;
  const place = new Map(committed.map((transaction, index) => [transaction, index]));
  const edges: Edge[][] = committed.map(() => []);
  const add = (from: AppendTransaction | undefined, to: AppendTransaction | undefined, kind: EdgeKind): void => {
    const [a, b] = [from && place.get(from), to && place.get(to)];
    if (a === undefined || b === undefined || a === b) return;
    edges[a]?.push({ to: b, kind });
  };
  const keys = new Set([...order.keys(), ...unread.keys()]);
  for (const key of keys) {
    const list = order.get(key) ?? [];
    const rest = unread.get(key) ?? [];
    const writer = (value: string | undefined): AppendTransaction | undefined =>
      value === undefined ? undefined : writers.get(cell(key, value));
    for (let i = 1; i < list.length; i++) add(writer(list[i - 1]), writer(list[i]), "ww");
    for (const value of rest) add(writer(list.at(-1)), writer(value), "ww");
  }
  for (const { reader, key, values } of reads) {
    const list = order.get(key) ?? [];
    const last = values.at(-1);
    if (last !== undefined) add(writers.get(cell(key, last)), reader, "wr");
    // Behind the reader's own appends, if it has any there: those are edges of its own.
    const next = list[values.length];
    if (next !== undefined) add(reader, writers.get(cell(key, next)), "rw");
    else for (const value of unread.get(key) ?? []) add(reader, writers.get(cell(key, value)), "rw");
  }
  addProcessEdges(committed, add);
  addRealtimeEdges(committed, add);
  return edges;
}

type Add = (from: AppendTransaction, to: AppendTransaction, kind: EdgeKind) => void;

function addProcessEdges(committed: readonly AppendTransaction[], add: Add): void {
  const last = new Map<number, AppendTransaction>();
  for (const transaction of [...committed].sort((a, b) => a.call - b.call)) {
    const before = last.get(transaction.process);
    if (before !== undefined) add(before, transaction, "process");
    last.set(transaction.process, transaction);
  }
}

/** The transitive reduction of "returned before the call", by a frontier of those that returned last. */
function addRealtimeEdges(committed: readonly AppendTransaction[], add: Add): void {
  const events = committed.flatMap((transaction) => [
    { at: transaction.call, isCall: true, transaction },
    ...(transaction.return === Infinity ? [] : [{ at: transaction.return, isCall: false, transaction }]),
  ]);
  // Calls first where positions are equal: intervals are closed.
  events.sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall));
  const frontier = new Set<AppendTransaction>();
  const before = new Map<AppendTransaction, readonly AppendTransaction[]>();
  for (const { isCall, transaction } of events) {
    if (isCall) {
      before.set(transaction, [...frontier]);
      for (const other of frontier) add(other, transaction, "realtime");
      continue;
    }
    for (const other of before.get(transaction) ?? []) frontier.delete(other);
    before.delete(transaction);
    frontier.add(transaction);
  }
}
