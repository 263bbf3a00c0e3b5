/**
 * Transactions over lists: what each asked for and what it was told. The form that the list-append checker reads.
 *
 * Each value is appended at most once in a whole history: that is what makes a read say who wrote what it saw.
 */
import { operations, type HistoryEvent, type HistoryValue } from "./history.js";

export type AppendStep =
  | { readonly f: "append"; readonly key: string; readonly value: string }
  /** `values` undefined: nobody knows what it saw. */
  | { readonly f: "read"; readonly key: string; readonly values: readonly string[] | undefined };

export interface AppendTransaction {
  /** Its place in the history, for messages. Unique. */
  readonly id: number;
  /** One transaction at a time each. */
  readonly process: number;
  /** `ok`: it committed. `fail`: it certainly did not. `info`: nobody knows. */
  readonly type: "ok" | "fail" | "info";
  /** Positions in the history's order of events. */
  readonly call: number;
  /** Infinity for a transaction that stayed open. */
  readonly return: number;
  readonly steps: readonly AppendStep[];
}

/**
 * The `txn` operations of a history; value `[["append", key, value], ["r", key, null | [value, ...]], ...]`, as Elle writes them. Reads
 * count only in an `ok`. Throws RangeError for a value of another shape.
 */
export function appendTransactions(history: readonly HistoryEvent[]): readonly AppendTransaction[] {
  return operations(history)
    .filter(({ invoke }) => invoke.f === "txn")
    .map(({ invoke, complete }) => {
      const type = complete === undefined || complete.type === "invoke" ? "info" : complete.type;
      const told = type === "ok" && complete !== undefined ? complete : invoke;
      return {
        id: invoke.index,
        process: invoke.process,
        type,
        call: invoke.index,
        return: type === "info" || complete === undefined ? Infinity : complete.index,
        steps: stepsOf(told, type === "ok"),
      };
    });
}

function stepsOf({ value, index }: HistoryEvent, known: boolean): readonly AppendStep[] {
  if (!Array.isArray(value)) throw new RangeError(`event ${index}: the value of a txn is a list of steps`);
  return value.map((step: HistoryValue): AppendStep => {
    const [f, key, operand] = Array.isArray(step) ? (step as readonly HistoryValue[]) : [];
    if (f === "append" && key !== undefined && isValue(operand)) return { f: "append", key: String(key), value: String(operand) };
    if (f === "r" && key !== undefined) {
      if (!known) return { f: "read", key: String(key), values: undefined };
      if (operand === null) return { f: "read", key: String(key), values: [] };
      if (Array.isArray(operand)) return { f: "read", key: String(key), values: operand.map(String) };
    }
    throw new RangeError(`event ${index}: ${JSON.stringify(step)} is neither ["append", key, value] nor ["r", key, list]`);
  });
}

function isValue(operand: HistoryValue | undefined): operand is number | string {
  return typeof operand === "number" || typeof operand === "string";
}
