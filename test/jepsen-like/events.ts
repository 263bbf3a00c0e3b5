/**
 * Short ways to write a history by hand.
 */
import type { HistoryEvent, HistoryValue } from "../../src/check/index.js";

type Rest = Partial<Omit<HistoryEvent, "index" | "time">> & Pick<HistoryEvent, "type" | "f">;

/** Times are ms; indexes follow the order of the list. */
export function historyOf(...list: (readonly [ms: number, event: Rest])[]): readonly HistoryEvent[] {
  return list.map(([ms, event], index) => ({ index, time: ms * 1e6, process: -1, key: "", value: null, ...event }));
}

export function invoke(process: number, f: string, key: string, value: HistoryValue = null): Rest {
  return { process, type: "invoke", f, key, value };
}

export function ok(process: number, f: string, key: string, value: HistoryValue, zxid?: string): Rest {
  return { process, type: "ok", f, key, value, ...(zxid === undefined ? {} : { zxid }) };
}

export function nemesis(value: Readonly<Record<string, HistoryValue>>): Rest {
  return { type: "info", f: "nemesis", value };
}

export function node(key: string, role: string, epoch: number, established = role === "leading"): Rest {
  return { type: "info", f: "node", key, value: { role, epoch, established } };
}

export function majority(value: boolean): Rest {
  return { type: "info", f: "majority", value };
}

export function doubt(key: string, ms: number, open = false): Rest {
  return { type: "info", f: "doubt", key, value: { ms, open } };
}

export function info(process: number, f: string, key: string, value: HistoryValue = null): Rest {
  return { process, type: "info", f, key, value };
}

/** What a run writes down by itself. */
export function said(f: string, key: string, value: HistoryValue): Rest {
  return { type: "info", f, key, value };
}
