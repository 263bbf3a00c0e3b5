/**
 * Every failpoint and what is true when it is reached. The names are those of the replica's and the storage's write paths.
 */
import type { FailpointName as ReplicaFailpoint } from "../replica/index.js";
import type { FailpointName as StorageFailpoint } from "../storage/index.js";
import type { MessagePoint } from "./message-faults.js";

const REPLICA: Readonly<Record<ReplicaFailpoint, string>> = {
  "begin-propose": "leader: a BEGIN is about to be proposed; nothing is in the log yet",
  "prepare-send": "leader: a PREPARE is about to be sent to a participant",
  "one-phase-send": "leader: a delegated BEGIN is applied, the one-phase commit is about to be sent to its participant",
  "decision-propose": "leader: every vote is in, the decision is about to be proposed",
  "decision-applied": "leader: the decision is committed and applied; nobody has been told",
  "commit-send-first": "leader: the first commit call of this process is about to be sent",
  "commit-send-second": "leader: one participant has been told to commit, the second is about to be",
  "client-answer": "leader: the decision is about to be answered to the client",
  "done-propose": "leader: acknowledgements are about to be proposed as DONE",
  "forget-propose": "leader: finished outcomes are about to be forgotten",
  establish: "new leader: every earlier entry is applied; it has not begun to serve",
  "checkpoint-start": "any node: a checkpoint of the state is about to be written",
  "snapshot-install": "follower: a leader's snapshot is about to be fetched and installed",
};

const STORAGE: Readonly<Record<StorageFailpoint, string>> = {
  "log.append.before": "entries are about to be written to the log",
  "log.append.after": "entries are written and not synced",
  "log.truncate.before": "entries are about to be cut off the end of the log",
  "log.truncate.after": "entries were cut off the end of the log",
  "log.sync.before": "entries are about to be written and synced",
  "log.sync.after": "entries are durable; nobody has been told",
  "log.roll.before": "a new segment is about to be begun",
  "log.roll.after": "a new segment has been begun",
  "log.reset.before": "the log is about to be emptied after a snapshot",
  "log.reset.after": "the log was emptied after a snapshot",
  "log.compact.before": "old segments are about to be removed",
  "log.compact.after": "old segments were removed",
  "epochs.write.before": "a promise (accepted or current epoch) is about to be made durable",
  "epochs.write.after": "the promise is durable; nobody has been told",
  "checkpoint.write.before": "a checkpoint's batch is about to be written",
  "checkpoint.write.after": "the checkpoint is durable; the log is not compacted",
  "install.switch.before": "a fetched snapshot is complete and about to become the state",
  "install.switch.after": "the fetched snapshot is the state; the log is not reset",
};

/** Files that a disk rule can be about. The state store's own files belong to LevelDB and are out of its reach. */
export const DISK_FILES = ["log", "epochs", "mark", "witness", "any"] as const;
export type DiskFile = (typeof DISK_FILES)[number];
/** Names: creating, renaming and removing files, and making that durable. */
export const DISK_OPERATIONS = ["write", "sync", "names"] as const;
export type DiskOperation = (typeof DISK_OPERATIONS)[number];

const DISK_FILE_WORDS: Readonly<Record<DiskFile, string>> = {
  log: "a segment of the log",
  epochs: "the promises record",
  mark: "the log's synced mark",
  witness: "the state's witness",
  any: "any file of the node's own (not LevelDB's)",
};
const DISK_OPERATION_WORDS: Readonly<Record<DiskOperation, (file: string) => string>> = {
  write: (file) => `disk: bytes are about to be written to ${file}`,
  sync: (file) => `disk: ${file} is about to be synced`,
  names: (file) => `disk: the name of ${file} is about to be made, changed, removed or made durable`,
};

/** Not reached but in force: see src/server/volatile-cache.ts. */
export const DISK_CACHE = "disk.cache";
export const DISK_CANARY = "disk.canary";

const DISK: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    DISK_FILES.flatMap((file) =>
      DISK_OPERATIONS.map((operation) => [diskPoint(file, operation), DISK_OPERATION_WORDS[operation](DISK_FILE_WORDS[file])]),
    ),
  ),
  [DISK_CACHE]: "disk: while it is `hold`, what was not synced dies with the process, as with a machine that loses its power",
  [DISK_CANARY]: "disk: `write` makes one synced and one unsynced file beside the data folder, which show after a cut what it lost",
};

export function diskPoint(file: DiskFile, operation: DiskOperation): string {
  return `disk.${file}.${operation}`;
}

/** Not points of the code but ways of messages. */
const MESSAGES: Readonly<Record<MessagePoint, string>> = {
  "message.call": "messages: a call to prepare, commit, roll back or commit in one phase is on its way to a participant",
  "message.reply": "messages: a participant's answer to a call has arrived",
  "message.inquiry": "messages: a participant's question about a branch in doubt has arrived",
  "message.inquiry-answer": "messages: the answer to such a question is on its way",
  "message.control": "messages: NOTIFY, PING, PONG or ABDICATE is on its way to another node",
};

export const FAILPOINT_MEANINGS: Readonly<Record<string, string>> = { ...REPLICA, ...STORAGE, ...DISK, ...MESSAGES };
