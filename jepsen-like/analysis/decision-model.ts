/**
 * One transaction's decision as a sequential object: written once, read for ever. Each gid's answers must be explained by some order
 * that respects real time.
 */
import {
  checkLinearizable,
  operations,
  type HistoryEvent,
  type SequentialModel,
  type Violation,
  type WglOperation,
} from "../../src/check/index.js";

type Asked = "commit" | "abort" | "status";
/** "undecided": any state that is no decision. "forgotten": an answer that says nothing about it. */
type Told = "commit" | "abort" | "undecided" | "forgotten";
/** "some": decided, but nobody was told what. */
type State = "undecided" | "some" | "commit" | "abort";

const DECISION_MODEL: SequentialModel<State, Asked, Told> = {
  initial: "undecided",
  step: (state, asked, told) => {
    if (told === undefined) return asked === "status" ? state : state === "undecided" ? "some" : state;
    if (told === "forgotten") return state;
    if (told === "undecided") return asked === "status" && state === "undecided" ? state : undefined;
    if (state === told || state === "some") return told;
    // A request to commit may find a branch that says no; a request to abort can never be what commits.
    return state === "undecided" && asked !== "status" && (asked === "commit" || told === "abort") ? told : undefined;
  },
  key: (state) => state,
};

export interface DecisionCheck {
  readonly violations: readonly Violation[];
  /** Transactions whose answers were put in order. */
  readonly checked: number;
  /** Gids for which the search gave up: no pass. */
  readonly unknown: readonly string[];
}

/**
 * Over `decide` (value: what is asked, ok value: the decision in force) and `status`. A transaction that the cluster aborted by itself,
 * at its timeout, is told from a client's view by an answer to some request that was open at that time.
 */
export function checkDecisionOrder(history: readonly HistoryEvent[]): DecisionCheck {
  const byGid = new Map<string, WglOperation<Asked, Told>[]>();
  for (const { invoke, complete } of operations(history)) {
    if ((invoke.f !== "decide" && invoke.f !== "status") || complete?.type === "fail") continue;
    const ok = complete?.type === "ok" ? complete : undefined;
    const asked: Asked = invoke.f === "status" ? "status" : invoke.value === "abort" ? "abort" : "commit";
    // An unanswered status has done nothing.
    if (asked === "status" && ok === undefined) continue;
    const list = byGid.get(invoke.key) ?? [];
    byGid.set(invoke.key, list);
    list.push({ input: asked, output: ok === undefined ? undefined : toldBy(ok), call: invoke.index, return: ok?.index ?? Infinity });
  }
  const violations: Violation[] = [];
  const unknown: string[] = [];
  for (const [gid, list] of byGid) {
    const result = checkLinearizable(list, DECISION_MODEL);
    if (result.kind === "unknown") unknown.push(gid);
    if (result.kind !== "bad") continue;
    const stuck = result.stuck.map(({ input, output, call }) => `${input} asked at event ${call}, told ${output ?? "nothing"}`).join("; ");
    violations.push({ invariant: "I2-decision", message: `${gid}: no order of its ${list.length} requests explains this: ${stuck}` });
  }
  return { violations, checked: byGid.size, unknown };
}

function toldBy({ value }: HistoryEvent): Told {
  if (value === "commit" || value === "abort") return value;
  return value === "expired" ? "forgotten" : "undecided";
}
