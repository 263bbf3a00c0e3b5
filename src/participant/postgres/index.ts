export { postgres } from "./participant.js";
export type { PostgresOptions, PostgresParticipant } from "./participant.js";
export type { PostgresHandle } from "./brought.js";
export type { Isolation } from "./context.js";
export { postgresPayload } from "./payload.js";
export type { SqlStatement } from "./payload.js";
export { createTablesSql, tablesIn } from "./schema.js";
export type { PgClient, PgPool, PgQueryConfig, PgQueryResult } from "./session.js";
export { clusterTag, formatXid, parseXid, XID_PREFIX, xidPrefix } from "./xid.js";
