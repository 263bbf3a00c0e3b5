/**
 * Found by `partition run database-kill --workload bank`: rows of an aborted transaction stood in a ledger, and money was made.
 *
 * A statement of an asked branch that failed had its connection rolled back and given back, and then rolled back once more. By then the
 * connection could be another branch's: the second ROLLBACK ended that branch's transaction, and its statements took effect one by one,
 * outside of any.
 */
import { Pool } from "pg";
import { expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import { postgres, postgresPayload } from "../../src/participant/postgres/index.js";
import { startPostgres } from "../../src/testing/index.js";
import { withPostgres } from "../testing/with-postgres.js";

const ROUNDS = 40;
const AT_ONCE = 12;

withPostgres(() =>
  test("work that is refused never ends the transaction of the branch that gets its connection next", async () => {
    const server = await startPostgres();
    // Fewer connections than branches: whoever gives one back, somebody waits for it.
    const pool = new Pool({ connectionString: server.dsn, max: 2 });
    const bank = postgres({ name: "bank", pool });
    const random = new Prng("connection").uint32;
    try {
      await pool.query("create table item (n int primary key, positive int check (positive > 0))");
      await bank.start("cluster");
      for (let round = 0; round < ROUNDS; round++) {
        const branches = Array.from({ length: AT_ONCE }, (_, i) => ({
          ref: { gid: newGid(Date.now(), random), branch: "b" },
          n: round * AT_ONCE + i,
          doomed: i % 2 === 0,
        }));
        const votes = await Promise.all(
          branches.map(({ ref, n, doomed }) => {
            const work = [
              { sql: "insert into item values ($1, 1)", params: [n] },
              { sql: "update item set positive = $2 where n = $1", params: [n, doomed ? -1 : 2] },
            ];
            return bank.prepare({ ...ref, payload: postgresPayload(work), epoch: 1 });
          }),
        );
        expect(votes.map(({ vote }) => vote)).toEqual(branches.map(({ doomed }) => (doomed ? "no" : "yes")));
        // Nothing is decided yet, so nothing may be seen.
        const { rows } = await pool.query("select n from item");
        expect(rows).toEqual([]);
        await Promise.all(branches.map(({ ref }) => bank.rollback(ref)));
      }
    } finally {
      await bank.close();
      await pool.end();
      await server.stop();
    }
  }),
);
