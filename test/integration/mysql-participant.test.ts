/**
 * MariaDB as a participant in a process of its own: refused in words when it does not sync, and taking part once it does.
 */
import { spawn } from "node:child_process";
import { createConnection, type RowDataPacket } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROGRAM } from "../../src/cli/index.js";
import { mysqlPayload } from "../../src/participant/mysql/index.js";
import { startMariadb, type MariadbServer } from "../../src/testing/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { plainEnvironment, quorate, quorateJson } from "../support/quorate.js";
import { withMariadb } from "../testing/with-mariadb.js";

const PATIENCE_MS = 20_000;

withMariadb(() =>
  describe("quorate participant mysql", () => {
    let cluster: TestCluster;
    let server: MariadbServer;

    beforeAll(async () => {
      [cluster, server] = await Promise.all([startCluster(), startMariadb({ settings: { innodb_flush_log_at_trx_commit: "0" } })]);
    });
    afterAll(async () => {
      await Promise.all([cluster?.dispose(), server?.stop()]);
    });

    test("refuses a server that does not sync, naming the setting and the value; a dsn that is none; a database that does not answer", async () => {
      const attach = (dsn: string) => quorate(["participant", "mysql", "--name", "stock", "--dsn", dsn, "--endpoints", cluster.endpoints]);
      const lazy = await attach(server.dsn);
      expect(lazy).toMatchObject({ code: 5, stdout: "" });
      expect(lazy.stderr).toMatch(/innodb_flush_log_at_trx_commit = 1.*\[QUORATE_PARTICIPANT_SETUP\]/);
      expect(await attach("mysql://nowhere")).toMatchObject({ code: 2 });
      const away = await attach(server.dsn.replace(/:\d+\//, ":9/"));
      expect(away).toMatchObject({ code: 5 });
      expect(away.stderr).toMatch(/the database of --dsn does not answer: .*ECONNREFUSED/);
      expect(away.stderr).not.toContain(server.password);
    });

    test("takes part once the server is set up, and ends with 0 when it is told to", async () => {
      await server.restart({ innodb_flush_log_at_trx_commit: "1" });
      const args = ["participant", "mysql", "--name", "stock", "--dsn", server.dsn, "--endpoints", cluster.endpoints, "-o", "ndjson"];
      const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["ignore", "pipe", "inherit"], env: plainEnvironment() });
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
      await expect.poll(() => said, { timeout: PATIENCE_MS }).toContain('"attached":true');

      const database = await createConnection(server.dsn);
      await database.query("create table stock (item varchar(20) primary key, n int not null) engine = InnoDB");
      const on = ["--endpoints", cluster.endpoints];
      const { gid } = (await quorateJson(["txn", "begin", ...on])) as { gid: string };
      const work = Buffer.from(mysqlPayload([{ sql: "insert into stock values (?, ?)", params: ["apple", 3] }])).toString();
      await quorateJson(["txn", "enlist", gid, "-p", "stock", "--payload", work, ...on]);
      expect(await quorateJson(["txn", "commit", gid, ...on])).toMatchObject({ decision: "commit" });
      const rows = async () => (await database.query<RowDataPacket[]>("select * from stock"))[0];
      await expect.poll(rows, { timeout: PATIENCE_MS }).toEqual([{ item: "apple", n: 3 }]);
      await database.end();

      child.kill("SIGTERM");
      expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
    });
  }),
);
