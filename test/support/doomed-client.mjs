/**
 * A client that dies (kill -9, by its own hand) at a chosen moment of a transaction over two PostgreSQL databases it brought.
 *
 * argv: endpoints, dsn of bank-a, dsn of bank-b, moment: "prepared" (both branches prepared, Commit never sent) or
 * "commit-sent" (Commit written, its answer not awaited).
 */
import pg from "pg";
import { connect } from "../../dist/src/index.js";
import { postgres } from "../../dist/src/participant/postgres/index.js";

const [endpoints, dsnA, dsnB, moment] = process.argv.slice(2);
const die = () => process.kill(process.pid, "SIGKILL");
const quorate = await connect(endpoints);
let prepared = 0;

/** The adapter itself, but its client never gets past the second prepare. */
function doomed(inner) {
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: inner.manifest,
    start: (clusterId) => inner.start(clusterId),
    prepare: (request) => inner.prepare(request),
    commitOnePhase: (request) => inner.commitOnePhase(request),
    // A dying process tells nobody: whoever serves the participant afterwards must settle its branches.
    commit: () => new Promise(() => undefined),
    rollback: () => new Promise(() => undefined),
    listInDoubt: () => Promise.resolve([]),
    close: () => inner.close(),
    begin: async (ref) => {
      const branch = await inner.begin(ref);
      return {
        handle: branch.handle,
        rollback: () => branch.rollback(),
        prepare: async () => {
          const result = await branch.prepare();
          prepared += 1;
          if (moment === "prepared") {
            if (prepared === 2) die();
            return new Promise(() => undefined);
          }
          // Both votes are in: Commit is written in this turn or the next, the answer needs at least two log rounds.
          if (prepared === 2) setTimeout(die, 2);
          return result;
        },
      };
    },
  };
}

const [a, b] = [
  ["bank-a", dsnA],
  ["bank-b", dsnB],
].map(([name, connectionString]) => doomed(postgres({ name, pool: new pg.Pool({ connectionString, max: 4 }) })));
await quorate.attach(a, b);
await quorate.transaction(async (tx) => {
  process.stdout.write(`${tx.gid}\n`);
  await tx.on(a, (db) => db.query("insert into ledger (gid, amount) values ($1, -5)", [tx.gid]));
  await tx.on(b, (db) => db.query("insert into ledger (gid, amount) values ($1, 5)", [tx.gid]));
});
die();
