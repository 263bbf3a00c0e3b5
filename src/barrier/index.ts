import { kvBarrier } from "./store/index.js";
import { redisBarrier } from "./redis/index.js";
import { sqlBarrier } from "./sql/barrier.js";

export { BARRIER_PHASES, BarrierHazard } from "./contract.js";
export type { Barrier, BarrierCall, BarrierPhase, BarrierResult, BarrierScope } from "./contract.js";
export type { HandleOf, SqlBarrier, SqlBarrierOptions } from "./sql/barrier.js";
export type {
  BarrierIsolation,
  BarrierMysqlConnection,
  BarrierMysqlPool,
  BarrierPgClient,
  BarrierPgPool,
  BarrierPool,
} from "./sql/pool.js";
export type { KvBarrier, LevelBarrier, LevelOperation, LevelStore } from "./store/index.js";
export { RedisWorkError } from "./redis/index.js";
export type { RedisBarrier, RedisBarrierOptions, RedisClient, RedisCommand, RedisReply, RedisWork } from "./redis/index.js";

/**
 * `barrier({ pool })`: in a database, with `call`, `within`, `createTable`. `barrier.kv(db)`: in a level database or the embedded
 * key-value participant. `barrier.redis(client)`: in Redis.
 */
export const barrier = Object.assign(sqlBarrier, { kv: kvBarrier, redis: redisBarrier });
