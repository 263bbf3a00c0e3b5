/**
 * `quorate xa scan` on a real PostgreSQL and a real MariaDB: what it says of each prepared branch, what --fix does, and what it leaves alone.
 */
import { createPool } from "mysql2/promise";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gid } from "../../src/base/index.js";
import { connect, type Quorate } from "../../src/client/index.js";
import type { BroughtParticipant } from "../../src/participant/index.js";
import { formatXid as mysqlXid, mysql, mysqlPayload, xidScope } from "../../src/participant/mysql/index.js";
import { formatXid as postgresXid, postgres, postgresPayload, xidPrefix } from "../../src/participant/postgres/index.js";
import { startMariadb, startPostgres } from "../../src/testing/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { quorate, quorateJson } from "../support/quorate.js";
import { withMariadb } from "../testing/with-mariadb.js";
import { withPostgres } from "../testing/with-postgres.js";

interface Handle {
  query(sql: string): Promise<unknown>;
}

interface Database {
  readonly dsn: string;
  readonly participant: BroughtParticipant<Handle>;
  work(n: number): Uint8Array;
  items(): Promise<number[]>;
  /** Prepares a branch of another cluster, and one of nobody. */
  prepareForeign(gid: Gid): Promise<void>;
  dispose(): Promise<void>;
}

async function openPostgres(): Promise<Database> {
  const server = await startPostgres();
  const pool = new pg.Pool({ connectionString: server.dsn, max: 8 });
  pool.on("error", () => undefined);
  await pool.query("create table item (n int primary key)");
  return {
    dsn: server.dsn,
    participant: postgres({ name: "shop", pool }) as BroughtParticipant<Handle>,
    work: (n) => postgresPayload([{ sql: `insert into item values (${n})` }]),
    items: async () => (await pool.query<{ n: number }>("select n from item order by n")).rows.map(({ n }) => n),
    prepareForeign: async (gid) => {
      for (const xid of [postgresXid(xidPrefix("elsewhere", "shop"), { gid, branch: "shop" }), "by-hand"])
        await pool.query(`begin; insert into item values (${90 + xid.length}); prepare transaction '${xid}'`);
    },
    dispose: async () => {
      await pool.end();
      await server.stop();
    },
  };
}

async function openMariadb(): Promise<Database> {
  const server = await startMariadb();
  const pool = createPool({ uri: server.dsn, connectionLimit: 8, multipleStatements: true });
  await pool.query("create table item (n int primary key) engine = InnoDB");
  return {
    dsn: server.dsn,
    participant: mysql({ name: "shop", pool }) as BroughtParticipant<Handle>,
    work: (n) => mysqlPayload([{ sql: `insert into item values (${n})` }]),
    items: async () => {
      const [rows] = await pool.query("select n from item order by n");
      return (rows as { n: number }[]).map(({ n }) => n);
    },
    prepareForeign: async (gid) => {
      for (const xid of [mysqlXid(xidScope("elsewhere", "shop"), { gid, branch: "shop" }), "'by-hand','',1"]) {
        const connection = await pool.getConnection();
        await connection.query(`xa start ${xid}; insert into item values (${90 + xid.length}); xa end ${xid}; xa prepare ${xid}`);
        connection.destroy();
      }
    },
    dispose: async () => {
      await pool.end();
      await server.stop();
    },
  };
}

function describeScan(kind: string, open: () => Promise<Database>): void {
  describe(`quorate xa scan: ${kind}`, () => {
    let cluster: TestCluster;
    let database: Database;
    let client: Quorate;
    const scan = (...args: string[]) =>
      quorateJson(["xa", "scan", "--dsn", database.dsn, "--endpoints", cluster.endpoints, ...args]) as Promise<{
        branches: { gid: string; says: string; todo: string; cluster: string; done: { ok: boolean; text: string } | null }[];
        foreignNotListed: number;
      }>;

    beforeAll(async () => {
      [cluster, database] = await Promise.all([startCluster(), open()]);
      client = await connect(cluster.endpoints);
      // Known to the cluster, and then away: what is decided from now on, nobody settles.
      await (await client.attach(database.participant)).close();
    });
    afterAll(async () => {
      await client?.close();
      await Promise.all([cluster?.dispose(), database?.dispose()]);
    });

    test("says what the cluster knows of each branch, and --fix settles what is decided and nothing else", async () => {
      const { participant } = database;
      const prepare = async (gid: Gid, n: number): Promise<void> => {
        const payload = database.work(n);
        expect(await participant.prepare({ gid, branch: "shop", payload, epoch: 1 })).toEqual({ vote: "yes", detail: "" });
      };
      let committed = "";
      await client.transaction(async (tx) => {
        committed = tx.gid;
        await tx.on(participant, (db) => db.query("insert into item values (1)"));
      });
      const aborted = (await client.begin()).gid as Gid;
      await prepare(aborted, 2);
      await client.abort(aborted);
      const open = (await client.begin({ timeoutMs: 60_000 })).gid as Gid;
      await prepare(open, 3);
      const unheard = client.newGid();
      await prepare(unheard, 4);
      await database.prepareForeign(client.newGid());

      const expected = [
        { gid: committed, says: "committed", todo: "commit" },
        { gid: aborted, says: "aborted", todo: "rollback" },
        { gid: open, says: "pending", todo: "leave" },
        { gid: unheard, says: "unknown", todo: "leave" },
      ];
      const before = await scan();
      expect(before.foreignNotListed).toBe(2);
      expect(before.branches).toHaveLength(4);
      for (const each of expected)
        expect(before.branches).toContainEqual(expect.objectContaining({ ...each, cluster: "this", done: null }));
      expect(await database.items()).toEqual([]);
      const none = await scan("--participant", "another", "--fix");
      expect(none.branches).toEqual([]);

      const fixed = await scan("--fix", "--all");
      expect(fixed.branches.map((each) => each.cluster).sort()).toEqual(["another", "none", "this", "this", "this", "this"]);
      expect(fixed.branches.find((each) => each.gid === committed)?.done).toEqual({ ok: true, text: "committed" });
      expect(fixed.branches.find((each) => each.gid === aborted)?.done).toEqual({ ok: true, text: "rolled back" });
      expect(fixed.branches.filter((each) => each.done !== null)).toHaveLength(2);
      expect(await database.items()).toEqual([1]);

      const after = await scan("--all");
      expect(after.branches.map((each) => each.says).sort()).toEqual(["foreign", "foreign", "pending", "unknown"]);
      const table = await quorate(["xa", "scan", "--dsn", database.dsn, "--endpoints", cluster.endpoints]);
      expect(table).toMatchObject({ code: 0 });
      expect(table.stdout).toMatch(/PARTICIPANT.*SAYS[^]*shop[^]*pending[^]*2 foreign branches are not listed; --all lists them/);
    });

    test("says what is wrong: the database does not answer, no cluster answers", async () => {
      const away = await quorate(["xa", "scan", "--dsn", database.dsn.replace(/:\d+\//, ":9/"), "--endpoints", cluster.endpoints]);
      expect(away).toMatchObject({ code: 5, stdout: "" });
      expect(away.stderr).toMatch(/the database of --dsn does not answer/);
      const lonely = await quorate(["xa", "scan", "--dsn", database.dsn, "--endpoints", "127.0.0.1:9", "--timeout-ms", "800"]);
      expect(lonely).toMatchObject({ code: 3, stdout: "" });
    });
  });
}

withPostgres(() => describeScan("postgres", openPostgres));
withMariadb(() => describeScan("mysql", openMariadb));

describe("quorate xa scan", () => {
  test("refuses a dsn of another kind", async () => {
    const result = await quorate(["xa", "scan", "--dsn", "oracle://x", "--endpoints", "127.0.0.1:9"]);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(/--dsn must be postgres:.*mysql:/);
  });
});
