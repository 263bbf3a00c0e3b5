import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newGid } from "../../../src/base/index.js";
import { clusterTag, formatXid, mysqlPayload, parseXid, rawXid, XID_FORMAT, xidScope } from "../../../src/participant/mysql/index.js";
import { decodeMysqlPayload } from "../../../src/participant/mysql/payload.js";
import { settingsProblem } from "../../../src/participant/mysql/server-check.js";
import { shapeOf } from "../../../src/participant/mysql/sql-text.js";
import { literalOf } from "../../../src/participant/mysql/xa.js";
import { fitProblem, NAMES_MAX } from "../../../src/participant/mysql/xid.js";

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,47}$/);
const gid = fc
  .tuple(fc.nat(2 ** 40), fc.integer(), fc.stringMatching(/^[a-z][a-z0-9]{0,14}$/))
  .map(([timeMs, seed, group]) => newGid(timeMs, () => seed, group));

/** What XA RECOVER says of an id that was written as a literal. */
function recovered(literal: string): Record<string, unknown> {
  const [, gtrid = "", bqual = "", format] = /^'([^']*)','([^']*)',(\d+)$/.exec(literal) ?? [];
  return { formatID: Number(format), gtrid_length: gtrid.length, bqual_length: bqual.length, data: Buffer.from(gtrid + bqual) };
}

describe("xid", () => {
  test("every cluster, participant, gid and branch gives an id that fits, needs no quoting, and can be read back", () => {
    fc.assert(
      fc.property(fc.string(), name, gid, name, (cluster, participant, of, branch) => {
        fc.pre(fitProblem(participant, branch) === undefined);
        const literal = formatXid(xidScope(cluster, participant), { gid: of, branch });
        expect(literal).toMatch(/^'[a-z0-9_.-]{1,64}','[a-z0-9_.-]{1,64}',1364545362$/);
        const raw = rawXid(recovered(literal));
        expect(raw).toBeDefined();
        if (raw === undefined) return;
        expect(literalOf(raw)).toBe(literal);
        expect(parseXid(raw)).toEqual({ tag: clusterTag(cluster), participant, ref: { gid: of, branch } });
      }),
    );
  });

  test("names that do not fit are refused with the limit, and never shortened", () => {
    expect(fitProblem("a".repeat(31), "b".repeat(32))).toBeUndefined();
    expect(fitProblem("a".repeat(32), "b".repeat(32))).toMatch(/64 characters together.*room for 63: use shorter names/);
    expect(NAMES_MAX).toBe(63);
    const of = newGid(1, () => 1);
    expect(() => formatXid(xidScope("c", "a".repeat(32)), { gid: of, branch: "b".repeat(32) })).toThrow(/does not fit/);
  });

  test("two different branches never have one id", () => {
    const branch = fc.record({ cluster: fc.constantFrom("c1", "c2"), participant: name, of: gid, branch: name });
    fc.assert(
      fc.property(branch, branch, (one, other) => {
        fc.pre(fitProblem(one.participant, one.branch) === undefined && fitProblem(other.participant, other.branch) === undefined);
        fc.pre(JSON.stringify(one) !== JSON.stringify(other));
        const idOf = (each: typeof one) => formatXid(xidScope(each.cluster, each.participant), { gid: each.of, branch: each.branch });
        expect(idOf(one)).not.toBe(idOf(other));
      }),
    );
  });

  test("clusters made in the same minute have different tags", () => {
    expect(clusterTag("0192f0c1-a2b3-7c4d-8e9f-0a1b2c3d4e5f")).not.toBe(clusterTag("0192f0c1-a2b3-7c4d-8e9f-0a1b2c3d4e60"));
  });

  test("whatever XA RECOVER holds is read without a throw, and foreign ids stay foreign", () => {
    const row = fc.record({
      formatID: fc.oneof(fc.integer(), fc.constant(XID_FORMAT), fc.constant("x")),
      gtrid_length: fc.integer({ min: -2, max: 80 }),
      bqual_length: fc.integer({ min: -2, max: 80 }),
      data: fc.oneof(
        fc.uint8Array({ maxLength: 128 }).map((bytes) => Buffer.from(bytes)),
        fc.string(),
        fc.constant(null),
      ),
    });
    fc.assert(
      fc.property(row, (each) => {
        const raw = rawXid(each);
        if (raw === undefined) return;
        expect([raw.gtrid.length, raw.bqual.length]).toEqual([each.gtrid_length, each.bqual_length]);
        if (raw.format !== XID_FORMAT) expect(parseXid(raw)).toBeUndefined();
      }),
    );
  });

  test("the halves are cut by their lengths, not by what stands in them", () => {
    const raw = rawXid({ formatID: 1, gtrid_length: 3, bqual_length: 2, data: Buffer.from([0, 255, 46, 0, 39]) });
    expect(raw).toEqual({ format: 1, gtrid: Buffer.from([0, 255, 46]), bqual: Buffer.from([0, 39]) });
  });

  test("what is not of the alphabet never gets into SQL", () => {
    const of = newGid(1, () => 1);
    const scope = xidScope("c", "p");
    expect(() => xidScope("c", "it's")).toThrow(/checked before/);
    expect(() => formatXid(scope, { gid: of, branch: "b'; drop table t" })).toThrow(/checked before/);
    expect(() => formatXid(scope, { gid: `${of}'` as typeof of, branch: "b" })).toThrow(/checked before/);
  });
});

describe("payload", () => {
  test("every list of statements survives the way through a payload", () => {
    const statement = fc.record(
      {
        sql: fc.constantFrom("select 1", "update t set n = ?", "insert into t values (?)"),
        params: fc.array(fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null))),
        rows: fc.nat(100),
      },
      { requiredKeys: ["sql"] },
    );
    fc.assert(
      fc.property(fc.array(statement, { minLength: 1, maxLength: 8 }), (statements) => {
        expect(decodeMysqlPayload(mysqlPayload(statements))).toEqual({ statements });
      }),
    );
  });

  test("any bytes give statements or a problem, never a throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const decoded = decodeMysqlPayload(bytes);
        if ("problem" in decoded) expect(decoded.problem).not.toBe("");
      }),
    );
  });

  test.each([
    [[{ sql: "select ?", params: [{ id: 1 }] }], /statement 0: "params"\[0\] must be a text, a number, true, false or null/],
    [[{ sql: "select ?", params: [1, [2]] }], /"params"\[1\]/],
    [[{ sql: "select 1" }, { sql: "commit" }], /statement 1: COMMIT is not allowed/],
    [[{ sql: "xa end 'a'" }], /XA is not allowed/],
    [[{ sql: "lock tables t write" }], /LOCK is not allowed/],
    [[{ sql: "" }], /"sql" must be a text/],
    [[], /empty/],
  ])("%j is refused", (statements, problem) => {
    expect(() => mysqlPayload(statements as never)).toThrow(problem);
  });
});

describe("the shape of a statement", () => {
  test.each([
    ["  /* a */ -- b\n # c\n Commit", "COMMIT"],
    ["/*!50000 commit */", "COMMIT"],
    ["/*M!100500 rollback */", "ROLLBACK"],
    ["rollback", "ROLLBACK"],
    ["rollback work to savepoint s", undefined],
    ["ROLLBACK TO s", undefined],
    ["start transaction", "START"],
    ["begin", "BEGIN"],
    ["xa rollback 'x'", "XA"],
    ["unlock tables", "UNLOCK"],
    ["update t set n = 1", undefined],
    ["--1", undefined],
  ])("%j would end a transaction: %j", (sql, control) => {
    expect(shapeOf(sql).control).toBe(control);
  });

  test.each([
    ["select 1;", true],
    ["select 1; xa end 'x'", false],
    ["select /*! sql_no_cache */ 1", false],
    ["call p()", false],
    ["set autocommit = 0", false],
    ["insert into t values (1)", true],
    ["with a as (select 1) select * from a", true],
  ])("%j leaves transaction and connection alone: %j", (sql, harmless) => {
    expect(shapeOf(sql).harmless).toBe(harmless);
  });
});

describe("settings", () => {
  const good = {
    ...{ version: "10.11.19-MariaDB-0+deb12u1", innodb_flush_log_at_trx_commit: "1", log_bin: "OFF", sync_binlog: "0", read_only: "OFF" },
    ...{ autocommit: "ON", tx_isolation: "REPEATABLE-READ", wsrep_on: "OFF" },
  };
  const problem = (change: Partial<Record<string, string>>, flavour: "MariaDB" | "MySQL" = "MariaDB", isolation?: "read committed") =>
    settingsProblem(flavour, new Map(Object.entries({ ...good, ...change }) as [string, string][]), isolation);

  test("that will do are no problem", () => {
    expect(problem({})).toBeUndefined();
    expect(problem({ innodb_flush_log_at_trx_commit: "3" })).toBeUndefined();
    expect(problem({ version: "8.0.29" }, "MySQL")).toBeUndefined();
    expect(problem({ version: "9.1.0-commercial" }, "MySQL")).toBeUndefined();
    expect(problem({ version: "5.5.5-10.5.0-MariaDB" })).toBeUndefined();
    expect(problem({ tx_isolation: "SERIALIZABLE" }, "MariaDB", "read committed")).toBeUndefined();
  });

  test.each([
    [{ version: "10.4.34-MariaDB" }, "MariaDB", /MariaDB 10\.4\.34-MariaDB is too old; MariaDB 10\.5\.0 or newer/],
    [{ version: "8.0.28" }, "MySQL", /too old; MySQL 8\.0\.29/],
    [{ version: "5.7.44" }, "MySQL", /too old/],
    [{ innodb_flush_log_at_trx_commit: "2" }, "MariaDB", /set global innodb_flush_log_at_trx_commit = 1/],
    [{ innodb_flush_log_at_trx_commit: "3", version: "8.4.0" }, "MySQL", /innodb_flush_log_at_trx_commit/],
    [{ log_bin: "ON" }, "MariaDB", /set global sync_binlog = 1/],
    [{ read_only: "ON" }, "MariaDB", /read_only is on/],
    [{ super_read_only: "ON" }, "MySQL", /./],
    [{ wsrep_on: "ON" }, "MariaDB", /Galera/],
    [{ autocommit: "OFF" }, "MariaDB", /autocommit is off/],
    [{ tx_isolation: "SERIALIZABLE" }, "MariaDB", /isolation: "repeatable read"/],
    [{ transaction_isolation: "SERIALIZABLE" }, "MariaDB", /SERIALIZABLE/],
  ] as const)("%j of %s is refused with the value needed", (change, flavour, pattern) => {
    expect(problem(change, flavour)).toMatch(pattern);
  });
});
