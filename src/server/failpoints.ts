/**
 * Named points where a fault test may end, freeze or slow this process, or spoil its disk. Inert unless QUORATE_ENABLE_FAILPOINTS=1.
 *
 * `QUORATE_FAILPOINTS="decision-applied=crash;checkpoint-start=sleep(200)@3;disk.log.sync=error(EIO)@2*1"`: a list of
 * `name=action[@n][*k]` separated by semicolons, where n is the hit, counted from 1, at which the rule begins to act, and k how often
 * it acts. What an action can be depends on the point: a process point is crashed, halted or slept at, a disk operation delayed or
 * failed (fault-disk.ts), messages mangled: `message.call=mangle(0,30,20,2000)` loses none of the calls to participants, repeats 30 of
 * 100 and holds 20 of 100 back, for up to 2 s (message-faults.ts).
 */
import { QuorateError } from "../base/index.js";
import { DISK_CACHE, DISK_CANARY, diskPoint, FAILPOINT_MEANINGS, type DiskFile, type DiskOperation } from "./failpoint-list.js";
import { MESSAGE_POINTS, type MessagePoint, type MessageRule } from "./message-faults.js";

export const DISK_ERRORS = ["EIO", "ENOSPC", "EDQUOT", "EROFS"] as const;
export type DiskErrorCode = (typeof DISK_ERRORS)[number];

export type FailpointAction =
  | { readonly kind: "crash" | "halt" | "off" | "hold" | "write" }
  | { readonly kind: "sleep" | "delay"; readonly ms: number }
  | { readonly kind: "error"; readonly code: DiskErrorCode }
  | ({ readonly kind: "mangle" } & MessageRule);

export interface FailpointRule {
  readonly name: string;
  readonly action: FailpointAction;
  /** The first hit, counted from 1, at which it acts. */
  readonly hit: number;
  /** On how many hits; undefined: on all from then on. */
  readonly times: number | undefined;
}

const RULE = /^([a-z0-9.-]+)=([a-z]+)(?:\(([A-Z0-9,]{1,24})\))?(?:@(\d{1,9}))?(?:\*(\d{1,9}))?$/;

/** What may be done at which kind of point, as people are told. */
const ACTIONS = {
  process: "crash|halt|off|sleep(ms)",
  operation: `off|delay(ms)|error(${DISK_ERRORS.join("|")})`,
  cache: "hold|off",
  canary: "write",
  messages: "off|mangle(lose%,repeat%,late%,within ms)",
} as const;
type PointKind = keyof typeof ACTIONS;

function kindOf(name: string): PointKind {
  if (name === DISK_CACHE) return "cache";
  if (name === DISK_CANARY) return "canary";
  if (MESSAGE_POINTS.some((point) => point === name)) return "messages";
  return name.startsWith("disk.") ? "operation" : "process";
}

/** Throws QUORATE_CONFIG naming the rule that is wrong. */
export function parseFailpoints(text: string): readonly FailpointRule[] {
  return text
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseRule);
}

function parseRule(text: string): FailpointRule {
  const refuse = (why: string): never => {
    throw new QuorateError("QUORATE_CONFIG", `failpoint ${JSON.stringify(text)} ${why}`);
  };
  const [, name = "", word = "", argument, hit, times] = RULE.exec(text) ?? [];
  if (kindOf(name) === "messages" && (hit !== undefined || times !== undefined)) return refuse("cannot have @n or *k: it acts by chance");
  const usage = `must be name=${ACTIONS[kindOf(name)]}, with @n for the n-th hit and *k for how often`;
  if (name === "") return refuse(usage);
  if (!Object.hasOwn(FAILPOINT_MEANINGS, name))
    return refuse(`names an unknown failpoint ${JSON.stringify(name)}; \`quorate config print --failpoints\` lists all`);
  if (hit === "0" || times === "0") return refuse("hits are counted from 1");
  return {
    name,
    action: actionOf(kindOf(name), word, argument) ?? refuse(usage),
    hit: hit === undefined ? 1 : Number(hit),
    times: times === undefined ? undefined : Number(times),
  };
}

function actionOf(kind: PointKind, word: string, argument: string | undefined): FailpointAction | undefined {
  const ms = argument !== undefined && /^\d{1,6}$/.test(argument) ? Number(argument) : undefined;
  const code = DISK_ERRORS.find((each) => each === argument);
  if (kind === "process" && word === "sleep" && ms !== undefined) return { kind: "sleep", ms };
  if (kind === "operation" && word === "delay" && ms !== undefined) return { kind: "delay", ms };
  if (kind === "operation" && word === "error" && code !== undefined) return { kind: "error", code };
  if (kind === "messages" && word === "mangle") return mangle(argument);
  if (argument !== undefined) return undefined;
  if (kind === "process" && (word === "crash" || word === "halt")) return { kind: word };
  if (kind === "cache" && word === "hold") return { kind: "hold" };
  if (kind === "canary" && word === "write") return { kind: "write" };
  return kind !== "canary" && word === "off" ? { kind: "off" } : undefined;
}

function mangle(argument = ""): FailpointAction | undefined {
  const parts = /^(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,6})$/.exec(argument)?.slice(1).map(Number);
  const [losePercent = 0, repeatPercent = 0, latePercent = 0, withinMs = 0] = parts ?? [];
  if (parts === undefined || Math.max(losePercent, repeatPercent, latePercent) > 100) return undefined;
  return { kind: "mangle", losePercent, repeatPercent, latePercent, withinMs };
}

/** How long a crash waits so that what was sent before the point really leaves: the kill must look like one at exactly that point. */
const CRASH_DELAY_MS = 10;

export interface FailpointEffects {
  /** Ends the process without any clean-up. */
  readonly kill: () => void;
  readonly log: (name: string, action: string, hit: number) => void;
}

/** A rule in force, and how often it has acted. */
export interface FailpointState extends FailpointRule {
  readonly acted: number;
}

export class Failpoints {
  readonly #effects: FailpointEffects;
  readonly #rules = new Map<string, FailpointRule>();
  readonly #hits = new Map<string, number>();
  #onSet: (rule: FailpointRule) => void = () => undefined;

  constructor(effects: FailpointEffects) {
    this.#effects = effects;
  }

  /** `listener` hears of each rule that is set from now on, and at once of those in force. One listener: the disk. */
  listen(listener: (rule: FailpointRule) => void): void {
    this.#onSet = listener;
    for (const rule of this.#rules.values()) listener(rule);
  }

  /** Adds rules; `off` removes one. Hits are counted from now. */
  set(rules: readonly FailpointRule[]): void {
    for (const rule of rules) {
      this.#hits.delete(rule.name);
      if (rule.action.kind === "off") this.#rules.delete(rule.name);
      else if (rule.action.kind !== "write") this.#rules.set(rule.name, rule);
      this.#onSet(rule);
    }
  }

  /** The rules in force, for people and for tests that must know whether a rule was felt. */
  list(): readonly FailpointState[] {
    return [...this.#rules.values()].map((rule) => ({ ...rule, acted: actedOn(rule, this.#hits.get(rule.name) ?? 0) }));
  }

  /** What happens to messages at the point; undefined: nothing. */
  readonly messageRule = (point: MessagePoint): MessageRule | undefined => {
    if (this.#rules.size === 0) return undefined;
    const action = this.#rules.get(point)?.action;
    return action?.kind === "mangle" ? action : undefined;
  };

  /** The point is reached. "halt" means: send and write nothing more. */
  readonly reach = (name: string): "continue" | "halt" => {
    const kind = this.#act(name);
    if (kind === "continue") return "continue";
    if (kind === "crash") setTimeout(this.#effects.kill, CRASH_DELAY_MS);
    return "halt";
  };

  /** The same inside a write path, where "nothing more" cannot be asked of the caller: a crash kills at once, a halt freezes the process. */
  readonly reachInWrite = (name: string): void => {
    const kind = this.#act(name);
    if (kind === "crash") this.#effects.kill();
    // Also after the kill: the signal may take a moment, and not one more write may happen.
    if (kind !== "continue") sleepSync(Infinity);
  };

  /** What becomes of a disk operation: a rule of the file itself comes before one for any file. */
  onDisk(file: DiskFile, operation: DiskOperation): { readonly delayMs: number; readonly code: DiskErrorCode | undefined } {
    if (this.#rules.size > 0)
      for (const name of [diskPoint(file, operation), diskPoint("any", operation)]) {
        const rule = this.#hit(name);
        if (rule === undefined) continue;
        const { action } = rule;
        if (action.kind === "delay") return { delayMs: action.ms, code: undefined };
        if (action.kind === "error") return { delayMs: 0, code: action.code };
      }
    return { delayMs: 0, code: undefined };
  }

  #act(name: string): "continue" | "crash" | "halt" {
    if (this.#rules.size === 0) return "continue";
    const rule = this.#hit(name);
    if (rule === undefined) return "continue";
    const { kind } = rule.action;
    if (rule.action.kind === "sleep") sleepSync(rule.action.ms);
    return kind === "crash" || kind === "halt" ? kind : "continue";
  }

  /** Counts the hit; the rule when it acts now. Its first act of a kind that changes the course of things is logged, and every end. */
  #hit(name: string): FailpointRule | undefined {
    const rule = this.#rules.get(name);
    if (rule === undefined) return undefined;
    const hit = (this.#hits.get(name) ?? 0) + 1;
    this.#hits.set(name, hit);
    if (actedOn(rule, hit) === actedOn(rule, hit - 1)) return undefined;
    const { kind } = rule.action;
    if (kind === "crash" || kind === "halt" || (kind !== "sleep" && hit === rule.hit)) this.#effects.log(name, kind, hit);
    return rule;
  }
}

function actedOn({ hit, times = Infinity }: FailpointRule, hits: number): number {
  return Math.min(Math.max(0, hits - hit + 1), times);
}

/** Stalls the whole event loop, as a long garbage collection or a swapped-out page would. */
function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
