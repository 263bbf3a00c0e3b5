/** Planted bugs of the two short cuts of the commit path: one-phase commit and read-only votes. See catalogue.mjs for what a mutant is. */
export const CUT_MUTANTS = [
  {
    id: "60",
    rule: "A delegated transaction is aborted only with its participant's durable refusal.",
    edits: [
      {
        file: "txn/decision.ts",
        find: "if (delegate === undefined || command.refusedBy === delegate.id) return undefined;",
        replace: "return undefined;",
      },
      // The driver holds the wish back too.
      {
        file: "coordinator/decider.ts",
        find: "if (drive.deciding !== undefined || drive.delegated) return;",
        replace: "if (drive.deciding !== undefined) return;",
      },
    ],
  },
  {
    id: "61",
    rule: "A one-phase commit leaves the leader only after its delegated BEGIN is committed and applied.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: 'if (drive.delegate !== undefined) drive.delegate.phase = "one-phase";\n    else this.#asking.ask(drive, nowMs);',
        replace: "if (drive.delegated) this.#asking.commitInOnePhase(drive, nowMs);\n    else this.#asking.ask(drive, nowMs);",
      },
    ],
  },
  {
    id: "62-model",
    rule: "A refused one-phase commit is refused for ever: the participant keeps the row that says so.",
    model: true,
    edits: [
      {
        file: "sim/resource.ts",
        find: '      this.#outcomes.set(key, "rolled-back");\n      return this.#refused(gid, branch, why ?? "unknown branch");',
        replace: '      return this.#refused(gid, branch, why ?? "unknown branch");',
      },
    ],
  },
  {
    id: "62-world",
    rule: "A refused one-phase commit is refused for ever: the participant keeps the row that says so (the explorer's participant).",
    model: true,
    edits: [
      {
        file: "explore/commit-participant.ts",
        find: '{ ...participant, row: "rolled-back", fence: epoch, saidNo: true }, reply: "refused" }',
        replace: '{ ...participant, fence: epoch, saidNo: true }, reply: "refused" }',
      },
    ],
  },
  {
    id: "62-kv",
    rule: "A refusal of a one-phase commit is durable before it is said (key-value participant).",
    edits: [
      {
        file: "participant/kv/branch-table.ts",
        find: '      this.#settle(branch, "rolling-back", [], { state: "rolled-back", reads: [] });\n    };',
        replace: '      branch.phase = "rolling-back";\n      this.#drop(branch);\n      branch.settled.resolve(DONE);\n    };',
      },
    ],
  },
  {
    id: "62-postgres",
    rule: "A refusal of a one-phase commit is durable before it is said (PostgreSQL).",
    edits: [
      {
        file: "participant/postgres/one-phase.ts",
        find: "    mark = await Session.use(context.pool, (session) => markRolledBack(session, context.tables, context.participant, request));",
        replace: '    mark = await Promise.resolve<"marked">("marked");',
      },
    ],
  },
  {
    id: "62-mysql",
    rule: "A refusal of a one-phase commit is durable before it is said (MariaDB).",
    edits: [
      {
        file: "participant/mysql/one-phase.ts",
        find: "    mark = await Session.use(context.pool, (session) => markRolledBack(session, context.tables, context.participant, request));",
        replace: '    mark = await Promise.resolve<"marked">("marked");',
      },
    ],
  },
  {
    id: "63",
    rule: "A branch that voted read-only drops out: it is not told to commit, and owes nothing.",
    edits: [{ file: "txn/transaction.ts", find: 'branch.vote === "yes");\n}', replace: 'branch.vote !== "no");\n}' }],
  },
  {
    id: "64",
    rule: "A prepared branch that the decision names read-only is a duplicate: it is rolled back.",
    edits: [
      {
        file: "coordinator/inquiry.ts",
        find: 'return recorded.vote === "yes" ? "commit" : "rollback";',
        replace: 'return recorded.vote === "yes" ? "commit" : undefined;',
      },
    ],
  },
  {
    id: "65",
    rule: "A new leader carries a delegated transaction on by a one-phase commit, never by a prepare.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: "if (drive.delegated) this.#asking.commitInOnePhase(drive, nowMs);\n    else this.#asking.ask(drive, nowMs);",
        replace: "this.#asking.ask(drive, nowMs);",
      },
      {
        file: "coordinator/decider.ts",
        find: 'if (branch.phase !== "prepare" || drive.stage === "decided") {',
        replace: 'if (drive.stage === "decided") {',
      },
    ],
  },
  {
    id: "66",
    rule: "A one-phase commit that could not be told is no refusal.",
    edits: [
      {
        file: "coordinator/coordinator.ts",
        find: '      case "failed":\n        if (branch.status',
        replace:
          '      case "failed":\n        if (reply.phase === "one-phase") return this.#decider.settledInOnePhase(branch, "no", result.detail);\n        if (branch.status',
      },
    ],
  },
];
