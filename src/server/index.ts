export { FAILPOINT_MEANINGS } from "./failpoint-list.js";
export { Failpoints, parseFailpoints } from "./failpoints.js";
export type { FailpointAction, FailpointRule } from "./failpoints.js";
export { createLogger } from "./logging.js";
export { startNode } from "./node.js";
export type { NodeOptions, RunningNode } from "./node.js";
export { runNode } from "./process.js";
