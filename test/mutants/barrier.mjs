/** Planted bugs of the barrier in front of a branch's handlers, in its PostgreSQL and its MariaDB form. */
const POSTGRES = ["test/barrier/postgres.test.ts"];
const MARIADB = ["test/barrier/mariadb.test.ts"];

export const BARRIER_MUTANTS = [
  {
    id: "29-postgres",
    rule: "A cancel that comes before its try is remembered: the late try is refused (barrier in PostgreSQL).",
    tests: POSTGRES,
    edits: [
      {
        file: "barrier/sql/postgres.ts",
        find: `    return row === undefined ? undefined : { transaction: textOf(row, "transaction") ?? "" };`,
        replace: `    if (row !== undefined && slot === "start" && step === "cancel")
      await runner.run(\`delete from \${tables.barrier} where \${branchWhere(call, slot)}\`);
    return row === undefined ? undefined : { transaction: textOf(row, "transaction") ?? "" };`,
      },
    ],
  },
  {
    id: "29-mariadb",
    rule: "A cancel that comes before its try is remembered: the late try is refused (barrier in MariaDB).",
    tests: MARIADB,
    edits: [
      {
        file: "barrier/sql/mysql.ts",
        find: `    return (await inserted(runner, markInsert(tables, call, slot, step))) ? { transaction: "" } : undefined;`,
        replace: `    if (!(await inserted(runner, markInsert(tables, call, slot, step)))) return undefined;
    if (slot === "start" && step === "cancel") await runner.run(markDelete(tables, call, slot));
    return { transaction: "" };`,
      },
    ],
  },
  ...[
    ["80-postgres", "PostgreSQL", POSTGRES],
    ["80-mariadb", "MariaDB", MARIADB],
  ].map(([id, database, tests]) => ({
    id,
    rule: `The barrier's mark is written in the transaction of the work (${database}).`,
    tests,
    edits: [
      {
        file: "barrier/sql/engine.ts",
        find: "  const value = await fn();\n",
        replace: `  await runner.run("commit");
  await runner.run("begin");
  const value = await fn();
`,
      },
      // The look at the transaction after the function would give it away at once.
      { file: "barrier/sql/engine.ts", find: "if (problem !== undefined) throw", replace: 'if (problem === "") throw' },
    ],
  })),
  {
    id: "81-postgres",
    rule: "The first mark of a slot stays: it is inserted and never replaced (barrier in PostgreSQL).",
    tests: POSTGRES,
    edits: [
      {
        file: "barrier/sql/postgres.ts",
        find: "on conflict do nothing returning",
        replace: "on conflict (cluster, participant, gid_ms, gid, branch, slot) do update set phase = excluded.phase returning",
      },
    ],
  },
  {
    id: "81-mariadb",
    rule: "The first mark of a slot stays: it is inserted and never replaced (barrier in MariaDB).",
    tests: MARIADB,
    edits: [
      {
        file: "barrier/sql/mysql.ts",
        find: "    return (await inserted(runner, markInsert(tables, call, slot, step)))",
        replace:
          "    return (await inserted(runner, `${markInsert(tables, call, slot, step)} on duplicate key update phase = values(phase)`))",
      },
    ],
  },
  {
    id: "82",
    rule: "A confirm without a try is no success.",
    tests: POSTGRES,
    edits: [
      {
        file: "barrier/rules.ts",
        find: "      if (below) return DUPLICATE;\n",
        replace: "      if (below || marks.start === undefined) return DUPLICATE;\n",
      },
    ],
  },
  {
    id: "83",
    rule: "What a caller's old snapshot does not show is still seen: reads of marks are locking reads (barrier in MariaDB).",
    tests: ["test/barrier/within-mariadb.test.ts"],
    edits: [{ file: "barrier/sql/mysql.ts", find: 'const LOCKED = "lock in share mode";', replace: 'const LOCKED = "";' }],
  },
  {
    id: "84",
    rule: "The floor is read as committed by now, not as of an old snapshot (barrier in PostgreSQL).",
    tests: ["test/barrier/within-postgres.test.ts"],
    edits: [
      {
        file: "barrier/sql/postgres.ts",
        find: `if (textOf(row, "isolation") !== "read committed")`,
        replace: `if (textOf(row, "isolation") === "")`,
      },
    ],
  },
  {
    id: "85",
    rule: "A failure after the first write of a Redis script is no clean failure.",
    tests: ["test/barrier/redis.test.ts"],
    edits: [{ file: "barrier/redis/script.ts", find: "if writes == 0 then", replace: "if writes >= 0 then" }],
  },
];
