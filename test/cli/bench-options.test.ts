/**
 * What `quorate bench` may be asked, and what it refuses before it starts anything: each message names the flag and what it may be.
 */
import { describe, expect, test } from "vitest";
import { isQuorateError } from "../../src/base/index.js";
import { kindOf, loadSettings, nodesOf, numberOf, refuseEndpoints, type BenchFlag } from "../../src/cli/bench/options.js";
import type { CommandArgs } from "../../src/cli/command.js";

const args = (given: Readonly<Record<string, string>> = {}): CommandArgs => ({ _: [], $0: "quorate", ...given });

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isQuorateError(error) && error.code === "QUORATE_INVALID_ARGUMENT") return error.message;
    throw error;
  }
  throw new Error("was not refused");
}

describe("numbers", () => {
  const ranges: readonly (readonly [BenchFlag, number, number])[] = [
    ["outstanding", 1, 8192],
    ["participants", 1, 8],
    ["seconds", 1, 3600],
    ["warmup", 0, 600],
    ["kills", 1, 1000],
    ["rate", 1, 1_000_000],
    ["value-bytes", 1, 65_536],
    ["open", 0, 1_000_000],
    ["transactions", 1, 10_000_000],
    ["fill-seconds", 1, 36_000],
  ];

  test.each(ranges)("--%s is a whole number from %i to %i", (name, min, max) => {
    expect(numberOf(args({ [name]: String(min) }), name)).toBe(min);
    expect(numberOf(args({ [name]: String(max) }), name)).toBe(max);
    for (const bad of [String(min - 1), String(max + 1), "1.5", "many", "", "-1", "1e3", "0x10"]) {
      const message = refusal(() => numberOf(args({ [name]: bad }), name));
      expect(message).toContain(`--${name} is ${JSON.stringify(bad)}`);
      expect(message).toContain(`from ${min} to ${max}`);
    }
  });

  test("--nodes takes odd clusters only, and as many as the benchmark needs", () => {
    expect([nodesOf(args(), 1), nodesOf(args({ nodes: "1" }), 1), nodesOf(args({ nodes: "7" }), 3)]).toEqual([3, 1, 7]);
    expect(refusal(() => nodesOf(args({ nodes: "2" }), 1))).toBe('--nodes is "2", but must be one of 1, 3, 5, 7');
    expect(refusal(() => nodesOf(args({ nodes: "1" }), 3))).toBe('--nodes is "1", but must be one of 3, 5, 7');
  });

  test("--kind and --abort-share name what is possible", () => {
    expect(refusal(() => kindOf(args({ kind: "mysql" })))).toBe('--kind is "mysql", but must be one of kv, null, postgres');
    expect(refusal(() => kindOf(args({ kind: "postgres" }), ["kv", "null"]))).toContain("must be one of kv, null");
    for (const bad of ["1.01", "-0.1", "half", "", "."])
      expect(refusal(() => loadSettings(args({ "abort-share": bad }), "txn"))).toContain("a number from 0 to 1");
    expect(loadSettings(args({ "abort-share": "0.25" }), "txn").abortShare).toBe(0.25);
    expect(loadSettings(args({ "abort-share": "1" }), "txn").abortShare).toBe(1);
  });
});

describe("contradictions", () => {
  test("a cluster of one's own and a named one", () => {
    expect(refusal(() => loadSettings(args({ nodes: "3", endpoints: "127.0.0.1:7400" }), "write"))).toContain("--nodes and --endpoints");
  });

  test("profiles of processes that are not this command's own", () => {
    const refused = refusal(() => loadSettings(args({ profile: "out", endpoints: "127.0.0.1:7400" }), "txn"));
    expect(refused).toContain("--profile and --endpoints");
    expect(loadSettings(args({ profile: "out" }), "write").profileDir).toBe("out");
    expect(loadSettings(args(), "write").profileDir).toBeUndefined();
  });

  test("an open and a closed loop", () => {
    expect(refusal(() => loadSettings(args({ rate: "10", outstanding: "10" }), "txn"))).toContain("--rate and --outstanding");
  });

  test("aborts by participants that never refuse", () => {
    expect(refusal(() => loadSettings(args({ "abort-share": "0.5", kind: "null" }), "txn"))).toContain("--abort-share and --kind null");
  });

  test("more transactions in flight than PostgreSQL is given connections", () => {
    expect(refusal(() => loadSettings(args({ kind: "postgres", outstanding: "257" }), "txn"))).toContain(
      "from 1 to 256 with --kind postgres",
    );
    expect(loadSettings(args({ kind: "postgres" }), "txn").outstanding).toBe(16);
    expect(loadSettings(args({ kind: "kv" }), "txn").outstanding).toBe(1024);
  });

  test("a branch larger than a payload may be", () => {
    expect(refusal(() => loadSettings(args({ "value-bytes": "65536" }), "txn"))).toContain("from 1 to 60000");
    expect(loadSettings(args({ "value-bytes": "65536" }), "write").valueBytes).toBe(65_536);
  });

  test.each(["failover", "restart"])("%s of somebody else's nodes", (verb) => {
    const message = refusal(() => refuseEndpoints(args({ endpoints: "127.0.0.1:7400" }), verb));
    expect(message).toContain(`"bench ${verb}" kills nodes`);
    expect(message).toContain("--endpoints");
    expect(() => refuseEndpoints(args(), verb)).not.toThrow();
  });
});
