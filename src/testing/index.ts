export { findMariadb } from "./mariadb-binaries.js";
export { startMariadb } from "./mariadb-server.js";
export type { MariadbServer, MariadbServerOptions } from "./mariadb-server.js";
export { findPostgres } from "./postgres-binaries.js";
export { startPostgres } from "./postgres-server.js";
export type { PostgresServer, PostgresServerOptions } from "./postgres-server.js";
export { findRedis } from "./redis-binaries.js";
export { startRedis } from "./redis-server.js";
export type { RedisServer } from "./redis-server.js";
