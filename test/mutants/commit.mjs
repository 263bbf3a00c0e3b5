/** Planted bugs of the commit path: state machine, driver and replica. See catalogue.mjs for what a mutant is. */
export const COMMIT_MUTANTS = [
  {
    id: "2",
    rule: "A client is told a decision only when its record is committed and applied.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: `decision: "commit", reason: undefined, detail: "", yes, readOnly, refusedBy: "" });`,
        replace: `decision: "commit", reason: undefined, detail: "", yes, readOnly, refusedBy: "" });
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
    id: "14",
    rule: "A checkpoint holds the memory of answered requests.",
    edits: [
      {
        file: "replica/stored-state.ts",
        find: "for (const change of changes) yield",
        replace: `for (const change of changes) if (change.kind !== "client") yield`,
      },
    ],
  },
  {
    id: "67",
    rule: "A checkpoint writes every page of outcomes that changed.",
    edits: [
      {
        file: "txn/outcome-pages.ts",
        find: "    this.#dirty.add(number);\n    page.live++;",
        replace: "    page.live++;",
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
        find: "if (drive.deciding !== undefined || drive.delegated) return;",
        replace: "if (drive.delegated) return;",
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
    id: "22",
    rule: "Enlisting into a transaction without a record is refused; it never starts the transaction again.",
    edits: [
      {
        file: "coordinator/requests.ts",
        find: `    const drive = this.#decider.drives.get(gid);
    if (drive === undefined && found.kind !== "transaction") {
      return gidError("unknown", \`transaction \${gid} has no record here: its outcome is unknown; ask for it before starting again\`, gid);
    }`,
        replace: `    let drive = this.#decider.drives.get(gid);
    if (drive === undefined && found.kind !== "transaction") {
      drive = this.#decider.create(gid, "", this.#timeoutMs(0), "opening", nowMs);
      this.#context.outbox.propose({ kind: "OPEN", gid, client: "", timeoutMs: this.#timeoutMs(0), branches: [] });
    }`,
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
        find: `    else this.#asking.ask(drive, nowMs);
    this.#decideIfReady(drive);
  }

  /**
   * Proposes BEGIN and`,
        replace: `    this.abort(drive, "timeout", "the leader changed");
  }

  /**
   * Proposes BEGIN and`,
      },
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
  {
    id: "46",
    rule: "A commit is forgotten only when every yes voter has acknowledged it.",
    edits: [
      {
        file: "txn/decision.ts",
        find: "if (!tables.mayGoUnacknowledged(transaction)) return false;",
        replace: "if (transaction.decision === undefined) return false;",
      },
      {
        file: "txn/machine.ts",
        find: "for (const gid of tables.abortedUnfinished) {",
        replace: "for (const { gid, decision } of tables.transactions.values()) {\n    if (decision === undefined) continue;",
      },
    ],
  },
  {
    id: "47",
    rule: "An installed snapshot is in force only when all of it has been read.",
    edits: [
      {
        file: "replica/stored-state.ts",
        find: "    return false;\n",
        replace: "    this.#restoring.finish();\n    return true;\n",
      },
    ],
  },
];
