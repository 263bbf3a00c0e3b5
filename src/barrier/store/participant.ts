/**
 * Marks in the embedded key-value participant, beside the accounts that its own branches change.
 *
 * Everything goes through the participant's one-phase commit, under a gid of its own for each attempt: the marks must not exist yet
 * (`require`), are put, and the user's operations follow, as one list that is done as a whole or not at all. The participant's locks
 * hold: work that touches what a prepared branch holds waits for it, and is refused when that takes too long.
 */
import { randomBytes } from "node:crypto";
import { messageOf, newGid, QuorateError } from "../../base/index.js";
import type { KvOperation, KvParticipant } from "../../participant/kv/index.js";
import type { BarrierScope } from "../contract.js";
import { marksBelow, marksFrom } from "../keys.js";
import { StoreBarrier, type KvBarrier, type MarkStore } from "./store.js";
import { Turns } from "./turns.js";

const PREFIX = "quorate_barrier/";
const DROP_SLICE = 500;
const TURNS = new WeakMap<object, Turns>();

export function participantBarrier(till: KvParticipant): KvBarrier<KvParticipant, readonly KvOperation[]> {
  const turns = TURNS.get(till) ?? new Turns();
  TURNS.set(till, turns);
  return new StoreBarrier(new ParticipantMarks(till, turns));
}

class ParticipantMarks implements MarkStore<KvParticipant, readonly KvOperation[]> {
  readonly handle: KvParticipant;
  readonly turns: Turns;

  constructor(till: KvParticipant, turns: Turns) {
    this.handle = till;
    this.turns = turns;
  }

  async read(key: string): Promise<string | undefined> {
    const value = await this.handle.get(PREFIX + key);
    return value === undefined ? undefined : String(value);
  }

  async write(entries: readonly (readonly [string, string])[], work: readonly KvOperation[] | undefined): Promise<string | undefined> {
    return this.#commit([
      ...entries.flatMap(([key, value]): KvOperation[] => [
        // A mark is written once, whoever else might write here.
        ...(key.startsWith("m/") ? [{ op: "require", key: PREFIX + key, exists: false } as const] : []),
        { op: "put", key: PREFIX + key, value },
      ]),
      ...(work ?? []),
    ]);
  }

  async drop(scope: BarrierScope, belowMs: number): Promise<void> {
    const range = { gte: PREFIX + marksFrom(scope), lt: PREFIX + marksBelow(scope, belowMs), limit: DROP_SLICE };
    for (;;) {
      const drops: KvOperation[] = [];
      for await (const { key } of this.handle.scan(range)) drops.push({ op: "delete", key });
      const problem = drops.length === 0 ? undefined : await this.#commit(drops);
      if (problem !== undefined) throw new QuorateError("QUORATE_PARTICIPANT", `marks could not be dropped: ${problem}`, { retry: "safe" });
      if (drops.length < DROP_SLICE) return;
    }
  }

  /** Why the participant refuses, if it does. */
  async #commit(operations: readonly KvOperation[]): Promise<string | undefined> {
    const gid = newGid(Date.now(), () => randomBytes(4).readUInt32LE());
    // The participant's own fence is for calls of its own cluster; this one is nobody's and never late.
    const { epoch } = this.handle.stats();
    const result = await this.handle.commitOnePhase({ gid, branch: "barrier", payload: await payloadOf(operations), epoch });
    return result.kind === "committed" ? undefined : result.detail;
  }
}

async function payloadOf(operations: readonly KvOperation[]): Promise<Uint8Array> {
  // Whoever has such a participant has loaded this; whoever uses a database does not need it.
  const { kvPayload } = await import("../../participant/kv/index.js");
  try {
    return kvPayload(operations);
  } catch (error) {
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `barrier.kv: the function returned no good list of operations: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
