/**
 * The history of a run: what clients asked for and what they were told, one event a line of JSON Lines.
 *
 * Written before a request is sent and after its answer arrived, by the client. The field names are those of the Jepsen world's
 * tools, so that a history can be given to them. `ok`: it happened. `fail`: it certainly did not. `info`: nobody knows; the process
 * number of an `info` is not used again. An abort decision is `ok` with the value "abort".
 */
export type HistoryValue = null | boolean | number | string | readonly HistoryValue[] | { readonly [key: string]: HistoryValue };

export interface HistoryEvent {
  /** Position in the history; the order of events. */
  readonly index: number;
  /** Nanoseconds of one monotonic clock. */
  readonly time: number;
  /** The client process; -1 for the fault injector. One operation at a time each. */
  readonly process: number;
  readonly type: "invoke" | "ok" | "fail" | "info";
  /** What was asked: "decide", "abort", "outcome", "put", "read", "nemesis", ... */
  readonly f: string;
  /** A gid, a register's name. */
  readonly key: string;
  readonly value: HistoryValue;
  readonly node?: string;
  readonly client?: string;
  /** `epoch:counter`. */
  readonly zxid?: string;
  readonly error?: string;
  /** Of a request to commit: its complete list, each `branch@participant`. */
  readonly branches?: readonly string[];
}

/** One operation: its invocation and, unless it stayed open, its completion. */
export interface Operation {
  readonly invoke: HistoryEvent;
  /** Undefined: the run ended before it. */
  readonly complete: HistoryEvent | undefined;
}

/** Pairs invocations with completions, in order of invocation. Throws RangeError when a process has two operations open. */
export function operations(history: readonly HistoryEvent[]): readonly Operation[] {
  const out: { invoke: HistoryEvent; complete: HistoryEvent | undefined }[] = [];
  const open = new Map<number, { invoke: HistoryEvent; complete: HistoryEvent | undefined }>();
  for (const event of history) {
    if (event.process < 0) continue;
    const before = open.get(event.process);
    if (event.type === "invoke") {
      if (before !== undefined) throw new RangeError(`process ${event.process} has two operations open at event ${event.index}`);
      const operation = { invoke: event, complete: undefined };
      out.push(operation);
      open.set(event.process, operation);
    } else {
      if (before === undefined) throw new RangeError(`event ${event.index} completes nothing`);
      before.complete = event;
      if (event.type === "info") open.set(event.process, { invoke: event, complete: event });
      else open.delete(event.process);
    }
  }
  return out;
}

export function parseHistory(text: string): readonly HistoryEvent[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as HistoryEvent);
}

export function formatHistory(history: readonly HistoryEvent[]): string {
  return history.map((event) => `${JSON.stringify(event)}\n`).join("");
}
