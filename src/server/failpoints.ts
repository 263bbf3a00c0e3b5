/**
 * Named points where a fault test may end, freeze or slow this process. Inert unless QUORATE_ENABLE_FAILPOINTS=1.
 *
 * `QUORATE_FAILPOINTS="decision-applied=crash;checkpoint-start=sleep(200)@3"`: a list of `name=action[@n]` separated by semicolons, where
 * n is the hit, counted from 1, at which the rule begins to act.
 */
import { QuorateError } from "../base/index.js";
import { FAILPOINT_MEANINGS } from "./failpoint-list.js";

export type FailpointAction = { readonly kind: "crash" | "halt" | "off" } | { readonly kind: "sleep"; readonly ms: number };

export interface FailpointRule {
  readonly name: string;
  readonly action: FailpointAction;
  readonly hit: number;
}

const RULE = /^([a-z0-9.-]+)=(crash|halt|off|sleep\((\d{1,6})\))(?:@(\d{1,9}))?$/;

/** Throws QUORATE_CONFIG naming the rule that is wrong. */
export function parseFailpoints(text: string): readonly FailpointRule[] {
  return text
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseRule);
}

function parseRule(text: string): FailpointRule {
  const match = RULE.exec(text);
  if (match === null)
    throw new QuorateError(
      "QUORATE_CONFIG",
      `failpoint ${JSON.stringify(text)} must be name=crash|halt|off|sleep(ms), with @n for the n-th hit`,
    );
  const [, name = "", action = "", ms, hit] = match;
  if (!Object.hasOwn(FAILPOINT_MEANINGS, name))
    throw new QuorateError("QUORATE_CONFIG", `unknown failpoint ${JSON.stringify(name)}; \`quorate config print --failpoints\` lists all`);
  if (hit === "0") throw new QuorateError("QUORATE_CONFIG", `failpoint ${JSON.stringify(text)}: hits are counted from 1`);
  return {
    name,
    action: ms === undefined ? { kind: action as "crash" | "halt" | "off" } : { kind: "sleep", ms: Number(ms) },
    hit: hit === undefined ? 1 : Number(hit),
  };
}

/** How long a crash waits so that what was sent before the point really leaves: the kill must look like one at exactly that point. */
const CRASH_DELAY_MS = 10;

export interface FailpointEffects {
  /** Ends the process without any clean-up. */
  readonly kill: () => void;
  readonly log: (name: string, action: string, hit: number) => void;
}

export class Failpoints {
  readonly #effects: FailpointEffects;
  readonly #rules = new Map<string, FailpointRule>();
  readonly #hits = new Map<string, number>();

  constructor(effects: FailpointEffects) {
    this.#effects = effects;
  }

  /** Adds rules; `off` removes one. Hits are counted from now. */
  set(rules: readonly FailpointRule[]): void {
    for (const rule of rules) {
      this.#hits.delete(rule.name);
      if (rule.action.kind === "off") this.#rules.delete(rule.name);
      else this.#rules.set(rule.name, rule);
    }
  }

  /** The rules in force, for people. */
  list(): readonly FailpointRule[] {
    return [...this.#rules.values()];
  }

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

  #act(name: string): "continue" | "crash" | "halt" {
    if (this.#rules.size === 0) return "continue";
    const rule = this.#rules.get(name);
    if (rule === undefined) return "continue";
    const hit = (this.#hits.get(name) ?? 0) + 1;
    this.#hits.set(name, hit);
    if (hit < rule.hit || rule.action.kind === "off") return "continue";
    if (rule.action.kind === "sleep") {
      sleepSync(rule.action.ms);
      return "continue";
    }
    this.#effects.log(name, rule.action.kind, hit);
    return rule.action.kind;
  }
}

/** Stalls the whole event loop, as a long garbage collection or a swapped-out page would. */
function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
