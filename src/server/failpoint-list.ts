/**
 * Every failpoint and what is true when it is reached. The names are those of the replica's and the storage's write paths.
 */
import type { FailpointName as ReplicaFailpoint } from "../replica/index.js";
import type { FailpointName as StorageFailpoint } from "../storage/index.js";

const REPLICA: Readonly<Record<ReplicaFailpoint, string>> = {
  "begin-propose": "leader: a BEGIN is about to be proposed; nothing is in the log yet",
  "prepare-send": "leader: a PREPARE is about to be sent to a participant",
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
  "log.sync.before": "written entries are about to be synced",
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

export const FAILPOINT_MEANINGS: Readonly<Record<string, string>> = { ...REPLICA, ...STORAGE };
