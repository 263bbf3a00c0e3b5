/**
 * What the comparison counts and what it divides by what; what it refuses to be asked.
 */
import { describe, expect, test } from "vitest";
import { BadOption, readOptions } from "../bench/peers/options.mjs";
import { ratios, rateTable, summarize, type RunLine } from "../bench/peers/report.mjs";

function run(system: string, opsPerSec: number, undisturbed: boolean, outstanding = 128): RunLine {
  const figures = { opsPerSec, opsPerCoreSec: opsPerSec / 2, p50ms: 1000 / opsPerSec, p99ms: 3, p999ms: 4 };
  const around = { cpu: { servers: [0.5, 0.5, 0.5], drivers: [0.1] }, rssMiB: [100, 120, 90] };
  const machine = { foreign: undisturbed ? 0 : 0.7, steal: 0 };
  return { system, op: "put", kind: "write", outstanding, undisturbed, errors: {}, ...figures, ...around, machine };
}

describe("medians", () => {
  test("disturbed runs do not count beside undisturbed ones", () => {
    const [point] = summarize([run("etcd", 10, false), run("etcd", 300, true), run("etcd", 100, true), run("etcd", 200, true)]);
    expect(point).toMatchObject({ runs: 4, counted: 3, undisturbed: true, opsPerSec: 200 });
  });

  test("disturbed runs alone count, and the point says so", () => {
    const points = summarize([run("etcd", 10, false), run("etcd", 30, false)]);
    expect(points[0]).toMatchObject({ runs: 2, counted: 2, undisturbed: false, opsPerSec: 20 });
    expect(rateTable(points)).toContain("2 of 2, SHARED: foreign 0.7");
  });

  test("a failed run is counted as failed and not measured", () => {
    const failed: RunLine = { system: "etcd", op: "put", kind: "write", outstanding: 128, undisturbed: false, failed: "no leader" };
    expect(summarize([failed, run("etcd", 30, true)])[0]).toMatchObject({ runs: 2, failed: 1, counted: 1, opsPerSec: 30 });
    expect(summarize([failed])[0]).toMatchObject({ failed: 1, counted: 0 });
    expect(rateTable(summarize([failed]))).toContain("every run failed");
  });
});

test("a ratio is Quorate's figure divided by the peer's at as many outstanding", () => {
  const lines = [run("etcd", 100, true), run("etcd", 50, true, 1), run("quorate", 800, true), run("zookeeper", 200, false)];
  expect(ratios(summarize(lines))).toEqual([
    { ratio: "quorate put / etcd put", outstanding: 128, opsPerSec: 8, opsPerCoreSec: 8, p50: 0.13, undisturbed: true },
    { ratio: "quorate put / zookeeper put", outstanding: 128, opsPerSec: 4, opsPerCoreSec: 4, p50: 0.25, undisturbed: false },
  ]);
});

describe("options", () => {
  test("are as documented when none is given", () => {
    expect(readOptions([])).toMatchObject({
      only: ["etcd", "zookeeper", "quorate"],
      outstanding: [1, 128, 1024],
      runs: 3,
      failover: false,
      restart: 0,
    });
  });

  test("that make no sense are refused by name", () => {
    for (const [args, words] of [
      [["--only", "etcd,consul"], '--only takes etcd, zookeeper, quorate, separated by commas; got "consul"'],
      [["--seconds", "0"], '--seconds must be a whole number from 1 to 3600, got "0"'],
      [["--outstanding", "1,x"], "--outstanding must be a whole number from 1 to 8192"],
      [["--outstanding", "2", "--drivers", "4"], "give fewer --drivers"],
      [["--runs", "0"], "--runs 0 leaves nothing to measure"],
      [["--fast"], "--help lists the options"],
    ] as const)
      expect(() => readOptions(args), args.join(" ")).toThrow(words);
    expect(() => readOptions(["--runs", "-1"])).toThrow(BadOption);
  });
});
