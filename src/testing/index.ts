export { findPostgres } from "./postgres-binaries.js";
export { startPostgres } from "./postgres-server.js";
export type { PostgresServer, PostgresServerOptions } from "./postgres-server.js";
