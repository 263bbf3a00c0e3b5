/** One command on a Redis client of the user's, known by its shape: `redis` (node-redis) or `ioredis`. */
import { QuorateError } from "../../base/index.js";

export type RedisArgument = string | Buffer;
/** As the client hands replies out. */
export type RedisReply = unknown;

/** A connected client of the `redis` package. */
export interface NodeRedisClient {
  sendCommand(args: RedisArgument[]): Promise<unknown>;
}

/** A client of the `ioredis` package. */
export interface IoRedisClient {
  call(command: string, ...args: RedisArgument[]): Promise<unknown>;
}

export type RedisClient = NodeRedisClient | IoRedisClient;
export type Send = (args: readonly RedisArgument[]) => Promise<RedisReply>;

export function senderOf(client: RedisClient): Send {
  const shape = client as Partial<NodeRedisClient & IoRedisClient> & { readonly slots?: unknown; readonly nodes?: unknown };
  if (shape.slots !== undefined || typeof shape.nodes === "function")
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      "barrier.redis: this is a client of a Redis Cluster, where marks and accounts may lie on different nodes; give it a client of one server",
    );
  // ioredis has a sendCommand too, which takes something else; only it has `call`.
  if (typeof shape.call === "function") {
    const { call } = shape;
    return async ([command = "", ...args]) => call.call(shape, String(command), ...args);
  }
  if (typeof shape.sendCommand === "function") {
    const { sendCommand } = shape;
    return async (args) => sendCommand.call(shape, [...args]);
  }
  throw new QuorateError("QUORATE_INVALID_ARGUMENT", "barrier.redis needs a client of the package redis or ioredis");
}
