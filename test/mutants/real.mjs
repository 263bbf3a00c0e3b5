/**
 * Planted bugs that the partition tests must notice in real processes: for each the composition of faults, the workload and the invariants
 * that may be broken by it. Those with an id of the catalogue take its edits.
 */
export const REAL_MUTANTS = [
  {
    id: "1-disk",
    rule: "Nothing is acknowledged before it is durable: the log says so without having synced.",
    composition: "power-cut",
    workload: "transfers",
    breaks: ["I1-atomicity", "I2-decision", "I3-acknowledged", "I4-phantom", "I13-monotonic", "L1-recovery"],
    edits: [
      {
        file: "storage/log-segments.ts",
        find: 'const fd = await openFile(this.#disk, path, "synced");',
        replace: 'const fd = await openFile(this.#disk, path, "r+");',
      },
    ],
  },
  {
    id: "19",
    rule: "The first decision in the log wins, whatever else is proposed.",
    composition: "hand-over",
    workload: "decide-race",
    breaks: ["I1-atomicity", "I2-decision", "I3-acknowledged", "I13-monotonic"],
  },
  {
    id: "25",
    rule: "A participant that said yes never decides alone, however long its question stays unanswered.",
    composition: "outside-links",
    workload: "transfers",
    breaks: ["I1-atomicity", "I9-conservation"],
  },
  {
    id: "postgres-connection",
    rule: "A connection that was given back is somebody else's.",
    composition: "database-kill",
    workload: "bank",
    workers: 32,
    breaks: ["I1-atomicity", "I9-conservation", "I6-duplicate", "I4-phantom"],
    edits: [
      {
        file: "participant/postgres/asked.ts",
        find: "    if (!isTemporary(error)) return sqlMessage(error);\n",
        replace: `    if (!isTemporary(error)) {
      await session.rollback();
      // Until whoever waited for the connection has begun to use it.
      await new Promise((resolve) => setImmediate(resolve));
      return sqlMessage(error);
    }
`,
      },
      {
        file: "participant/postgres/session.ts",
        find: 'assert(!this.#released, "a connection that was given back is not used");',
        replace: "",
      },
    ],
  },
];
