/**
 * Phase 3: proposals out, acknowledgements in, commits in order.
 *
 * The log itself is the send queue: each learner has a position in it, and a drain cuts everything after that position into PROPOSE
 * messages, so many proposals of one turn become one message and a learner's stream has no gap from its cut point on. Learners at
 * the same position share the message object. An entry is committed when a quorum holds it durably, the leader counted only once its own
 * disk has it (etcd #14370).
 */
import { compareZxid, equalZxid, formatZxid, must, zxid, type Zxid } from "../base/index.js";
import type { Core } from "./core.js";
import { isSuccessor } from "./history.js";
import { dropLearner, quorumDurableIndex } from "./learner-tracker.js";
import type { SessionMessage } from "./message.js";
import type { Following, Leading, Learner, Transition } from "./roles.js";

type Of<K extends SessionMessage["kind"]> = Extract<SessionMessage, { readonly kind: K }>;

// ---- leader

/** Appends one entry per payload. The caller has checked that this leader is established and has room. */
export function appendProposals(core: Core, leading: Leading, payloads: readonly Uint8Array[]): Zxid {
  const { history } = core;
  const { epoch } = leading;
  const { last } = history;
  let counter = last.epoch === epoch ? last.counter : 0;
  const first = zxid(epoch, counter + 1);
  for (const payload of payloads) history.append({ zxid: zxid(epoch, ++counter), payload });
  return first;
}

/** Sends a learner everything it may have now. `share` carries the last message built, for learners at the same position. */
export function stream(core: Core, leading: Leading, learner: Learner, share: { message: Of<"PROPOSE"> | undefined; after: number }): void {
  const { history, options } = core;
  while (learner.sentIndex < history.lastIndex) {
    const windowEnd = learner.durableIndex + options.uncommittedEntriesMax;
    const inFlight = history.bytesBetween(Math.max(learner.durableIndex, history.baseIndex), learner.sentIndex);
    if (learner.sentIndex >= windowEnd || inFlight >= options.uncommittedBytesMax) break;
    const after = learner.sentIndex;
    const upTo = core.rarely("one-entry-per-propose") ? after + 1 : Math.min(history.cut(after, options.batchBytesMax), windowEnd);
    let { message } = share;
    if (message === undefined || share.after !== after || message.entries.length !== upTo - after) {
      message = {
        kind: "PROPOSE",
        epoch: leading.epoch,
        previous: history.zxidAt(after),
        entries: history.slice(after, upTo),
        commit: core.committed,
      };
      share.message = message;
      share.after = after;
    }
    core.out.session(learner.session, message);
    learner.sentIndex = upTo;
    learner.commitSentIndex = core.commitIndex;
  }
  if (learner.upToDateSent && core.commitIndex > learner.commitSentIndex && !core.rarely("commit-withheld")) {
    learner.commitSentIndex = core.commitIndex;
    core.out.session(learner.session, { kind: "COMMIT", epoch: leading.epoch, commit: core.committed });
  }
}

export function onAck(core: Core, leading: Leading, learner: Learner, message: Of<"ACK">): Transition | undefined {
  if (learner.stage !== "streaming" || message.epoch !== leading.epoch) return dropLearner(core, leading, learner, "protocol");
  const index = core.history.indexOf(message.durable);
  // Unknown: acknowledged so long ago that it is compacted. An answer to something never sent is a protocol error.
  if (index === undefined || index <= learner.durableIndex) return undefined;
  if (index > learner.sentIndex) return dropLearner(core, leading, learner, "protocol");
  learner.durableIndex = index;
  advanceCommit(core, leading);
  return undefined;
}

export function advanceCommit(core: Core, leading: Leading): void {
  // Entries of earlier epochs are committed by establishment alone; after it, every index is at or above the initial history.
  if (leading.phase === "broadcast") core.commitUpTo(Math.max(quorumDurableIndex(core, leading), core.commitIndex));
}

// ---- follower

/** Its log is a prefix of the leader's from here on. */
function isVerified(following: Following): boolean {
  switch (following.stage) {
    case "streaming":
    case "history-syncing":
    case "epoch-syncing":
    case "acknowledged":
    case "serving":
      return true;
    default:
      return false;
  }
}

export function onPropose(core: Core, following: Following, message: Of<"PROPOSE">): Transition | undefined {
  if (!isVerified(following) || message.epoch !== following.epoch) return { kind: "look", reason: "sync-mismatch" };
  const { history } = core;
  const { entries } = message;
  if (entries.length > 0) {
    const end = must(entries[entries.length - 1], "last proposal").zxid;
    if (history.indexOf(end) !== undefined) core.out.event("duplicate-propose", { last: formatZxid(end) });
    else if (!equalZxid(message.previous, history.last)) return gap(core, history.last, message.previous);
    else {
      for (const entry of entries) {
        if (!isSuccessor(history.last, entry.zxid) || entry.zxid.epoch > following.epoch) return gap(core, history.last, entry.zxid);
        history.append(entry);
      }
    }
  }
  learnCommit(core, following, message.commit);
  return undefined;
}

export function onCommit(core: Core, following: Following, message: Of<"COMMIT">): Transition | undefined {
  if (!isVerified(following) || message.epoch !== following.epoch) return { kind: "look", reason: "sync-mismatch" };
  learnCommit(core, following, message.commit);
  return undefined;
}

/**
 * The leader says it committed up to here. Invariant: a follower commits at most the last entry it verified with this leader, never
 * "as far as my own log goes" while its tail may be another leader's (scylla #9965).
 */
export function learnCommit(core: Core, following: Following, commit: Zxid): void {
  if (!isVerified(following)) return;
  const { history } = core;
  const index = compareZxid(commit, history.last) >= 0 ? history.lastIndex : history.indexOf(commit);
  if (index !== undefined) core.commitUpTo(index);
}

/** One cumulative acknowledgement per drain. Before ACKNEWLEADER it only moves the leader's send window. */
export function acknowledge(core: Core, following: Following): void {
  if (core.disk.durableIndex > following.ackedIndex && core.rarely("ack-withheld")) return;
  if (!isVerified(following) || core.disk.durableIndex <= following.ackedIndex) return;
  following.ackedIndex = core.disk.durableIndex;
  core.out.session(following.session, { kind: "ACK", epoch: following.epoch, durable: core.lastDurable });
}

function gap(core: Core, expected: Zxid, got: Zxid): Transition {
  core.out.event("session-gap", { expected: formatZxid(expected), got: formatZxid(got) });
  return { kind: "look", reason: "session-gap" };
}
