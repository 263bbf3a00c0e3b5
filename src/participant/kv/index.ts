export { kv } from "./participant.js";
export type { KvBranchView, KvEntry, KvOptions, KvParticipant, KvRange, KvStats } from "./participant.js";
export { decodeKvPayload, KV_KEY_BYTES_MAX, KV_OPERATIONS_MAX, KV_VALUE_BYTES_MAX, kvPayload } from "./operation.js";
export type { KvOperation, KvValue } from "./operation.js";
