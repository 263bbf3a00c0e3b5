/**
 * What a history says about a run's course: when which fault held, which node led when, how fast decisions came.
 *
 * Pure: a history in, facts out; the same facts for a run that has just ended and for a file of last year.
 */
import { operations, type HistoryEvent, type HistoryValue } from "../../src/check/index.js";
import { asDecisions } from "./decisions.js";

/** Nanoseconds of the history's clock. */
export interface Span {
  readonly fromNs: number;
  readonly toNs: number;
}

export interface FaultBand extends Span {
  readonly fault: string;
  /** Somebody really felt it. */
  readonly verified: boolean;
  /** Before the fault, as clients saw it. */
  readonly epoch: number | undefined;
  /** Whom it took away, when that is a participant. */
  readonly participant: string | undefined;
  /** The nodes it was aimed at, for people: "n2", "n2, delayMs 50". */
  readonly detail: string;
}

export interface NodeChange {
  readonly atNs: number;
  readonly node: string;
  /** "silent": no answer. */
  readonly role: string;
  readonly epoch: number;
  readonly leads: boolean;
}

export interface DecisionPoint {
  readonly invokedNs: number;
  /** Infinity: never answered. */
  readonly atNs: number;
  readonly outcome: "commit" | "abort" | "unknown";
  readonly epoch: number | undefined;
}

export interface Reign extends Span {
  readonly leader: string;
  readonly epoch: number;
}

export function endNs(history: readonly HistoryEvent[]): number {
  return history.reduce((end, { time }) => Math.max(end, time), 0);
}

/** Faults in the order of their beginnings; one that never ended lasts to the end of the history. */
export function faultBands(history: readonly HistoryEvent[]): readonly FaultBand[] {
  const bands: FaultBand[] = [];
  const open = new Map<string, HistoryEvent>();
  const close = (begin: HistoryEvent, toNs: number, verified: boolean): void => {
    const value = fields(begin.value);
    const { epoch, participant } = value;
    bands.push({
      fault: String(value["fault"]),
      fromNs: begin.time,
      toNs,
      verified,
      epoch: typeof epoch === "number" ? epoch : undefined,
      participant: typeof participant === "string" ? participant : undefined,
      detail: detailOf(value),
    });
  };
  for (const event of history) {
    if (event.f !== "nemesis") continue;
    const value = fields(event.value);
    const name = String(value["fault"]);
    const begin = open.get(name);
    if (value["at"] === "begin") open.set(name, event);
    else if (value["at"] === "end" && begin !== undefined) {
      open.delete(name);
      close(begin, event.time, value["verified"] === true);
    }
  }
  for (const begin of open.values()) close(begin, endNs(history), false);
  return bands.sort((a, b) => a.fromNs - b.fromNs);
}

/** When a majority of coordinators was up and connected; undefined when the history does not say. */
export function majoritySpans(history: readonly HistoryEvent[]): readonly Span[] | undefined {
  const spans: Span[] = [];
  let sinceNs: number | undefined;
  let said = false;
  for (const event of history) {
    if (event.f !== "majority") continue;
    said = true;
    if (event.value === true) sinceNs ??= event.time;
    else if (sinceNs !== undefined) {
      spans.push({ fromNs: sinceNs, toNs: event.time });
      sinceNs = undefined;
    }
  }
  if (sinceNs !== undefined) spans.push({ fromNs: sinceNs, toNs: endNs(history) });
  return said ? spans : undefined;
}

export function nodeChanges(history: readonly HistoryEvent[]): readonly NodeChange[] {
  return history.flatMap((event) => {
    if (event.f !== "node") return [];
    const value = fields(event.value);
    const role = String(value["role"]);
    const epoch = typeof value["epoch"] === "number" ? value["epoch"] : 0;
    return [{ atNs: event.time, node: event.key, role, epoch, leads: role === "leading" && value["established"] === true }];
  });
}

/** Who led, from when to when, by each node's own word: two at once in different epochs are possible, and shown. */
export function reigns(history: readonly HistoryEvent[]): readonly Reign[] {
  const found: Reign[] = [];
  const open = new Map<string, NodeChange>();
  const close = (node: string, toNs: number): void => {
    const began = open.get(node);
    if (began !== undefined) found.push({ leader: node, epoch: began.epoch, fromNs: began.atNs, toNs });
    open.delete(node);
  };
  for (const change of nodeChanges(history)) {
    const before = open.get(change.node);
    if (before !== undefined && (!change.leads || change.epoch !== before.epoch)) close(change.node, change.atNs);
    if (change.leads && !open.has(change.node)) open.set(change.node, change);
  }
  for (const node of [...open.keys()]) close(node, endNs(history));
  return found.sort((a, b) => a.fromNs - b.fromNs);
}

/** Requests to commit, in the order of their answers. */
export function decisionPoints(history: readonly HistoryEvent[]): readonly DecisionPoint[] {
  return operations(asDecisions(history))
    .flatMap(({ invoke, complete }): DecisionPoint[] => {
      if (invoke.f !== "decide" || invoke.value !== "commit") return [];
      const value = complete?.value;
      const known = complete?.type === "ok" && (value === "commit" || value === "abort");
      if (complete?.type === "fail") return [];
      return [
        {
          invokedNs: invoke.time,
          atNs: complete?.time ?? Infinity,
          outcome: known ? value : "unknown",
          epoch: complete?.zxid === undefined ? undefined : Number(complete.zxid.split(":")[0]),
        },
      ];
    })
    .sort((a, b) => a.atNs - b.atNs);
}

export function fields(value: HistoryValue): Readonly<Record<string, HistoryValue>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, HistoryValue>>) : {};
}

const NOT_DETAILS = new Set(["fault", "at", "leader", "epoch", "node", "wasLeader", "participant"]);

function detailOf(value: Readonly<Record<string, HistoryValue>>): string {
  const node = value["node"];
  const participant = value["participant"];
  const who = [
    ...(typeof node === "number" ? [`n${node}${value["wasLeader"] === false ? " (follower)" : ""}`] : []),
    ...(typeof participant === "string" ? [participant] : []),
  ];
  const rest = Object.entries(value)
    .filter(([name]) => !NOT_DETAILS.has(name))
    .map(([name, each]) => `${name} ${Array.isArray(each) ? each.map((n) => `n${String(n)}`).join("-") : String(each)}`);
  return [...who, ...rest].join(", ");
}
