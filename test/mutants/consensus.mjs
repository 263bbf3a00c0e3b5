/** Planted bugs of the consensus room. See catalogue.mjs for what a mutant is. */
export const CONSENSUS_MUTANTS = [
  {
    id: "1",
    rule: "A follower acknowledges an entry only when it is durable.",
    edits: [
      {
        file: "zab/broadcast.ts",
        find: `core.disk.durableIndex <= following.ackedIndex) return;
  following.ackedIndex = core.disk.durableIndex;
  core.out.session(following.session, { kind: "ACK", epoch: following.epoch, durable: core.lastDurable });`,
        replace: `core.history.lastIndex <= following.ackedIndex) return;
  following.ackedIndex = core.history.lastIndex;
  core.out.session(following.session, { kind: "ACK", epoch: following.epoch, durable: core.history.last });`,
      },
    ],
  },
  {
    id: "3",
    rule: "A quorum is more than half of the voters.",
    edits: [
      { file: "zab/quorum.ts", find: "return supporters * 2 > voters;", replace: "return supporters * 2 > voters - 2;" },
      { file: "zab/quorum.ts", find: "values[values.length >> 1]", replace: "values[(values.length >> 1) - 1]" },
    ],
  },
  {
    id: "4",
    rule: "A leader counts itself only when its own disk has the entry.",
    edits: [
      {
        file: "zab/learner-tracker.ts",
        find: "return leading.current ? core.disk.durableIndex : -1;",
        replace: "return leading.current ? core.history.lastIndex : -1;",
      },
    ],
  },
  {
    id: "5",
    rule: "Acknowledgements count from members that made this epoch current, not from one that is still in an older epoch.",
    edits: [
      {
        file: "zab/learner-tracker.ts",
        find: "return learner?.current === true ? learner.durableIndex : -1;",
        replace: `return learner?.stage === "streaming" ? learner.durableIndex : -1;`,
      },
    ],
  },
  {
    id: "6",
    rule: "acceptedEpoch is durable before ACKEPOCH.",
    edits: [
      {
        file: "zab/discovery.ts",
        find: `|| disk.durableSeq < following.promiseSeq) return;
  assert(disk.durableEpochs.acceptedEpoch === following.epoch, "ACKEPOCH leaves after its promise is durable");
  assert(disk.durableIndex === history.lastIndex, "ACKEPOCH describes a durable log");`,
        replace: ") return;",
      },
    ],
  },
  {
    id: "7",
    rule: "currentEpoch is written when the synchronized history is durable, not before.",
    edits: [
      {
        file: "zab/synchronization.ts",
        find: `  following.stage = "streaming";
  following.ackedIndex`,
        replace: `  following.stage = "streaming";
  core.updateEpochs({ currentEpoch: following.epoch });
  following.ackedIndex`,
      },
    ],
  },
  {
    id: "8",
    rule: "Votes are ordered by currentEpoch first.",
    unseen: "what the election gets wrong, discovery makes good (40): only time is lost. 8+40 takes away both.",
    edits: [
      {
        file: "zab/vote.ts",
        find: "  if (a.epoch !== b.epoch) return a.epoch - b.epoch;\n",
        replace: "",
      },
    ],
  },
  {
    id: "8+40",
    rule: "An epoch's initial history is the most advanced of a quorum: by the order of votes, and by not counting a follower ahead.",
    edits: [
      // Each alone is caught by the other: what the election gets wrong, discovery notices.
      {
        file: "zab/vote.ts",
        find: "  if (a.epoch !== b.epoch) return a.epoch - b.epoch;\n  const byZxid = compareZxid(a.zxid, b.zxid);",
        replace: "  const byZxid = 0 * compareZxid(a.zxid, b.zxid);",
      },
      { file: "zab/discovery.ts", find: "if (ahead) {", replace: "if (ahead && leading.initialEpoch < 0) {" },
    ],
  },
  {
    id: "9",
    rule: "A node promises an epoch once: to a second candidate of the same epoch it says that it is not to be counted.",
    edits: [
      {
        file: "zab/discovery.ts",
        find: "currentEpoch: following.promisedBefore ? undefined : disk.durableEpochs.currentEpoch,",
        replace: "currentEpoch: disk.durableEpochs.currentEpoch,",
      },
    ],
  },
  {
    id: "10",
    rule: "The uncommitted tail of an old leader is truncated.",
    edits: [
      {
        file: "zab/synchronization.ts",
        find: `if (plan.kind === "TRUNC") core.out.session(learner.session, { kind: "TRUNC", to: from });`,
        replace: "",
      },
      { file: "zab/synchronization.ts", find: "if (!expected || !equalZxid(message.from, core.history.last))", replace: "if (!expected)" },
      {
        file: "zab/synchronization.ts",
        find: "message.epoch === following.epoch && equalZxid(message.last, core.history.last);",
        replace: "message.epoch === following.epoch;",
      },
      {
        file: "zab/broadcast.ts",
        find: "else if (!equalZxid(message.previous, history.last)) return gap(core, history.last, message.previous);",
        replace: "",
      },
    ],
  },
  {
    id: "11",
    rule: "Truncation goes to the common prefix and no further.",
    edits: [
      {
        file: "zab/synchronization.ts",
        find: `"DIFF" : "TRUNC", from: shared };`,
        replace: `"DIFF" : "TRUNC", from: equalZxid(history.zxidAt(shared), remote.last) ? shared : Math.max(shared - 1, history.baseIndex) };`,
      },
    ],
  },
  {
    id: "12",
    rule: "DIFF starts at the last common entry.",
    edits: [
      {
        file: "zab/synchronization.ts",
        find: "const from = core.history.zxidAt(plan.from);",
        replace: "const from = core.history.last;",
      },
      {
        file: "zab/synchronization.ts",
        find: "startStream(core, leading, learner, plan.kind, plan.from);",
        replace: "startStream(core, leading, learner, plan.kind, core.history.lastIndex);",
      },
    ],
  },
  {
    id: "13",
    rule: "An installed snapshot drops the old log.",
    edits: [
      {
        file: "zab/persist-queue.ts",
        find: `    this.#durableIndex = history.baseIndex;
    this.#submit({ kind: "reset", base }, nowMs, 0, undefined);`,
        replace: `    this.#durableIndex = history.baseIndex;`,
      },
    ],
  },
  {
    id: "15",
    rule: "What is proposed after the cut point goes to every follower being synchronized, also before it acknowledged NEWLEADER.",
    edits: [
      {
        file: "zab/leader.ts",
        find: "    stream(core, leading, learner, share);\n",
        replace: "    if (learner.current || !learner.newLeaderSent) stream(core, leading, learner, share);\n",
      },
      {
        file: "zab/synchronization.ts",
        find: "  learner.current = true;\n",
        replace: "  learner.current = true;\n  learner.sentIndex = core.history.lastIndex;\n",
      },
    ],
  },
  {
    id: "16",
    rule: "An entry is applied only when it is durable here.",
    edits: [
      {
        file: "zab/core.ts",
        find: "return Math.min(this.commitIndex, this.disk.durableIndex);",
        replace: "return this.commitIndex;",
      },
    ],
  },
  {
    id: "18",
    rule: "A leader that has lost its quorum gives up.",
    edits: [
      {
        file: "zab/leader.ts",
        find: "if (nowMs >= quorumContactMs(core, leading) + options.quorumLossMs && nowMs >= core.graceUntilMs) {",
        replace: "if (quorumContactMs(core, leading) === -Infinity) {",
      },
      {
        file: "zab/leader.ts",
        find: "const lossMs = Math.max(quorumContactMs(core, leading) + options.quorumLossMs, core.graceUntilMs);",
        replace: "const lossMs = Infinity;",
      },
    ],
  },
  {
    id: "37",
    rule: "While the membership changes, both the old and the new one must agree to every quorum.",
    unseen: "memberships do not change yet, so no run has two of them; the arithmetic is tested.",
    edits: [
      {
        file: "zab/quorum.ts",
        find: "return isMajority(configuration.current, supports) && (configuration.next === undefined || isMajority(configuration.next, supports));",
        replace: "return isMajority(configuration.current, supports);",
      },
      {
        file: "zab/quorum.ts",
        find: "return configuration.next === undefined ? current : Math.min(current, reachedByMajority(configuration.next, valueOf));",
        replace: "return current;",
      },
    ],
  },
  {
    id: "40",
    rule: "A follower that is ahead is not counted before the epoch's quorum is complete.",
    edits: [{ file: "zab/discovery.ts", find: "if (ahead) {", replace: "if (ahead && leading.initialEpoch < 0) {" }],
  },
  {
    id: "41",
    rule: "A leader counts itself for its epoch only when its own currentEpoch is durable.",
    edits: [
      {
        file: "zab/synchronization.ts",
        find: "(id === core.id ? leading.current : leading.learners.get(id)?.current === true)",
        replace: "id === core.id || leading.learners.get(id)?.current === true",
      },
    ],
  },
  {
    id: "42",
    rule: "A node with damage is not counted.",
    edits: [
      { file: "zab/core.ts", find: "return this.disk.submittedEpochs.damage === undefined && isVoter(", replace: "return isVoter(" },
      {
        file: "zab/discovery.ts",
        find: `return learner?.stage === "announced" && learner.damage === undefined;`,
        replace: `return learner?.stage === "announced";`,
      },
      { file: "zab/discovery.ts", find: "if (learner.damage !== undefined || message.currentEpoch", replace: "if (message.currentEpoch" },
    ],
  },
  {
    id: "44",
    rule: "A read is confirmed by a heartbeat that was sent after it arrived.",
    edits: [{ file: "zab/peer.ts", find: "role.reads.add(input.id, role.pingSeq + 1,", replace: "role.reads.add(input.id, role.pingSeq," }],
  },
  {
    id: "45",
    rule: "A follower commits at most what it has verified with this leader.",
    edits: [
      {
        file: "zab/broadcast.ts",
        find: "  if (!isVerified(following)) return;\n  const { history } = core;",
        replace: "  const { history } = core;",
      },
    ],
  },
];
