/**
 * Three functions as a participant: its prepare is their try, its commit their confirm, its roll back their cancel.
 *
 * Decides nothing of the business. What a repeated, late or overtaking call comes to is decided by the barrier, or by the functions
 * themselves where there is none.
 */
import { messageOf, nameProblem, QuorateError } from "../../base/index.js";
import type { Participant, PrepareRequest, SettleRequest, SettleResult, VoteResult } from "../contract.js";
import type { TccBarrierResult, TccCall, TccFunction, TccOptions, TccPhase } from "./api.js";
import { TccRefusal } from "./refusal.js";

const NO_PAYLOAD = new Uint8Array(0);
const YES: VoteResult = { vote: "yes", detail: "" };
const DONE: SettleResult = { kind: "done" };
const HEURISTICS = ["committed", "rolled-back", "mixed", "hazard"] as const;

/** Throws QUORATE_INVALID_ARGUMENT naming the option that is missing or wrong. */
export function tcc<Handle = undefined>(options: TccOptions<Handle>): Participant {
  const { name } = options;
  const problem = nameProblem("name", name) ?? missing({ ...options });
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `tcc: ${problem}`);
  let cluster = "";
  const run = async (
    phase: TccPhase,
    { gid, branch, epoch = 0 }: SettleRequest,
    fn: TccFunction<Handle>,
    payload: Uint8Array,
  ): Promise<TccBarrierResult> => {
    const call: TccCall = { gid, branch, phase, epoch, participant: name, cluster, payload };
    if (options.barrier !== undefined) {
      const told = { gid, branch, phase, epoch, participant: name, cluster };
      return options.barrier.call(told, async (handle) => fn(call, handle));
    }
    await fn(call, undefined as Handle);
    return { kind: "done" };
  };
  const settle = async (phase: TccPhase, request: SettleRequest, fn: TccFunction<Handle>): Promise<SettleResult> => {
    try {
      const result = await run(phase, request, fn, NO_PAYLOAD);
      return result.kind === "refused" ? { kind: "heuristic", outcome: "hazard", detail: result.detail } : DONE;
    } catch (error) {
      const outcome = heuristicOf(error);
      if (outcome === undefined) throw error;
      return { kind: "heuristic", outcome, detail: messageOf(error) };
    }
  };
  return {
    name,
    kind: "tcc",
    manifest: { asked: true, brought: true, readOnlyVote: false, kinds: ["tcc"] },
    start: (clusterId) => {
      cluster = clusterId;
      return Promise.resolve();
    },
    prepare: async (request: PrepareRequest): Promise<VoteResult> => {
      try {
        const result = await run("try", request, options.try, request.payload);
        return result.kind === "refused" ? { vote: "no", detail: result.detail } : YES;
      } catch (error) {
        if (error instanceof TccRefusal) return { vote: "no", detail: error.message };
        throw error;
      }
    },
    commit: (request) => settle("confirm", request, options.confirm),
    rollback: (request) => settle("cancel", request, options.cancel),
    // Nothing is kept here: who was tried has a record, and the leader tells it.
    listInDoubt: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  };
}

function missing(options: Readonly<Record<string, unknown>>): string | undefined {
  for (const option of ["try", "confirm", "cancel"]) {
    if (typeof options[option] !== "function") return `${option} must be a function, got ${typeof options[option]}`;
  }
  const { barrier } = options;
  if (barrier === undefined || (typeof barrier === "object" && barrier !== null && "call" in barrier)) return undefined;
  return `barrier must have a call(), as those of quorate/barrier do; got ${typeof barrier}`;
}

/** A barrier says of a call that contradicts what is done here what is in force instead. */
function heuristicOf(error: unknown): "committed" | "rolled-back" | "mixed" | "hazard" | undefined {
  if (typeof error !== "object" || error === null || !("heuristic" in error)) return undefined;
  const { heuristic } = error;
  return HEURISTICS.find((known) => known === heuristic);
}
