/**
 * Every `quorate bench` once, for a moment and with small figures: the shape of what it prints, and that its figures agree with each other.
 * Nothing here says how fast anything is.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findPostgres } from "../../src/testing/index.js";
import { startCluster } from "../support/cluster.js";
import { quorate } from "../support/quorate.js";

/** Other work may have the machine: a bound against hanging. */
const TIMEOUT_MS = 240_000;

interface Load {
  readonly op: string;
  readonly nodes: number;
  readonly concurrency: number | null;
  readonly ops: number;
  readonly seconds: number;
  readonly opsPerSec: number;
  readonly opsPerCoreSec: number | null;
  readonly p50ms: number;
  readonly p99ms: number;
  readonly p999ms: number;
  readonly maxMs: number;
  readonly cleanSeconds: number;
  readonly opsPerSecClean: number | null;
  readonly errors: Readonly<Record<string, number>>;
  readonly intendedAborts: number;
  readonly findings: readonly string[];
  readonly readBack?: { readonly asked: number; readonly found: number; readonly through: string; readonly role: string };
  readonly cpu: Readonly<Record<string, number | null>> & { readonly servers: readonly number[]; readonly total: number };
  readonly rssMiB: Readonly<Record<string, number>>;
  readonly byHand?: { readonly ops: number; readonly opsPerSec: number; readonly ratio: number | null };
}

let tmp: string;

beforeEach(() => {
  tmp = mkdtempSync(join(tmpdir(), "quorate-bench-test-"));
});

afterEach(() => rmSync(tmp, { recursive: true, force: true }));

/** Exactly one value on standard output; nothing stays in the temporary folder. */
async function bench(...args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await quorate(["bench", ...args, "-o", "json"], { TMPDIR: tmp });
  expect(code, stderr).toBe(0);
  expect(readdirSync(tmp)).toEqual([]);
  return JSON.parse(stdout);
}

function assertConsistent(load: Load, nodes: number): void {
  expect(load.ops).toBeGreaterThan(0);
  expect(load.opsPerSec).toBeCloseTo(load.ops / load.seconds, -1);
  expect(load.p50ms).toBeGreaterThan(0);
  expect(load.p50ms).toBeLessThanOrEqual(load.p99ms);
  expect(load.p99ms).toBeLessThanOrEqual(load.p999ms);
  expect(load.p999ms).toBeLessThanOrEqual(load.maxMs);
  expect(load).toMatchObject({ nodes, errors: {}, findings: [] });
  // Too short for five clean seconds: nothing is claimed of them.
  expect(load.cleanSeconds).toBeLessThanOrEqual(Math.ceil(load.seconds));
  expect(load.opsPerSecClean).toBeNull();
  expect(load.cpu.servers).toHaveLength(nodes);
  expect(load.opsPerCoreSec).toBeGreaterThan(0);
  expect(Object.keys(load.rssMiB)).toEqual(expect.arrayContaining(["n1", "driver"]));
  for (const mib of Object.values(load.rssMiB)) expect(mib).toBeGreaterThan(10);
}

describe("bench write", () => {
  test(
    "measures a closed loop and reads back through a follower what was acknowledged",
    async () => {
      const load = (await bench("write", "--outstanding", "16", "--seconds", "2", "--warmup", "1")) as Load;
      assertConsistent(load, 3);
      expect(load).toMatchObject({ op: "write", concurrency: 16 });
      expect(load.readBack?.role).toBe("following");
      expect(load.readBack?.asked).toBeGreaterThan(0);
      expect(load.readBack?.found).toBe(load.readBack?.asked);
    },
    TIMEOUT_MS,
  );

  test(
    "keeps a fixed rate as a line for other programs, on a cluster that it leaves alone",
    async () => {
      await using cluster = await startCluster();
      const args = ["bench", "write", "--rate", "50", "--seconds", "2", "--warmup", "1", "--value-bytes", "1", "-o", "ndjson"];
      const { code, stdout, stderr } = await quorate([...args, "--endpoints", cluster.endpoints], { TMPDIR: tmp });
      expect(code, stderr).toBe(0);
      expect(stdout.trimEnd().split("\n")).toHaveLength(1);
      const line = JSON.parse(stdout) as Readonly<Record<string, unknown>>;
      expect(line).toMatchObject({ peer: "quorate", mode: "open-loop", op: "write", nodes: 3, rate: 50, due: 100, ops: 100, keptUp: true });
      // The second of warm-up wrote too.
      expect(line).toMatchObject({ concurrency: null, errors: {}, allOpsPerSec: line["opsPerSec"], readBack: { asked: 150, found: 150 } });
      expect(line["rssMiB"]).toHaveLength(3);
      expect(stderr).toMatch(/^1 s: \d+\/s, \d+\/s so far$/m);
      expect(cluster.ids.every((id) => cluster.pid(id) !== undefined)).toBe(true);
    },
    TIMEOUT_MS,
  );
});

describe("bench txn", () => {
  test(
    "counts aborts that were meant apart from everything else",
    async () => {
      const load = (await bench("txn", "--outstanding", "8", "--seconds", "2", "--warmup", "1", "--abort-share", "0.5")) as Load;
      assertConsistent(load, 3);
      expect(load).toMatchObject({ op: "txn", kind: "kv", participants: 2, abortShare: 0.5, aborts: {} });
      expect(load.intendedAborts).toBeGreaterThan(0);
      // Half of everything issued; those in flight at either end are the difference.
      expect(Math.abs(load.intendedAborts - load.ops)).toBeLessThanOrEqual(17);
    },
    TIMEOUT_MS,
  );

  test(
    "measures beside transactions that stay open, in a cluster of one node",
    async () => {
      const args = ["--kind", "null", "--participants", "1", "--nodes", "1", "--open", "500", "--outstanding", "8"];
      const load = (await bench("txn", ...args, "--seconds", "2", "--warmup", "1")) as Load;
      assertConsistent(load, 1);
      expect(load).toMatchObject({ kind: "null", participants: 1, open: 500 });
    },
    TIMEOUT_MS,
  );

  test.skipIf("missing" in findPostgres())(
    "compares PostgreSQL with the same SQL driven by hand",
    async () => {
      const load = (await bench("txn", "--kind", "postgres", "--outstanding", "4", "--seconds", "2", "--warmup", "1")) as Load;
      assertConsistent(load, 3);
      expect(load.byHand?.ops).toBeGreaterThan(0);
      // As far as rounding allows when a busy machine does a handful of them a second.
      const byRatio = (load.byHand?.ratio ?? 0) * (load.byHand?.opsPerSec ?? 0);
      expect(Math.abs(byRatio - load.opsPerSec)).toBeLessThanOrEqual(0.1 * load.opsPerSec + 1);
      expect(Object.keys(load.rssMiB)).toEqual(expect.arrayContaining(["bench-postgres-1", "postgres-1", "postgres-2"]));
    },
    TIMEOUT_MS,
  );
});

interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

function assertSpread({ min, median, max }: Spread): void {
  expect(min).toBeGreaterThanOrEqual(0);
  expect(min).toBeLessThanOrEqual(median);
  expect(median).toBeLessThanOrEqual(max);
}

test(
  "bench failover measures kills and hand-overs",
  async () => {
    const result = (await bench("failover", "--kills", "1", "--rate", "20")) as {
      readonly gapMs: Spread;
      readonly inDoubtMs: Spread;
      readonly handOver: { readonly count: number; readonly gapMs: Spread; readonly failed: number };
      readonly committed: number;
    };
    assertSpread(result.gapMs);
    assertSpread(result.inDoubtMs);
    assertSpread(result.handOver.gapMs);
    expect(result).toMatchObject({ op: "failover", kills: 1, rate: 20, failed: {}, handOver: { count: 1, failed: 0 } });
    expect(result.committed).toBeGreaterThan(20);
  },
  TIMEOUT_MS,
);

test(
  "bench restart fills, kills a follower, and tells what is on its disk",
  async () => {
    const result = (await bench("restart", "--transactions", "300", "--kills", "2", "--kind", "null")) as {
      readonly restartMs: Spread;
      readonly caughtUpMs: Spread;
      readonly members: readonly {
        readonly leads: boolean;
        readonly rssMiB: number;
        readonly logBytes: number;
        readonly stateBytes: number;
      }[];
    };
    assertSpread(result.restartMs);
    assertSpread(result.caughtUpMs);
    expect(result.caughtUpMs.max).toBeGreaterThanOrEqual(result.restartMs.min);
    expect(result).toMatchObject({ op: "restart", transactions: 300, wanted: 300, retained: 300, kills: 2, failed: {} });
    expect(result.members).toHaveLength(3);
    expect(result.members.filter((node) => node.leads)).toHaveLength(1);
    for (const node of result.members) expect(Math.min(node.rssMiB, node.logBytes, node.stateBytes)).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

test(
  "bench curves draws what it measured",
  async () => {
    const dir = mkdtempSync(join(tmpdir(), "quorate-curves-test-"));
    try {
      const args = ["--only", "participants", "--points", "1,2", "--seconds", "2", "--warmup", "1", "--output-dir", join(dir, "new")];
      const result = (await bench("curves", ...args)) as {
        readonly curves: readonly { readonly curve: string; readonly svg: string; readonly points: readonly { readonly x: number }[] }[];
      };
      expect(result.curves).toMatchObject([{ curve: "participants", points: [{ x: 1 }, { x: 2 }] }]);
      const svg = readFileSync(join(dir, "new", "participants.svg"), "utf8");
      expect(svg.match(/<circle/g)).toHaveLength(4);
      const saved = JSON.parse(readFileSync(join(dir, "new", "participants.json"), "utf8")) as { readonly points: unknown };
      expect(saved.points).toEqual(result.curves[0]?.points);
      expect(existsSync(join(dir, "new", "nodes.svg"))).toBe(false);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);

describe("what cannot be measured is refused at once", () => {
  test.each([
    [["write", "--outstanding", "0"], '--outstanding is "0", but must be an integer from 1 to 8192'],
    [["txn", "--participants", "nine"], '--participants is "nine", but must be an integer from 1 to 8'],
    [["write", "--nodes", "2"], '--nodes is "2", but must be one of 1, 3, 5, 7'],
    [["write", "--rate", "5", "--outstanding", "5"], "--rate and --outstanding contradict each other"],
    [["failover", "--endpoints", "127.0.0.1:1"], "kills nodes with SIGKILL"],
    [["restart", "--endpoints", "127.0.0.1:1"], "kills nodes with SIGKILL"],
    [["curves", "--output-dir", "x", "--only", "weather"], '--only names "weather"'],
    [["curves", "--output-dir", "x", "--only", "nodes", "--points", "2"], "must name at least one of 1, 3, 5, 7"],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await quorate(["bench", ...args], { TMPDIR: tmp });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr).toContain("[QUORATE_INVALID_ARGUMENT]");
    expect(readdirSync(tmp)).toEqual([]);
  });
});
