/**
 * A barrier in a store of keys that one process has open: read the marks, run the function, write marks and work as one batch.
 *
 * Reading first and writing later is right here only because nobody else can be in between: all calls on one store take turns. So do
 * the functions, which therefore may read what they are about to change.
 */
import { gidTimeMs, QuorateError, type Gid } from "../../base/index.js";
import {
  checkCall,
  checkFloor,
  checkScope,
  couldNotTell,
  type Barrier,
  type BarrierCall,
  type BarrierResult,
  type BarrierScope,
} from "../contract.js";
import { markKey, stateKey } from "../keys.js";
import { decide, EXPIRED, isNewWork, stepOf, type Marks, type Step } from "../rules.js";
import type { Turns } from "./turns.js";

export interface KvBarrier<Handle = unknown, Work = unknown> extends Barrier<Handle, Work, Work> {
  call(call: BarrierCall, fn: (handle: Handle) => Promise<Work> | Work): Promise<BarrierResult<Work>>;
  /** See SqlBarrier.forgetBelow. */
  forgetBelow(floorMs: number, scope: BarrierScope): Promise<void>;
}

/** Texts by key, and how they are written together with the user's work. */
export interface MarkStore<Handle, Work> {
  readonly handle: Handle;
  /** Taken by everybody who uses the same store. */
  readonly turns: Turns;
  read(key: string): Promise<string | undefined>;
  /**
   * Writes all of it durably, or nothing. Resolves with why the store refuses the work, if it does. Rejects when that could not be told;
   * the next read then shows it.
   */
  write(entries: readonly (readonly [key: string, value: string])[], work: Work | undefined): Promise<string | undefined>;
  /** Drops marks of a scope below a time, in pieces. */
  drop(scope: BarrierScope, belowMs: number): Promise<void>;
}

export class StoreBarrier<Handle, Work> implements KvBarrier<Handle, Work> {
  readonly #store: MarkStore<Handle, Work>;

  constructor(store: MarkStore<Handle, Work>) {
    this.#store = store;
  }

  async call(call: BarrierCall, fn: (handle: Handle) => Promise<Work> | Work): Promise<BarrierResult<Work>> {
    checkCall(call);
    return this.#store.turns.take(() => this.#call(call, fn));
  }

  async forgetBelow(floorMs: number, scope: BarrierScope): Promise<void> {
    checkFloor(floorMs);
    checkScope(scope);
    await this.#store.turns.take(async () => {
      const key = stateKey(scope, "floor");
      if (floorMs > Number((await this.#store.read(key)) ?? 0)) {
        const problem = await this.#store.write([[key, String(floorMs)]], undefined);
        if (problem !== undefined)
          throw new QuorateError("QUORATE_PARTICIPANT", `the floor could not be stored: ${problem}`, { retry: "safe" });
      }
      await this.#store.drop(scope, floorMs);
    });
  }

  async #call(call: BarrierCall, fn: (handle: Handle) => Promise<Work> | Work): Promise<BarrierResult<Work>> {
    const marks = await this.#marks(call);
    const floorMs = await this.#number(call, "floor");
    const below = gidTimeMs(call.gid as Gid) < floorMs;
    const step = stepOf(call.phase);
    const decision = decide(call, marks, below);
    if (decision.kind === "answer") return decision.result;
    const entries: [string, string][] = [[markKey(call, decision.slot), step]];
    if (decision.kind === "mark") {
      const problem = await this.#write(call, entries, undefined);
      if (problem !== undefined) throw couldNotTell(call, problem);
      return { kind: "done" };
    }
    if (isNewWork(step)) {
      if (below) return { kind: "refused", detail: EXPIRED };
      const epoch = await this.#number(call, "epoch");
      if (call.epoch < epoch) throw couldNotTell(call, `fenced: the call is of epoch ${call.epoch}, and epoch ${epoch} was seen`);
      if (call.epoch > epoch) entries.push([stateKey(call, "epoch"), String(call.epoch)]);
    }
    const value = await fn(this.#store.handle);
    if (!Array.isArray(value))
      throw new QuorateError("QUORATE_INVALID_ARGUMENT", "barrier.kv: the function must return the list of operations of its batch");
    const problem = await this.#write(call, entries, value);
    if (problem === undefined) return { kind: "done", value };
    // New work that the store refuses is a no. A decision has to be carried out, so it comes again.
    if (isNewWork(step)) return { kind: "refused", detail: problem };
    throw couldNotTell(call, `the store refused the work: ${problem}`);
  }

  async #marks(call: BarrierCall): Promise<Marks> {
    if (stepOf(call.phase) === "once") return { once: (await this.#store.read(markKey(call, "once"))) as Step | undefined };
    return {
      start: (await this.#store.read(markKey(call, "start"))) as Step | undefined,
      end: (await this.#store.read(markKey(call, "end"))) as Step | undefined,
    };
  }

  async #number(scope: BarrierScope, kind: "epoch" | "floor"): Promise<number> {
    return Number((await this.#store.read(stateKey(scope, kind))) ?? 0);
  }

  async #write(call: BarrierCall, entries: readonly (readonly [string, string])[], work: Work | undefined): Promise<string | undefined> {
    try {
      return await this.#store.write(entries, work);
    } catch (error) {
      if (error instanceof QuorateError) throw error;
      throw couldNotTell(call, "the batch of mark and work could not be written", error);
    }
  }
}
