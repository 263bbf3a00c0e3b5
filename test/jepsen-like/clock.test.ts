/**
 * Wall clocks that jump, of real processes: the nodes feel it, and nothing of the protocol moves.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { wallOffsetMs } from "../../jepsen-like/cluster/node-admin.js";
import { faketimeLibrary, NodeClock, whyNoClocks } from "../../jepsen-like/nemesis/clock-faketime.js";
import { connect } from "../../src/index.js";
import { startCluster } from "../support/cluster.js";

const HOUR_MS = 3_600_000;
const noClocks = await whyNoClocks();
if (noClocks !== undefined) console.warn(`SKIP wall clocks that jump: ${noClocks}`);

let dir = "";
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), "quorate-clock-test-"))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("an offset is written as the library reads it, in one piece", () => {
  const clock = new NodeClock(join(dir, "offsets"), "/nowhere.so");
  const written = (offsetMs: number): string => {
    clock.set(offsetMs);
    return readFileSync(join(dir, "offsets"), "utf8");
  };
  expect([0, 7_200_000, -90_500].map(written)).toEqual(["+0\n", "+7200\n", "-90\n"]);
});

test("a library that is not there is named as the reason", async () => {
  if (faketimeLibrary() === undefined) expect(await whyNoClocks()).toContain("is not installed");
  else expect(await whyNoClocks()).toBeUndefined();
});

describe.skipIf(noClocks !== undefined)("a wall clock", () => {
  const library = faketimeLibrary() ?? "";

  test("jumps in a running process, forward and back, while its timers stay right", async () => {
    const clock = new NodeClock(join(dir, "one"), library);
    const script = `const { writeFileSync } = require("node:fs");
      const set = (text) => writeFileSync(process.env.FAKETIME_TIMESTAMP_FILE, text);
      const [wall, mono] = [Date.now(), performance.now()];
      set("+3600\\n"); const there = Date.now(); set("-3600\\n"); const before = Date.now();
      setTimeout(() => console.log(JSON.stringify([there - wall, before - wall, performance.now() - mono])), 40);`;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", script], { env: { ...process.env, ...clock.env } });
    const [there = 0, before = 0, elapsed = 0] = JSON.parse(stdout) as number[];
    expect(Math.abs(there - HOUR_MS)).toBeLessThan(5_000);
    expect(Math.abs(before + HOUR_MS)).toBeLessThan(5_000);
    expect(elapsed).toBeGreaterThanOrEqual(38);
    expect(elapsed).toBeLessThan(30_000);
  });

  test("of the leader that jumps by six hours, either way, moves no leader and times no transaction out", async () => {
    const clocks = new Map<number, NodeClock>();
    const cluster = await startCluster();
    try {
      // Started again, each with a clock of its own.
      await Promise.all(cluster.ids.map((id) => cluster.kill9(id)));
      for (const id of cluster.ids) {
        const clock = new NodeClock(join(dir, `n${id}`), library);
        clocks.set(id, clock);
        cluster.processes.start(id, { env: clock.env });
      }
      const before = await cluster.waitForLeader();
      const client = await connect(cluster.endpoints);
      const admin = cluster.node(before.leader).adminAddress;
      const open = await client.begin({ timeoutMs: 60_000 });
      for (const hours of [6, -6]) {
        const offsetMs = (await wallOffsetMs(admin)) ?? Number.NaN;
        clocks.get(before.leader)?.set(hours * HOUR_MS);
        expect(Math.abs(((await wallOffsetMs(admin)) ?? Number.NaN) - offsetMs - hours * HOUR_MS)).toBeLessThan(10_000);
        for (let i = 0; i < 20; i++) await client.put(`k${i}`, Buffer.from(String(hours)));
        expect((await client.outcome(open.gid)).state).toBe("open");
        clocks.get(before.leader)?.set(0);
      }
      expect(await cluster.waitForLeader()).toEqual(before);
      await client.close();
    } finally {
      await cluster.dispose();
    }
  });
});
