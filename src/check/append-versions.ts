/**
 * The order of each list's versions, and what is wrong with single reads.
 *
 * The longest read of a key is its order; every other read must be a prefix of it. Values that committed and that nobody read come
 * behind everything that was read. What takes two or more transactions to go wrong is found in the graph (append-graph.ts).
 */
import type { AppendTransaction } from "./append-history.js";

export type AppendAnomalyKind =
  | "G0"
  | "G1a"
  | "G1b"
  | "G1c"
  | "G-single"
  | "G2"
  /** A value twice in one read. */
  | "duplicate"
  /** An acknowledged value that a later read does not show. */
  | "lost-append"
  /** Two reads of which neither is a prefix of the other, or a list that has a transaction's appends in another order than it made them. */
  | "incompatible-order"
  /** A transaction that does not see its own appends, sees them too early, or reads one list twice and differently. */
  | "internal"
  /** A value that nobody appended. */
  | "phantom";

export interface AppendAnomaly {
  readonly kind: AppendAnomalyKind;
  /** What the cycle needs besides what was read and written: `process` the order of one client, `realtime` that of the clock. */
  readonly needs: "nothing" | "process" | "realtime";
  /** The transactions it takes, in the order of the cycle. */
  readonly transactions: readonly number[];
  readonly message: string;
}

/** A read without the reader's own appends. */
export interface ExternalRead {
  readonly reader: AppendTransaction;
  readonly key: string;
  readonly values: readonly string[];
}

export interface Versions {
  /** `ok`, and those of unknown outcome of which somebody saw something. */
  readonly committed: readonly AppendTransaction[];
  readonly writers: ReadonlyMap<string, AppendTransaction>;
  /** What was read of each key, longest. */
  readonly order: ReadonlyMap<string, readonly string[]>;
  /** Committed values of each key that are in no read. */
  readonly unread: ReadonlyMap<string, readonly string[]>;
  readonly reads: readonly ExternalRead[];
  readonly anomalies: readonly AppendAnomaly[];
}

/** Names a value of one key. */
export function cell(key: string, value: string): string {
  return `${JSON.stringify(key)} ${value}`;
}

/** Throws RangeError when two appends of the history have the same key and value: then nothing can be said. */
export function versionsOf(transactions: readonly AppendTransaction[]): Versions {
  const anomalies: AppendAnomaly[] = [];
  const writers = writersOf(transactions);
  const observed = transactions.filter(({ type }) => type === "ok").flatMap(({ steps }) => steps.filter((step) => step.f === "read"));
  const seen = new Set<string>();
  const order = new Map<string, readonly string[]>();
  for (const { key, values } of observed) {
    if (values === undefined) continue;
    for (const value of values) seen.add(cell(key, value));
    if (values.length > (order.get(key)?.length ?? -1)) order.set(key, values);
  }
  const committed = transactions.filter(
    ({ type, steps }) =>
      type === "ok" || (type === "info" && steps.some((step) => step.f === "append" && seen.has(cell(step.key, step.value)))),
  );
  const unread = new Map<string, string[]>();
  for (const { steps } of committed) {
    for (const step of steps) {
      if (step.f !== "append" || seen.has(cell(step.key, step.value))) continue;
      const list = unread.get(step.key);
      if (list === undefined) unread.set(step.key, [step.value]);
      else list.push(step.value);
    }
  }
  const reads: ExternalRead[] = [];
  for (const transaction of committed) reads.push(...externalReads(transaction, anomalies));
  for (const { id, steps } of committed) {
    for (const step of steps)
      if (step.f === "read" && step.values !== undefined) checkValues(id, step.key, step.values, order, writers, anomalies);
  }
  for (const read of reads) checkIntermediate(read, writers, anomalies);
  checkOwnOrder(committed, order, anomalies);
  checkLost(committed, reads, anomalies);
  return { committed, writers, order, unread, reads, anomalies };
}

function writersOf(transactions: readonly AppendTransaction[]): Map<string, AppendTransaction> {
  const writers = new Map<string, AppendTransaction>();
  for (const transaction of transactions) {
    for (const step of transaction.steps) {
      if (step.f !== "append") continue;
      const name = cell(step.key, step.value);
      const other = writers.get(name);
      if (other !== undefined) throw new RangeError(`transactions ${other.id} and ${transaction.id} both append ${name}`);
      writers.set(name, transaction);
    }
  }
  return writers;
}

/** What a transaction read of others; its own appends must be at the end, those before the read and no others. */
function externalReads(reader: AppendTransaction, anomalies: AppendAnomaly[]): readonly ExternalRead[] {
  const out = new Map<string, ExternalRead>();
  const own = new Map<string, string[]>();
  const mine = new Set(reader.steps.flatMap((step) => (step.f === "append" ? [cell(step.key, step.value)] : [])));
  for (const step of reader.steps) {
    if (step.f === "append") {
      const list = own.get(step.key);
      if (list === undefined) own.set(step.key, [step.value]);
      else list.push(step.value);
      continue;
    }
    if (step.values === undefined) continue;
    const { key } = step;
    const appended = own.get(key) ?? [];
    const values = step.values.slice(0, Math.max(0, step.values.length - appended.length));
    const before = out.get(key);
    const holds =
      same(step.values.slice(values.length), appended) &&
      !values.some((value) => mine.has(cell(key, value))) &&
      (before === undefined || same(before.values, values));
    if (!holds)
      anomalies.push(
        single(
          "internal",
          [reader.id],
          `transaction ${reader.id} reads ${show(key, step.values)} after ${show(key, before?.values)} and its own ${show(key, appended)}`,
        ),
      );
    else if (before === undefined) out.set(key, { reader, key, values });
  }
  return [...out.values()];
}

function checkValues(
  id: number,
  key: string,
  values: readonly string[],
  order: ReadonlyMap<string, readonly string[]>,
  writers: ReadonlyMap<string, AppendTransaction>,
  anomalies: AppendAnomaly[],
): void {
  const longest = order.get(key) ?? [];
  if (new Set(values).size !== values.length)
    anomalies.push(single("duplicate", [id], `transaction ${id} reads a value twice: ${show(key, values)}`));
  if (!same(longest.slice(0, values.length), values))
    anomalies.push(single("incompatible-order", [id], `transaction ${id} reads ${show(key, values)}, another ${show(key, longest)}`));
  for (const value of values) {
    const writer = writers.get(cell(key, value));
    if (writer === undefined)
      anomalies.push(single("phantom", [id], `transaction ${id} reads ${show(key, [value])}, which nobody appended`));
    else if (writer.type === "fail")
      anomalies.push(single("G1a", [writer.id, id], `transaction ${id} reads ${show(key, [value])} of ${writer.id}, which failed`));
  }
}

/** G1b: the last value seen is not the last that its transaction appended there. */
function checkIntermediate(
  { reader, key, values }: ExternalRead,
  writers: ReadonlyMap<string, AppendTransaction>,
  anomalies: AppendAnomaly[],
): void {
  const last = values.at(-1);
  const writer = last === undefined ? undefined : writers.get(cell(key, last));
  if (last === undefined || writer === undefined || writer === reader) return;
  const final = writer.steps.findLast((step) => step.f === "append" && step.key === key);
  if (final?.f === "append" && final.value !== last)
    anomalies.push(
      single(
        "G1b",
        [writer.id, reader.id],
        `transaction ${reader.id} reads ${show(key, values)} in the middle of ${writer.id}, which goes on to append ${final.value}`,
      ),
    );
}

/** A transaction's appends to one list stand there in the order it made them; one that was read never stands before one that was not. */
function checkOwnOrder(
  committed: readonly AppendTransaction[],
  order: ReadonlyMap<string, readonly string[]>,
  anomalies: AppendAnomaly[],
): void {
  const places = new Map<string, number>();
  for (const [key, list] of order) list.forEach((value, index) => places.set(cell(key, value), index));
  for (const { id, steps } of committed) {
    const last = new Map<string, number>();
    for (const step of steps) {
      if (step.f !== "append") continue;
      const place = places.get(cell(step.key, step.value)) ?? Infinity;
      if (place < (last.get(step.key) ?? -1))
        anomalies.push(
          single("incompatible-order", [id], `transaction ${id} appended ${show(step.key, [step.value])} behind what stands after it`),
        );
      last.set(step.key, place);
    }
  }
}

function checkLost(committed: readonly AppendTransaction[], reads: readonly ExternalRead[], anomalies: AppendAnomaly[]): void {
  const byKey = new Map<string, ExternalRead[]>();
  for (const read of reads) {
    const list = byKey.get(read.key);
    if (list === undefined) byKey.set(read.key, [read]);
    else list.push(read);
  }
  // The read that began last of those that lack a value is the one to ask.
  for (const list of byKey.values()) list.sort((a, b) => b.reader.call - a.reader.call);
  const sets = new Map<ExternalRead, ReadonlySet<string>>();
  for (const { id, return: end, steps } of committed) {
    for (const step of steps) {
      if (step.f !== "append" || end === Infinity) continue;
      for (const read of byKey.get(step.key) ?? []) {
        if (read.reader.call <= end) break;
        const values = sets.get(read) ?? new Set(read.values);
        sets.set(read, values);
        if (values.has(step.value)) continue;
        const message = `transaction ${id} was acknowledged; ${read.reader.id} began later and does not see its ${show(step.key, [step.value])}`;
        anomalies.push({ ...single("lost-append", [id, read.reader.id], message), needs: "realtime" });
        break;
      }
    }
  }
}

function single(kind: AppendAnomalyKind, transactions: readonly number[], message: string): AppendAnomaly {
  return { kind, needs: "nothing", transactions, message };
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

function show(key: string, values: readonly string[] | undefined): string {
  return values === undefined ? "nothing" : `${key}=[${values.join(" ")}]`;
}
