/**
 * Planted bugs at the edges: storage, participants, the client library, the checkers; and in the simulator's own participants and
 * disks, which stand for what a real one has to keep.
 *
 * The real storage, adapters and client are not part of the simulated processes: what notices a bug in them are their own tests.
 */
export const EDGE_MUTANTS = [
  {
    id: "24",
    rule: "A participant's yes leaves after its prepare record is durable (key-value participant).",
    edits: [
      {
        file: "participant/kv/branch-table.ts",
        find: "    this.#store.submit([{ key: branch.storeKey, record, before: undefined }], (error) => {\n",
        replace:
          "    queueMicrotask(() => branch.vote.resolve(YES));\n" +
          "    this.#store.submit([{ key: branch.storeKey, record, before: undefined }], (error) => {\n",
      },
    ],
  },
  {
    id: "25",
    rule: "A participant that said yes never decides alone, however long its question stays unanswered.",
    edits: [
      {
        file: "client/participant-agent.ts",
        find: "      for (const link of targets) link.inquire(ref);",
        replace: `      for (const link of targets) link.inquire(ref);
      if (this.#doubts.oldestMs(performance.now()) > 500) this.#executor.settle(ref, "rollback", undefined, true);`,
      },
    ],
  },
  {
    id: "26",
    rule: "The row that tells a repeated call what happened is written inside the branch's own transaction (PostgreSQL).",
    edits: [
      {
        file: "participant/postgres/asked.ts",
        find:
          "    `${beginSql(context, xid)}; set local lock_timeout = ${WITNESS_WAIT_MS}; set local statement_timeout = ${context.statementTimeoutMs}; ` +\n" +
          '      `${insertRowSql(tables, participant, request, "committed")}; ${participantRowSql(tables, participant)}; ` +',
        replace:
          '    `begin; ${insertRowSql(tables, participant, request, "committed")}; commit; ` +\n' +
          "      `${beginSql(context, xid)}; set local statement_timeout = ${context.statementTimeoutMs}; ${participantRowSql(tables, participant)}; ` +",
      },
    ],
  },
  {
    id: "26-kv",
    rule: "The row that tells a repeated call what happened is written together with the branch's effects (key-value participant).",
    edits: [
      {
        file: "participant/kv/branch-table.ts",
        find: `    this.#store.submit([...data, { key: branch.storeKey, record, before: branch.rowFingerprint }], (error) => {
      if (error !== undefined) return branch.settled.reject(error);
`,
        replace: `    this.#store.submit(data, () => undefined);
    const row2 = { key: branch.storeKey, record, before: branch.rowFingerprint };
    setTimeout(() => this.#store.submit([row2], (error) => {
      if (error !== undefined) return branch.settled.reject(error);
`,
      },
      {
        file: "participant/kv/branch-table.ts",
        find: `      this.#drop(branch);
      branch.settled.resolve(DONE);
    });`,
        replace: `      this.#drop(branch);
      branch.settled.resolve(DONE);
    }), 20);`,
      },
    ],
  },
  {
    id: "27",
    rule: "No such prepared transaction, on a repeated commit, is not taken for success: the branch's row tells (PostgreSQL).",
    edits: [
      {
        file: "participant/postgres/participant.ts",
        find: "          if (sqlStateOf(error) !== SQLSTATE.undefinedObject) throw error;\n",
        replace: "          if (sqlStateOf(error) !== SQLSTATE.undefinedObject) throw error;\n          return DONE;\n",
      },
    ],
  },
  {
    id: "27-no",
    rule: "No such prepared transaction, on a repeated commit, is not taken for a roll back either.",
    edits: [
      {
        file: "participant/postgres/participant.ts",
        find: `        if (outcome === "committed") return DONE;
        if (outcome === "rolled-back") return`,
        replace: `        if (outcome !== undefined) return`,
      },
    ],
  },
  {
    id: "26-mysql",
    rule: "The row that tells a repeated call what happened is written inside the branch's own transaction (MariaDB).",
    edits: [
      {
        file: "participant/mysql/asked.ts",
        find: "    await beginBranch(session, xid, context.isolation);\n",
        replace:
          '    await session.run(insertRowSql(tables, participant, request, "committed"));\n    await beginBranch(session, xid, context.isolation);\n',
      },
      {
        file: "participant/mysql/asked.ts",
        find: `  try {
    await session.run(insertRowSql(tables, participant, request, "committed"));
  } catch (error) {`,
        replace: '  try {\n    await session.run("do 1");\n  } catch (error) {',
      },
    ],
  },
  {
    id: "26-mysql-engine",
    rule: "A branch that changed a table without transactions is not promised: it could not be rolled back (MariaDB).",
    edits: [
      {
        file: "participant/mysql/xa.ts",
        find: "  if (warningStatus === 0) return false;\n",
        replace: "  if (warningStatus >= 0) return false;\n",
      },
    ],
  },
  {
    id: "27-mysql",
    rule: "XAER_NOTA on a repeated commit is not taken for success: the branch's row tells (MariaDB).",
    edits: [
      {
        file: "participant/mysql/participant.ts",
        find: 'if (xid !== undefined && (await settleBranch(session, xid, "commit")) === "done") return DONE;',
        replace: 'if (xid !== undefined && (await settleBranch(session, xid, "commit")) !== undefined) return DONE;',
      },
    ],
  },
  {
    id: "27-mysql-no",
    rule: "XAER_NOTA on a repeated commit is not taken for a roll back either (MariaDB).",
    edits: [
      {
        file: "participant/mysql/participant.ts",
        find: `        if (outcome === "committed") return DONE;
        if (outcome === "rolled-back") return`,
        replace: `        if (outcome !== undefined) return`,
      },
    ],
  },
  {
    id: "27-mysql-held",
    rule: "XAER_NOTA for a branch that another connection still holds means nothing: it is asked for again (MariaDB).",
    edits: [
      {
        file: "participant/mysql/xa.ts",
        find: `    if (!(await isPrepared(session, xid))) return "gone";`,
        replace: `    if (wait !== undefined || !(await isPrepared(session, xid))) return "gone";`,
      },
    ],
  },
  {
    id: "27-mysql-kept",
    rule: "A connection on which a branch was prepared is closed, so that others may settle the branch (MariaDB).",
    edits: [
      {
        file: "participant/mysql/xa-prepare.ts",
        find: "    session.destroy();\n    return YES;",
        replace: "    session.release();\n    return YES;",
      },
    ],
  },
  {
    id: "30",
    rule: "A sync that failed is never tried again: the log ends, and the process with it.",
    edits: [
      {
        file: "storage/log-writer.ts",
        find: "      if (error !== null) return this.#fail(error);\n      this.#latency",
        replace: `      if (error !== null) {
        return disk.fdatasync(this.#active.fd, () =>
          this.#guarded(() => {
            this.#synced = at + batch.length;
            this.#finish(seq);
          }),
        );
      }
      this.#latency`,
      },
    ],
  },
  {
    id: "31",
    rule: "A record of the log that cannot be read is damage, unless it is provably the torn end.",
    edits: [
      {
        file: "storage/log-scan.ts",
        find: "  if (synced > at) {\n",
        replace: `  if (sealedEnd === undefined) return { ...result, verdict: "torn", finding: place };\n  if (synced > at) {\n`,
      },
    ],
  },
  {
    id: "31-kv",
    rule: "Synced writes that LevelDB lost without an error are noticed at the start.",
    edits: [
      {
        file: "participant/kv/open-store.ts",
        find: "if (counted.records !== found.records || counted.sum !== found.sum)",
        replace: "if (counted.records < 0)",
      },
    ],
  },
  {
    id: "67-kv",
    rule: "Whoever submitted to the key-value store's log is told when the log has it durable, not when it was handed over.",
    edits: [
      {
        file: "participant/kv/store.ts",
        find: 'op: { kind: "append", previous, entries } }]);',
        replace: 'op: { kind: "append", previous, entries } }]);\n    queueMicrotask(() => this.#persisted(this.#seq));',
      },
    ],
  },
  {
    id: "68-kv",
    rule: "A segment of the key-value store's log goes when LevelDB has durably what it holds, not before.",
    edits: [
      {
        file: "participant/kv/store.ts",
        find: "    await this.#checkpoint.write(changes, next, () => this.#failure === undefined);\n",
        replace:
          '    this.#log.submit([{ seq: ++this.#seq, op: { kind: "compact", upTo: zxid(LOG_EPOCH, sequence) } }]);\n' +
          "    await this.#checkpoint.write(changes, next, () => this.#failure === undefined);\n",
      },
    ],
  },
  {
    id: "69-kv",
    rule: "A read of the key-value store sees what is durable in its log and not in LevelDB yet.",
    edits: [
      {
        file: "participant/kv/store.ts",
        find: "if (change !== undefined) return change ?? undefined;",
        replace: "if (change === null) return undefined;",
      },
    ],
  },
  {
    id: "33",
    rule: "The name of a prepared transaction says which cluster it belongs to.",
    edits: [
      {
        file: "participant/postgres/xid.ts",
        find: `return crc32c(Buffer.from(clusterId, "utf8")).toString(16).padStart(TAG_LENGTH, "0");`,
        replace: `return crc32c(Buffer.from(clusterId.slice(0, 8), "utf8")).toString(16).padStart(TAG_LENGTH, "0");`,
      },
    ],
  },
  {
    id: "33-mysql",
    rule: "The id of a prepared branch says which cluster it belongs to (MariaDB).",
    edits: [
      {
        file: "participant/mysql/xid.ts",
        find: `return crc32c(Buffer.from(clusterId, "utf8"))`,
        replace: `return crc32c(Buffer.from(clusterId.slice(0, 8), "utf8"))`,
      },
    ],
  },
  {
    id: "33-fence",
    rule: "A prepare of a deposed leader is refused once a later epoch was seen (key-value participant).",
    edits: [
      {
        file: "participant/kv/branch-table.ts",
        find: "if (request.epoch < epoch) return done(undefined, no(",
        replace: "if (request.epoch < 0) return done(undefined, no(",
      },
    ],
  },
  {
    id: "36",
    rule: "A commit whose outcome is not known is never repeated under a new gid.",
    edits: [
      {
        file: "client/transaction-scope.ts",
        find: `import { messageOf, QuorateError } from "../base/index.js";`,
        replace: `import { messageOf, newGid, QuorateError } from "../base/index.js";`,
      },
      {
        file: "client/transaction-scope.ts",
        find: "      return this.#refused(error);\n",
        replace: `      if (!(error instanceof QuorateError) || error.outcome !== "unknown") return this.#refused(error);
      const again = newGid(Date.now(), () => Math.floor(Math.random() * 2 ** 32));
      answer = await this.#session.request(
        { kind: "commit", gid: again, client: this.#session.client, timeoutMs: remainingMs, branches: this.#branches.all(), votes },
        { timeoutMs: remainingMs + ANSWER_MARGIN_MS, signal: this.#options.signal },
      );
`,
      },
    ],
  },
  {
    id: "38",
    rule: "Canary of the checkers: operations whose outcome nobody knows stay in the history.",
    edits: [
      {
        file: "check/history.ts",
        find: "  return out;\n",
        replace: `  return out.filter(({ complete }) => complete !== undefined && complete.type !== "info");\n`,
      },
    ],
  },
  {
    id: "24-model",
    model: true,
    rule: "What a participant said yes to survives its crash.",
    edits: [
      {
        file: "sim/resource.ts",
        find: "  crash(): void {\n    this.#up = false;\n",
        replace: `  crash(): void {
    this.#up = false;
    for (const [key, { preparedAt, work }] of this.#prepared) {
      if (this.#world.now - preparedAt > 10) continue;
      this.#prepared.delete(key);
      this.#unlock(key, work);
    }
`,
      },
    ],
  },
  {
    id: "25-model",
    model: true,
    rule: "A participant that said yes never decides alone, however long its question stays unanswered.",
    edits: [
      {
        file: "sim/participant.ts",
        find: "    if (inquiries.length === 0) return;\n",
        replace: `    if (inquiries.length === 0) return;
    for (const { gid, branch, preparedAt } of due as unknown as (BranchName & { preparedAt: number })[]) {
      if (this.#world.now - preparedAt < 5_000) continue;
      spawn(this.#world, () => true, this.#settle("rollback", { gid, branch }));
    }
`,
      },
    ],
  },
  {
    id: "26-model",
    model: true,
    rule: "The row that tells a repeated call what happened is written together with the branch's effects.",
    edits: [
      {
        file: "sim/resource.ts",
        find: `    this.#prepared.delete(key);\n    this.#take(key`,
        replace: `    this.#take(key`,
      },
      {
        file: "sim/resource.ts",
        find: `    this.#outcomes.set(key, "committed");\n`,
        replace: `    this.#world.after(2, () => {
      if (!this.#up) return;
      this.#prepared.delete(key);
      this.#outcomes.set(key, "committed");
    });
`,
      },
    ],
  },
  {
    id: "27-model",
    model: true,
    rule: "No such prepared transaction, on a repeated commit, is not taken for a roll back: the branch's row tells.",
    edits: [
      {
        file: "sim/sql-resource.ts",
        find: `    if (row.values[0] === "committed") return true;\n    if (row.values[0] === "rolled-back")`,
        replace: "    if (row.values[0] !== undefined)",
      },
    ],
  },
  {
    id: "30-model",
    model: true,
    rule: "A sync that failed is never tried again: what it was to make durable is gone.",
    edits: [
      {
        file: "sim/disk.ts",
        find: "        this.#fail();\n        return;\n      }\n      let seq = 0;\n",
        replace: `        this.failNextSync = false;
        const last = this.#syncing.at(-1)?.seq ?? 0;
        this.#syncing = [];
        this.#startSync(done);
        done(last);
        return;
      }
      let seq = 0;
`,
      },
    ],
  },
  {
    id: "31-model",
    model: true,
    rule: "A coordinator whose disk lost records does not go on as if nothing had happened.",
    edits: [
      {
        file: "sim/disk.ts",
        find: `    this.#epochs = { ...this.#epochs, damage: this.#epochs.damage ?? "log" };\n    return true;\n`,
        replace: "    return true;\n",
      },
    ],
  },
];
