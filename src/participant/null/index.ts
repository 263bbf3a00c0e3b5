/**
 * A participant that makes nothing durable: it votes yes and acknowledges at once. For benchmarks only, to measure the coordinator
 * alone. It breaks the contract on purpose (its yes is forgotten by a crash), so the client library does not export it.
 */
import { nameProblem, QuorateError } from "../../base/index.js";
import type { Participant, SettleResult, VoteResult } from "../contract.js";

const YES: Promise<VoteResult> = Promise.resolve({ vote: "yes", detail: "" });
const DONE: Promise<SettleResult> = Promise.resolve({ kind: "done" });

export function nullParticipant(name: string): Participant {
  const problem = nameProblem("participant", name);
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
  return {
    name,
    kind: "null",
    manifest: { asked: true, brought: false, readOnlyVote: false },
    start: () => Promise.resolve(),
    prepare: () => YES,
    commit: () => DONE,
    rollback: () => DONE,
    listInDoubt: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  };
}
