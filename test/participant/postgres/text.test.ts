import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newGid } from "../../../src/base/index.js";
import { clusterTag, formatXid, parseXid, postgresPayload, xidPrefix } from "../../../src/participant/postgres/index.js";
import { decodePostgresPayload, transactionControl } from "../../../src/participant/postgres/payload.js";

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,47}$/);
const gid = fc
  .tuple(fc.nat(2 ** 40), fc.integer(), fc.stringMatching(/^[a-z][a-z0-9]{0,14}$/))
  .map(([timeMs, seed, group]) => newGid(timeMs, () => seed, group));

describe("xid", () => {
  test("every cluster, participant, gid and branch gives an xid that fits, needs no quoting, and can be read back", () => {
    fc.assert(
      fc.property(fc.string(), name, gid, name, (cluster, participant, of, branch) => {
        const xid = formatXid(xidPrefix(cluster, participant), { gid: of, branch });
        expect(xid).toMatch(/^[a-z0-9_.-]{1,199}$/);
        expect(parseXid(xid)).toEqual({ tag: clusterTag(cluster), participant, ref: { gid: of, branch } });
      }),
    );
  });

  test("the prefix of one participant begins no xid of another, whatever their names", () => {
    fc.assert(
      fc.property(name, name, gid, name, (one, other, of, branch) => {
        fc.pre(one !== other);
        expect(formatXid(xidPrefix("c", other), { gid: of, branch }).startsWith(xidPrefix("c", one))).toBe(false);
      }),
    );
  });

  test("clusters made in the same minute have different tags", () => {
    expect(clusterTag("0192f0c1-a2b3-7c4d-8e9f-0a1b2c3d4e5f")).not.toBe(clusterTag("0192f0c1-a2b3-7c4d-8e9f-0a1b2c3d4e60"));
  });

  test.each([
    "",
    "x",
    "quorate_",
    "quorate_00000000_a.b.c",
    "quorate_00000000_a.q-0192f0c1a2b37c4d8e9f0a1b2c3d4e5f",
    "other_00000000_a.q-0192f0c1a2b37c4d8e9f0a1b2c3d4e5f.b",
  ])("%j is foreign", (xid) => {
    expect(parseXid(xid)).toBeUndefined();
  });

  test("what is not of the alphabet never gets into SQL", () => {
    const of = newGid(1, () => 1);
    expect(() => xidPrefix("c", "it's")).toThrow(/checked before/);
    expect(() => formatXid("p", { gid: of, branch: "b'; drop table t" })).toThrow(/checked before/);
    expect(() => formatXid("p", { gid: `${of}'` as typeof of, branch: "b" })).toThrow(/checked before/);
  });
});

describe("payload", () => {
  test("every list of statements survives the way through a payload", () => {
    const statement = fc.record(
      {
        sql: fc.constantFrom("select 1", "update t set n = $1", "savepoint s"),
        params: fc.array(fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null))),
        rows: fc.nat(),
      },
      { requiredKeys: ["sql"] },
    );
    fc.assert(
      fc.property(fc.array(statement, { minLength: 1, maxLength: 5 }), (statements) => {
        expect(decodePostgresPayload(postgresPayload(statements))).toEqual({ statements });
      }),
    );
  });

  test.each([
    ["[]", /empty/],
    ["{}", /JSON array/],
    ["[1]", /statement 0: must be an object/],
    ['[{"sql":""}]', /"sql" must be a text/],
    ['[{"sql":"select 1","params":{}}]', /"params" must be an array/],
    ['[{"sql":"select 1","rows":-1}]', /"rows" must be a count/],
    ['[{"sql":"select 1","row":1}]', /no field "row"/],
    ['[{"sql":"select 1"},{"sql":"commit"}]', /statement 1: COMMIT is not allowed/],
  ])("%s is refused in words", (payload, problem) => {
    const decoded = decodePostgresPayload(Buffer.from(payload));
    expect("problem" in decoded && decoded.problem).toMatch(problem);
  });

  test.each([
    ["commit", "COMMIT"],
    ["  \n Rollback", "ROLLBACK"],
    ["-- note\ncommit", "COMMIT"],
    ["/* a /* nested */ note */ END", "END"],
    ["/**/--\n;/* */ begin", "BEGIN"],
    ["prepare transaction 'x'", "PREPARE"],
    ["start transaction", "START"],
    ["abort", "ABORT"],
  ])("%j would end or begin the transaction", (sql, command) => {
    expect(transactionControl(sql)).toBe(command);
  });

  test.each([
    "select 'commit'",
    "update committed set n = 1",
    "endless",
    "-- commit\nselect 1",
    "/* commit */ select 1",
    "with a as (select 1) select * from a",
  ])("%j would not", (sql) => {
    expect(transactionControl(sql)).toBeUndefined();
  });
});
