export { openStorage } from "./open-storage.js";
export type { Storage, StorageMetrics, StorageOptions, StorageState } from "./open-storage.js";
export type { Failpoint, FailpointName, LogPosition } from "./identity.js";
export type { LogMetrics } from "./log-writer.js";
export type { FetchSnapshot, SnapshotChunk, SnapshotEnd, SnapshotEntry } from "./snapshot.js";
export type { PinnedSnapshot, StateMetrics } from "./state-store.js";
export { nodeDisk } from "./disk.js";
export type { Disk, Done as DiskDone, OpenFlags } from "./disk.js";
