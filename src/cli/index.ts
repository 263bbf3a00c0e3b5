export { errorsDocument, EXIT, EXIT_MEANINGS, exitCodeOf } from "./exit-codes.js";
export type { ExitCode } from "./exit-codes.js";
export { LocalCluster, PROGRAM } from "./local-cluster.js";
export type { LocalClusterOptions, LocalNode, NodeExit, Readiness } from "./local-cluster.js";
export { main } from "./main.js";
export { findPortBlock, isFree, portsAt } from "./ports.js";
export type { NodePorts, PortBlock } from "./ports.js";
