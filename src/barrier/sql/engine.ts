/**
 * One barrier call inside one SQL transaction.
 *
 * The mark is inserted before the function runs and in the same transaction, so of two calls for one slot the second waits at the key
 * until the first has ended: then it finds the mark, or, when that call failed, does the work itself. Nothing is read first and
 * written later, except that a try which is committed stays so: a confirm reads it and then inserts its own mark.
 */
import { gidTimeMs, type Gid } from "../../base/index.js";
import { couldNotTell, type BarrierCall, type BarrierResult } from "../contract.js";
import { decide, EXPIRED, isNewWork, stepOf, type Marks, type Slot, type Step } from "../rules.js";
import { markDelete, type Claim, type Dialect, type SqlRunner, type Tables } from "./dialect.js";
import type { SeenEpochs } from "./seen-epochs.js";

export interface Engine {
  readonly dialect: Dialect;
  readonly tables: Tables;
  readonly seen: SeenEpochs;
}

/** Runs a call on an open transaction, which the caller commits when this resolves and rolls back when it rejects. */
export async function runCall<Value>(
  engine: Engine,
  runner: SqlRunner,
  call: BarrierCall,
  fn: () => Promise<Value> | Value,
): Promise<BarrierResult<Value>> {
  const step = stepOf(call.phase);
  const found = isNewWork(step)
    ? await claimNewWork(engine, runner, call, step)
    : step === "confirm"
      ? await claimConfirm(engine, runner, call)
      : await claimCancel(engine, runner, call);
  if ("result" in found) {
    if (found.result.kind === "duplicate") await engine.dialect.harden(runner, engine.tables, call);
    return found.result;
  }
  const value = await fn();
  const problem = await engine.dialect.stillOpen(runner, engine.tables, call, found.slot, found.claim);
  if (problem !== undefined) throw couldNotTell(call, problem);
  return { kind: "done", value };
}

/** A slot to do the work of, or the call's answer. */
type Found = { readonly slot: Slot; readonly claim: Claim } | { readonly result: Exclude<BarrierResult<never>, { value: unknown }> };

const REMEMBERED: Found = { result: { kind: "done" } };

async function claimNewWork(engine: Engine, runner: SqlRunner, call: BarrierCall, step: Step): Promise<Found> {
  const { dialect, tables } = engine;
  const slot: Slot = step === "once" ? "once" : "start";
  const claim = await dialect.claim(runner, tables, call, slot, step);
  if (claim === undefined) return answerOf(engine, runner, call);
  // After the insert: a mark that was dropped, and whose key was therefore free, is below a floor that this read sees.
  const state = await dialect.readState(runner, tables, call);
  const below = gidTimeMs(call.gid as Gid) < state.floorMs;
  const highest = engine.seen.raise(call, Math.max(state.epoch, call.epoch));
  if (!below && call.epoch >= highest) {
    if (call.epoch > state.epoch) await dialect.raiseEpoch(runner, tables, call, call.epoch);
    return { slot, claim };
  }
  // The caller may commit what else is in its transaction: a mark without its work must not be among it.
  await runner.run(markDelete(tables, call, slot));
  if (below) return { result: { kind: "refused", detail: EXPIRED } };
  throw couldNotTell(call, `fenced: the call is of epoch ${call.epoch}, and epoch ${highest} was seen`);
}

async function claimConfirm(engine: Engine, runner: SqlRunner, call: BarrierCall): Promise<Found> {
  const { dialect, tables } = engine;
  if ((await dialect.readMark(runner, tables, call, "start")) !== "try") return answerOf(engine, runner, call);
  const claim = await dialect.claim(runner, tables, call, "end", "confirm");
  return claim === undefined ? answerOf(engine, runner, call) : { slot: "end", claim };
}

async function claimCancel(engine: Engine, runner: SqlRunner, call: BarrierCall): Promise<Found> {
  const { dialect, tables } = engine;
  // An empty cancel leaves its mark in the try's own slot: the try that comes late finds it taken.
  if ((await dialect.claim(runner, tables, call, "start", "cancel")) !== undefined) return REMEMBERED;
  if ((await dialect.readMark(runner, tables, call, "start")) !== "try") return answerOf(engine, runner, call);
  const claim = await dialect.claim(runner, tables, call, "end", "cancel");
  return claim === undefined ? answerOf(engine, runner, call) : { slot: "end", claim };
}

/** What to say of a call that has nothing to claim. The marks are there, or were dropped a moment ago. */
async function answerOf(engine: Engine, runner: SqlRunner, call: BarrierCall): Promise<Found> {
  const { dialect, tables } = engine;
  const step = stepOf(call.phase);
  const read = (slot: Slot): Promise<Step | undefined> => dialect.readMark(runner, tables, call, slot);
  const marks: Marks = step === "once" ? { once: await read("once") } : { start: await read("start"), end: await read("end") };
  const missing = step === "confirm" && marks.start === undefined && marks.end === undefined;
  const below = missing && gidTimeMs(call.gid as Gid) < (await dialect.readState(runner, tables, call)).floorMs;
  const decision = decide(call, marks, below);
  if (decision.kind === "answer") return { result: decision.result };
  throw couldNotTell(call, "the mark that took this call's place is gone: it was dropped below the floor just now, or deleted by hand");
}
