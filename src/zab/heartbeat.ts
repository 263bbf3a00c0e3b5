/**
 * PING and PONG: proof of life both ways, the commit for idle followers, and the rounds that confirm reads.
 *
 * They travel on the control lane and so never wait behind bulk.
 */
import type { NodeId } from "../base/index.js";
import { learnCommit } from "./broadcast.js";
import type { Core } from "./core.js";
import { extendDeadline, isTrusted, quorumPongSeq } from "./learner-tracker.js";
import type { ControlMessage } from "./message.js";
import type { Following, Leading } from "./roles.js";

type Of<K extends ControlMessage["kind"]> = Extract<ControlMessage, { readonly kind: K }>;

/** One round: a fresh number to every follower that has promised this epoch. */
export function sendPing(core: Core, leading: Leading): void {
  leading.pingSeq++;
  leading.pingAtMs = core.nowMs + core.options.pingIntervalMs;
  leading.reads.roundSent();
  const message: Of<"PING"> = { kind: "PING", epoch: leading.epoch, seq: leading.pingSeq, commit: core.committed };
  for (const learner of leading.learners.values()) {
    if (learner.log !== undefined) core.out.control(learner.peer, message);
  }
  confirmReads(core, leading);
}

/** Follower: answers only while its promise is to this leader's epoch. */
export function onPing(core: Core, following: Following, from: NodeId, message: Of<"PING">): void {
  const { stage } = following;
  if (from !== following.leader || message.epoch !== following.epoch) return;
  if (stage === "connecting" || stage === "awaiting-epoch" || stage === "promising") return;
  if (core.disk.durableEpochs.acceptedEpoch !== message.epoch) return;
  following.detector.heartbeat(core.nowMs);
  learnCommit(core, following, message.commit);
  core.out.control(from, { kind: "PONG", epoch: message.epoch, seq: message.seq, durable: core.lastDurable });
}

export function onPong(core: Core, leading: Leading, from: NodeId, message: Of<"PONG">): void {
  const learner = leading.learners.get(from);
  if (learner?.log === undefined || message.epoch !== leading.epoch || message.seq > leading.pingSeq) return;
  heardFrom(core, leading, from);
  if (message.seq <= learner.pongSeq) return;
  learner.pongSeq = message.seq;
  if (learner.stage === "awaiting-snapshot" || learner.stage === "streaming") extendDeadline(core, learner);
  confirmReads(core, leading);
}

/** A node with damage keeps nobody in office. */
export function heardFrom(core: Core, leading: Leading, peer: NodeId): void {
  if (isTrusted(leading.learners.get(peer))) leading.contacts.set(peer, core.nowMs);
}

function confirmReads(core: Core, leading: Leading): void {
  if (leading.phase === "broadcast") leading.reads.confirmed(quorumPongSeq(core, leading), core.out);
}
