export { redisBarrier, RedisWorkError } from "./barrier.js";
export type { RedisBarrier, RedisBarrierOptions } from "./barrier.js";
export type { IoRedisClient, NodeRedisClient, RedisClient, RedisReply } from "./client.js";
export type { RedisCommand, RedisWork } from "./script.js";
