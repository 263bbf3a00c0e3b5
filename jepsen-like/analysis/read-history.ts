/**
 * Reads a history file. Whatever is wrong with it is said with the number of the line.
 */
import { appendTransactions, type HistoryEvent, type HistoryValue } from "../../src/check/index.js";

const TYPES: ReadonlySet<unknown> = new Set(["invoke", "ok", "fail", "info"]);
const NEWLINE = 10;

/**
 * JSON Lines, or the same events as one JSON array; text or UTF-8 bytes. Throws RangeError, naming the line, for what is no history: bad
 * JSON, a missing field, an index out of order, two operations of one process at once, a value that its operation cannot have.
 */
export function readHistory(source: string | Buffer): readonly HistoryEvent[] {
  const events: HistoryEvent[] = [];
  const open = new Map<number, { readonly event: HistoryEvent; readonly where: string; readonly retired: boolean }>();
  let before = -1;
  for (const { value, where } of parsed(source)) {
    const event = eventOf(value, where);
    if (event.index <= before) throw new RangeError(`${where}: index ${event.index} comes after ${before}`);
    before = event.index;
    events.push(event);
    const problem = valueProblem(event);
    if (problem !== undefined) throw new RangeError(`${where}: ${problem}`);
    if (event.process < 0) continue;
    const last = open.get(event.process);
    if (event.type === "invoke") {
      if (last !== undefined)
        throw new RangeError(
          last.retired
            ? `${where}: process ${event.process} is used again after ${last.where}, whose outcome stayed unknown; it needs a new number`
            : `${where}: process ${event.process} has two operations open, the other since ${last.where}`,
        );
      open.set(event.process, { event, where, retired: false });
    } else {
      if (last === undefined || last.retired) throw new RangeError(`${where}: ${event.type} of process ${event.process} completes nothing`);
      if (last.event.f !== event.f) throw new RangeError(`${where}: ${event.f} completes ${last.event.f} of ${last.where}`);
      if (event.type === "info") open.set(event.process, { event, where, retired: true });
      else open.delete(event.process);
    }
  }
  return events;
}

interface Parsed {
  readonly value: unknown;
  readonly where: string;
}

function* parsed(source: string | Buffer): Generator<Parsed> {
  const bytes = typeof source === "string" ? Buffer.from(source) : source;
  if (bytes.subarray(0, 64).toString().trimStart().startsWith("[")) {
    const list = parse(bytes.toString(), "the array") as readonly unknown[];
    yield* list.map((value, i) => ({ value, where: `event ${i + 1}` }));
    return;
  }
  // Line by line: a long run's history is larger than a string may be.
  let line = 1;
  for (let from = 0; from < bytes.length; line++) {
    const newline = bytes.indexOf(NEWLINE, from);
    const to = newline < 0 ? bytes.length : newline;
    const text = bytes.toString("utf8", from, to);
    from = to + 1;
    if (text.trim() !== "") yield { value: parse(text, `line ${line}`), where: `line ${line}` };
  }
}

function eventOf(value: unknown, where: string): HistoryEvent {
  const event = value as (Partial<Omit<HistoryEvent, "process">> & { readonly process?: unknown }) | null;
  const no = (what: string): RangeError => new RangeError(`${where} is no event: ${what}`);
  if (typeof event !== "object" || event === null || Array.isArray(event)) throw no("it is no JSON object");
  if (!Number.isInteger(event.index)) throw no(`"index" must be a whole number, got ${show(event.index)}`);
  if (!Number.isFinite(event.time)) throw no(`"time" must be a number of nanoseconds, got ${show(event.time)}`);
  // The fault injector has a name instead of a number in histories of the Jepsen world.
  const process = event.process === "nemesis" || event.process === ":nemesis" ? -1 : event.process;
  if (!Number.isInteger(process)) throw no(`"process" must be a whole number or "nemesis", got ${show(event.process)}`);
  if (!TYPES.has(event.type)) throw no(`"type" must be invoke, ok, fail or info, got ${show(event.type)}`);
  if (typeof event.f !== "string") throw no(`"f" must name what was asked, got ${show(event.f)}`);
  return { ...event, process, key: String(event.key ?? ""), value: event.value ?? null } as HistoryEvent;
}

/** What is wrong with the value of an operation that the checkers know; undefined: nothing, or it is of another kind. */
function valueProblem({ type, f, key, value, index, process }: HistoryEvent): string | undefined {
  switch (f) {
    case "decide":
    case "status":
      if (key === "") return `${f} needs the transaction as "key"`;
      return type === "ok" && typeof value !== "string" ? `${f} is answered with a decision or a state, got ${show(value)}` : undefined;
    case "txn":
      try {
        const invoke: HistoryEvent = { index, time: 0, process, type: "invoke", f, key, value };
        appendTransactions(
          type === "ok"
            ? [
                { ...invoke, index: index - 1 },
                { ...invoke, type: "ok" },
              ]
            : [invoke],
        );
        return undefined;
      } catch (error) {
        return (error instanceof Error ? error.message : String(error)).replace(/^event -?\d+: /, "");
      }
    case "read":
      return type === "ok" && !(isListOf(value, 2) && value.every((each) => each === null || typeof each === "string"))
        ? `read is answered with [value, version] or [null, null], got ${show(value)}`
        : undefined;
    case "put":
      if (type === "invoke")
        return hasField(value, "value", "string") ? undefined : `put needs {"value": text, "expect": version or null}, got ${show(value)}`;
      return type === "ok" && !hasField(value, "taken", "boolean")
        ? `put is answered with {"taken", "version"}, got ${show(value)}`
        : undefined;
    case "doubt":
      return hasField(value, "ms", "number") ? undefined : `doubt needs {"ms": number, "open": true or false}, got ${show(value)}`;
    default:
      return undefined;
  }
}

function isListOf(value: HistoryValue, length: number): value is readonly HistoryValue[] {
  return Array.isArray(value) && value.length === length;
}

function hasField(value: HistoryValue, name: string, type: string): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && typeof (value as Record<string, unknown>)[name] === type;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RangeError(`${where} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}
