/** Try, confirm, cancel: the rules of condition 14, and those of a service's barrier. */
export const TCC_MUTANTS = [
  {
    id: "29",
    rule: "A cancel that comes before its try is remembered: the late try is refused.",
    model: true,
    edits: [
      {
        file: "sim/tcc-resource.ts",
        find: '      this.#world.cover("tcc empty cancel");\n',
        replace: '      this.#world.cover("tcc empty cancel");\n      return this.#synced;\n',
      },
    ],
  },
  {
    id: "70",
    rule: "A try leaves the leader only after its BEGIN is committed and applied.",
    edits: [
      {
        file: "coordinator/asking.ts",
        find: 'if (branch.branchKind === "tcc" ? begun : !tries) this',
        replace: 'if (branch.branchKind === "tcc" ? begun || drive.stage === "sealing" : !tries) this',
      },
      {
        file: "coordinator/courier.ts",
        find: 'branch.drive.stage === "sealed" || !(afterBegin || branch.branchKind === "tcc");',
        replace: 'branch.drive.stage === "sealed" || !afterBegin;',
      },
    ],
  },
  {
    id: "71",
    rule: "An instance that wants a record first is asked only after BEGIN is committed and applied.",
    edits: [
      {
        file: "coordinator/courier.ts",
        find: 'branch.drive.stage === "sealed" || !(afterBegin || branch.branchKind === "tcc");',
        replace: 'branch.drive.stage === "sealed" || afterBegin || branch.branchKind !== "tcc";',
      },
    ],
  },
  {
    id: "72",
    rule: "Nobody prepares before every try of the transaction has said yes.",
    edits: [
      {
        file: "coordinator/asking.ts",
        find: 'if (branch.branchKind === "tcc" ? begun : !tries) this',
        replace: 'if (branch.branchKind === "tcc" ? begun : true) this',
      },
    ],
  },
  {
    id: "73",
    rule: "A try that has not answered is cancelled too.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: "      if (branch.unsuited && branch.attempt === 0) {\n",
        replace:
          '      if ((branch.unsuited && branch.attempt === 0) || (branch.branchKind === "tcc" && phase === "rollback" && branch.vote === undefined)) {\n',
      },
    ],
  },
  {
    id: "74",
    rule: "A confirm is durable before it is reported done.",
    model: true,
    edits: [
      {
        file: "sim/tcc-attachment.ts",
        find: "    return yield* this.#resource.durable(this.#resource.confirm(gid, branch));\n",
        replace: "    this.#resource.confirm(gid, branch);\n    return true;\n",
      },
    ],
  },
  {
    id: "75",
    rule: "The kind of a branch is in the record, so that a later leader knows it.",
    edits: [{ file: "txn/lifecycle.ts", find: "payload, kind: kindOf(branch), vote", replace: 'payload, kind: "2pc", vote' }],
  },
  {
    id: "76",
    rule: "A client's own try is recorded before it runs, so that the cluster cancels it when the client is gone.",
    edits: [
      {
        file: "client/transaction-scope.ts",
        find: '    await this.#register(spec);\n    this.#checkActive("try");\n',
        replace: "    void this.#register(spec);\n",
      },
    ],
    tests: ["test/client/try.test.ts"],
  },
  {
    id: "77",
    rule: "An abort is not forgotten while a branch that was tried has not acknowledged its cancel: nobody asks about it.",
    edits: [{ file: "txn/tables.ts", find: 'if (branch.kind === "tcc" || this', replace: "if (this" }],
  },
  {
    id: "78",
    rule: "A removal of a service and a branch of it that cross on their way do not both count: the log's order settles it, at apply.",
    edits: [
      {
        file: "txn/services.ts",
        find: "  if (before === undefined || next === before) return undefined;\n",
        replace: "  if (before === undefined || next === before || next === undefined) return undefined;\n",
      },
    ],
    tests: ["test/txn/services.test.ts"],
  },
  {
    id: "79",
    rule: "A branch that got its no because nobody attached takes its kind is asked of nobody who attaches later.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: "    this.#courier.settle(branch);\n    this.#decideIfReady(drive);\n  }\n",
        replace: "    this.#decideIfReady(drive);\n  }\n",
      },
    ],
    tests: ["test/coordinator/tcc.test.ts"],
  },
];
