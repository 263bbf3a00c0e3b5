import { QuorateError } from "../../base/index.js";
import type { KvOperation, KvParticipant } from "../../participant/kv/index.js";
import { levelBarrier, type LevelBarrier, type LevelStore } from "./level.js";
import { participantBarrier } from "./participant.js";
import type { KvBarrier } from "./store.js";

export type { LevelBarrier, LevelOperation, LevelStore } from "./level.js";
export type { KvBarrier } from "./store.js";

/**
 * A barrier in a `level` database, or in the embedded key-value participant of this process. The function returns the operations of
 * its batch; they become durable in one atomic write with the mark. Throws QUORATE_INVALID_ARGUMENT when it is neither.
 */
export function kvBarrier(db: KvParticipant): KvBarrier<KvParticipant, readonly KvOperation[]>;
export function kvBarrier<Db extends LevelStore>(db: Db): LevelBarrier<Db>;
export function kvBarrier(db: KvParticipant | LevelStore): unknown {
  const shape = db as Partial<KvParticipant & LevelStore>;
  if (shape.kind === "kv" && typeof shape.commitOnePhase === "function") return participantBarrier(db as KvParticipant);
  if (typeof shape.batch === "function" && typeof shape.sublevel === "function") return levelBarrier(db as LevelStore);
  throw new QuorateError("QUORATE_INVALID_ARGUMENT", "barrier.kv needs a database of `level`, or the key-value participant of quorate/kv");
}
