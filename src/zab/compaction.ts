/**
 * Which tail of the log stays in memory and on disk.
 *
 * Decides only below the durable checkpoint, never what a learner is still being sent, and rarely: an operation per checkpoint at
 * most, once a quarter more than the kept tail has gathered.
 */
import type { Core } from "./core.js";
import { dropLearner } from "./learner-tracker.js";
import type { RoleState } from "./roles.js";

const EXCESS = 1.25;

export function maybeCompact(core: Core, role: RoleState): void {
  const { history, options } = core;
  const { baseIndex, lastIndex } = history;
  const entries = lastIndex - baseIndex;
  const bytes = history.bytesBetween(baseIndex, lastIndex);
  const all = core.rarely("compact-at-once");
  if (!all && entries <= options.historyEntriesKeep * EXCESS && bytes <= options.historyBytesKeep * EXCESS) return;
  const target = Math.min(all ? lastIndex : keepFrom(core), core.checkpointIndex, core.disk.durableIndex);
  const floor = role.kind === "leading" ? releaseLearners(core, role, target) : target;
  const upTo = Math.min(target, floor);
  const worthwhile =
    all ||
    upTo - baseIndex >= options.historyEntriesKeep * (EXCESS - 1) ||
    history.bytesBetween(baseIndex, upTo) >= options.historyBytesKeep * (EXCESS - 1);
  if (upTo > baseIndex && worthwhile) core.disk.compact(upTo, core.nowMs);
}

/** The highest index whose removal leaves no more than both keep bounds allow. */
function keepFrom(core: Core): number {
  const { history, options } = core;
  const { baseIndex, lastIndex } = history;
  let index = Math.max(baseIndex, lastIndex - options.historyEntriesKeep);
  while (index < lastIndex && history.bytesBetween(index, lastIndex) > options.historyBytesKeep) index++;
  return index;
}

/**
 * The lowest index a learner still needs. One that is current but lags by the whole kept tail is let go: it comes back and is
 * synchronized, where holding the log for it would grow memory without bound. One that is being synchronized is never let go.
 */
function releaseLearners(core: Core, role: Extract<RoleState, { kind: "leading" }>, target: number): number {
  let floor = Infinity;
  for (const learner of [...role.learners.values()]) {
    if (learner.stage !== "streaming" && learner.stage !== "awaiting-snapshot") continue;
    const needs = Math.min(learner.stage === "streaming" ? learner.sentIndex : Infinity, learner.pinIndex);
    if (needs >= target) continue;
    if (learner.current) dropLearner(core, role, learner, "too-slow");
    else floor = Math.min(floor, needs);
  }
  return floor;
}
