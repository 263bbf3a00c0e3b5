/**
 * Giving up the leadership: at once, or handed over in good order.
 *
 * A transfer stops new proposals, waits until everything proposed is committed here and durable at the successor, and then tells
 * everybody to vote for it: no timeout is waited for anywhere. The name is a hint for the election; the promises of
 * discovery decide, so a wrong one costs a round.
 */
import type { NodeId } from "../base/index.js";
import type { Core } from "./core.js";
import { mostAdvanced } from "./learner-tracker.js";
import { isVoter, votersOf } from "./quorum.js";
import type { Leading, LookReason, Transition } from "./roles.js";

export function abdicate(core: Core, leading: Leading, reason: LookReason, successor: NodeId | undefined): Transition {
  if (leading.epoch > 0) {
    for (const id of votersOf(core.configuration)) {
      if (id !== core.id) core.out.control(id, { kind: "ABDICATE", epoch: leading.epoch, successor });
    }
  }
  return { kind: "look", reason, successor };
}

export function startTransfer(core: Core, leading: Leading, to: NodeId | undefined): void {
  const possible = to === undefined ? mostAdvanced(core, leading) !== undefined : to !== core.id && isVoter(core.configuration, to);
  if (leading.phase !== "broadcast" || leading.transfer !== undefined || !possible) {
    core.out.event("transfer-refused", { to: to ?? 0 });
    return;
  }
  leading.transfer = { to, untilMs: core.nowMs + core.options.transferTimeoutMs, bumpsEpoch: false };
  core.out.event("transfer-started", { to: to ?? 0 });
}

/** Called after every step while a transfer is under way. */
export function continueTransfer(core: Core, leading: Leading): Transition | undefined {
  const { transfer } = leading;
  if (transfer === undefined) return undefined;
  const { lastIndex } = core.history;
  if (core.commitIndex === lastIndex && core.disk.durableIndex === lastIndex) {
    const learner = transfer.to === undefined ? mostAdvanced(core, leading) : leading.learners.get(transfer.to);
    const ready = transfer.bumpsEpoch || (learner?.current === true && learner.durableIndex === lastIndex);
    if (ready) {
      const successor = transfer.bumpsEpoch ? core.id : learner?.peer;
      core.out.event("transfer-done", { to: successor ?? 0, epoch: leading.epoch });
      return abdicate(core, leading, "transferred", successor);
    }
  }
  if (core.nowMs >= transfer.untilMs) {
    leading.transfer = undefined;
    core.out.event("transfer-timeout", { to: transfer.to ?? 0 });
  }
  return undefined;
}
