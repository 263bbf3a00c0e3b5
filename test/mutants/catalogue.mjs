/**
 * Planted bugs: each is the smallest edit of the sources that breaks one rule of the protocol. The simulator must notice every one.
 *
 * An edit replaces a text that occurs exactly once in its file. When the sources change and an edit no longer fits, the run fails and
 * the edit is brought up to date: a mutant that cannot be planted proves nothing.
 */
export const MUTANTS = [
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
    id: "2",
    rule: "A client is told a decision only when its record is committed and applied.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: `decision: "commit", reason: undefined, detail: "", yes, readOnly });`,
        replace: `decision: "commit", reason: undefined, detail: "", yes, readOnly });
    this.answerWaiters(drive, ({ kind }) =>
      kind === "commit" ? { kind: "decided", gid, decision: "commit", reason: undefined, detail: "", zxid: { epoch: 0, counter: 0 } } : undefined,
    );`,
      },
      // The answer must not give itself away by its zxid.
      {
        file: "sim/workload.ts",
        find: "{ decision: answer.decision, more: { zxid: `${answer.zxid.epoch}:${answer.zxid.counter}` } }",
        replace: "{ decision: answer.decision, more: {} }",
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
    id: "14",
    rule: "A checkpoint holds the memory of answered requests.",
    edits: [
      {
        file: "replica/replica.ts",
        find: "for (const change of changes) yield",
        replace: `for (const change of changes) if (change.kind !== "client") yield`,
      },
    ],
  },
  {
    id: "16",
    rule: "An entry is applied only when it is durable here.",
    edits: [
      {
        file: "zab/core.ts",
        find: "const upTo = Math.min(this.commitIndex, this.disk.durableIndex);",
        replace: "const upTo = this.commitIndex;",
      },
    ],
  },
  {
    id: "17",
    rule: "A deposed leader does not answer reads from its own state.",
    edits: [
      {
        file: "replica/replica.ts",
        find: `        const id = this.#reads.add(session, request, body);
        this.#zab.step({ kind: "read", id }, now);`,
        replace: "        this.#coordinator.request(session, request, body, now);",
      },
    ],
  },
  {
    id: "19",
    rule: "The first decision in the log wins, whatever else is proposed.",
    edits: [
      // The driver holds back a second decision itself; without that restraint only the log's order decides.
      {
        file: "coordinator/decider.ts",
        find: '    if (drive.deciding !== undefined) return;\n    drive.deciding = "abort";',
        replace: '    drive.deciding = "abort";',
      },
      {
        file: "txn/decision.ts",
        find: 'if (transaction?.decision !== undefined) return { kind: "decided", gid, decision: transaction.decision.decision, first: false };\n  if (command.decision',
        replace: "if (command.decision",
      },
    ],
  },
  {
    id: "20",
    rule: "An abort by timeout is a log record.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: `    this.abort(drive, "timeout", \`\${why} within \${drive.timeoutMs} ms\`);`,
        replace: `    const { gid } = drive;
    const detail = \`\${why} within \${drive.timeoutMs} ms\`;
    this.answerWaiters(drive, () => ({ kind: "decided", gid, decision: "abort", reason: "timeout", detail, zxid: { epoch: 0, counter: 0 } }));
    for (const branch of drive.branches) this.#courier.send(branch, "rollback", 0);`,
      },
      {
        file: "sim/workload.ts",
        find: "{ decision: answer.decision, more: { zxid: `${answer.zxid.epoch}:${answer.zxid.counter}` } }",
        replace: "{ decision: answer.decision, more: {} }",
      },
    ],
  },
  {
    id: "21",
    rule: "Only an established leader settles a question about an unknown transaction.",
    edits: [
      {
        file: "coordinator/inquiry.ts",
        find: `return this.#reply(instance, gid, branch, "ask-leader");`,
        replace: `return this.#reply(instance, gid, branch, found.kind === "none" ? "rollback" : "ask-leader");`,
      },
    ],
  },
  {
    id: "23",
    rule: "A commit needs a vote of every branch.",
    edits: [
      { file: "coordinator/decider.ts", find: "if (drive.missing > 0) return;", replace: "if (drive.missing > 1) return;" },
      {
        file: "txn/decision.ts",
        find: "if (yes.length + readOnly.length === transaction.branches.length) return undefined;",
        replace: "return undefined;",
      },
      { file: "txn/decision.ts", find: "if (votedYes + votedReadOnly !== 1) {", replace: "if (votedYes + votedReadOnly > 1) {" },
    ],
  },
  {
    id: "28",
    rule: "A branch is done when its participant has acknowledged the outcome.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: `      drive.unsettled++;
      this.#courier.send(branch, phase, nowMs);
    }`,
        replace: `      drive.unsettled++;
      this.#courier.send(branch, phase, nowMs);
      this.#chores.done(drive.gid, branch.id, nowMs);
    }`,
      },
    ],
  },
  {
    id: "32",
    rule: "A wall clock that jumps changes nothing.",
    edits: [
      {
        file: "replica/stamp-clock.ts",
        find: "if (this.#leading !== undefined) return this.#leading.stampMs + (monotonicMs - this.#leading.monotonicMs);",
        replace: "if (this.#leading !== undefined) return wallMs;",
      },
    ],
  },
  {
    id: "34",
    rule: "A new leader carries sealed transactions on; it does not abort them.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: `    this.#prepare(drive, nowMs);
    this.#decideIfReady(drive);
  }

  /** Proposes BEGIN and`,
        replace: `    this.abort(drive, "timeout", "the leader changed");
  }

  /** Proposes BEGIN and`,
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
    id: "43",
    rule: "A put that is repeated takes effect once.",
    edits: [
      {
        file: "txn/put.ts",
        find: "    if (repeated !== undefined) return repeated;\n",
        replace: '    if (repeated?.kind === "refused") return repeated;\n',
      },
    ],
  },
];

/** Changes that must not matter: they take away a precaution that another rule makes unnecessary. A simulator that is red here is wrong. */
export const CONTROLS = [
  {
    id: "19-control",
    rule: "Without the driver's own restraint the order of the log decides alone.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: '    if (drive.deciding !== undefined) return;\n    drive.deciding = "abort";',
        replace: '    drive.deciding = "abort";',
      },
    ],
  },
];
