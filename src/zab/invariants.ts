/**
 * What must hold after every step, in production too. Constant work; a violation is a bug and stops the process.
 */
import { assert } from "../base/index.js";
import type { Core } from "./core.js";
import type { RoleState } from "./roles.js";

/** What may never go back; kept by the caller between steps. */
export interface Watermarks {
  acceptedEpoch: number;
  currentEpoch: number;
}

export function checkInvariants(core: Core, role: RoleState, seen: Watermarks): void {
  const { history, disk } = core;
  const { durableEpochs: durable, submittedEpochs: submitted } = disk;
  assert(history.baseIndex <= core.checkpointIndex, "base <= checkpoint");
  assert(core.checkpointIndex <= core.appliedIndex, "checkpoint <= applied");
  assert(core.appliedIndex <= core.deliveredIndex, "applied <= delivered");
  assert(core.deliveredIndex <= core.commitIndex, "delivered <= commit");
  assert(disk.durableIndex <= history.lastIndex, "durable <= last");
  assert(core.rebuilding || core.deliveredIndex <= disk.durableIndex, "delivered <= durable");
  assert(core.rebuilding || core.commitIndex <= history.lastIndex, "commit <= last");
  assert(durable.acceptedEpoch <= submitted.acceptedEpoch && durable.currentEpoch <= submitted.currentEpoch, "disk before memory");
  assert(submitted.currentEpoch <= submitted.acceptedEpoch, "currentEpoch <= acceptedEpoch");
  assert(durable.acceptedEpoch >= seen.acceptedEpoch && durable.currentEpoch >= seen.currentEpoch, "promises are never lowered");
  seen.acceptedEpoch = durable.acceptedEpoch;
  seen.currentEpoch = durable.currentEpoch;
  switch (role.kind) {
    case "looking":
      return;
    case "leading":
      assert(submitted.damage === undefined, "a node with damage does not lead");
      assert(role.epoch === 0 || role.epoch === submitted.acceptedEpoch, "a leader has promised its own epoch and no later one");
      assert(
        role.phase !== "broadcast" || core.commitIndex >= role.initialIndex,
        "an established leader has committed its initial history",
      );
      assert(role.phase === "broadcast" || history.lastIndex === role.initialIndex, "nothing is proposed before establishment");
      assert(!role.current || durable.currentEpoch === role.epoch, "a leader counts itself once currentEpoch is durable");
      return;
    case "following":
      assert(role.epoch === 0 || role.epoch === submitted.acceptedEpoch, "a follower follows the epoch it promised last");
      assert(role.stage !== "serving" || durable.currentEpoch === role.epoch, "a follower serves once currentEpoch is durable");
      return;
  }
}
