/**
 * SIGKILL never finds a missing sync: what was written survives it in the page cache. So these tests watch the syncs themselves, by
 * attaching strace to this very process: it delays or fails the call that syncs one file, and the participant must wait, or must not
 * say yes.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { constants, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readdir, readFile, readlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../../src/base/index.js";
import { kv, kvPayload, type KvParticipant } from "../../../src/participant/kv/index.js";

const random = new Prng("sync").uint32;
const DELAY_MS = 150;
let root: string;
let dir: string;
let bank: KvParticipant;

/** What `call` shall do on a file, until the returned function is called. */
async function inject(path: string, call: string, fault: string): Promise<() => Promise<void>> {
  const strace = spawn(
    "strace",
    ["-f", "-p", String(process.pid), "-o", "/dev/null", "-e", `trace=${call}`, "-e", `inject=${call}:${fault}`, "-P", path],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  await attached(strace);
  return async () => {
    const closed = new Promise((resolve) => strace.once("close", resolve));
    strace.kill("SIGINT");
    await closed;
  };
}

function attached(strace: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    strace.once("error", reject);
    strace.once("close", () => reject(new Error(`strace ended: ${said}`)));
    strace.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (/attached/.test(said)) resolve();
    });
  });
}

/** Why the syncs of this process cannot be watched here; undefined when they can. */
function whyNot(): string | undefined {
  const probe = spawnSync("strace", ["-V"]);
  if (probe.error !== undefined) return "strace is not installed";
  if (process.getuid?.() === 0) return undefined;
  return "only root may attach strace to a process that is not its child";
}

const missing = whyNot();
if (missing !== undefined) console.log(`SKIP tests of syncs: ${missing}`);

/** The segment that is written to. */
const logFile = (): string => {
  const name = readdirSync(join(dir, "log"))
    .filter((file) => file.endsWith(".wal"))
    .sort()
    .at(-1);
  if (name === undefined) throw new Error("the store has no log");
  return join(dir, "log", name);
};
/** LevelDB's log: the one file it appends to. */
const levelFile = (): string => {
  const [name] = readdirSync(join(dir, "level")).filter((file) => file.endsWith(".log"));
  if (name === undefined) throw new Error("LevelDB has no log");
  return join(dir, "level", name);
};

test("the kernel syncs every write of the log", async () => {
  root = mkdtempSync(join(tmpdir(), "quorate-kv-sync-"));
  dir = join(root, "store");
  bank = kv({ name: "bank", dir });
  try {
    // The first time the file is made, the second time it is found.
    for (let life = 0; life < 2; life++) {
      await bank.start("cluster");
      expect(await flagsOf(logFile())).toEqual([constants.O_DSYNC]);
      await bank.close();
      bank = kv({ name: "bank", dir });
    }
  } finally {
    await bank.close();
    rmSync(root, { recursive: true, force: true });
  }
});

/** Whether O_DSYNC is among the flags of each descriptor of this process for that file, as the kernel tells them. */
async function flagsOf(path: string): Promise<number[]> {
  const found: number[] = [];
  for (const fd of await readdir("/proc/self/fd")) {
    const target = await readlink(`/proc/self/fd/${fd}`).catch(() => undefined);
    if (target !== path) continue;
    const info = await readFile(`/proc/self/fdinfo/${fd}`, "utf8");
    found.push(Number.parseInt(/^flags:\s*(\d+)$/m.exec(info)?.[1] ?? "", 8) & constants.O_DSYNC);
  }
  return found;
}

describe.skipIf(missing !== undefined)("durability", () => {
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), "quorate-kv-sync-"));
    dir = join(root, "store");
    bank = kv({ name: "bank", dir });
    await bank.start("cluster");
  });
  afterEach(async () => {
    await bank.close();
    rmSync(root, { recursive: true, force: true });
  });

  const work = { payload: kvPayload([{ op: "add", key: "k", delta: 1 }]), epoch: 1 };
  const took = async (call: () => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await call();
    return performance.now() - start;
  };

  test("a yes, a commit, a roll back and its mark each wait for the synced write of the log", async () => {
    const [one, two, three] = [newGid(1, random), newGid(2, random), newGid(3, random)].map((gid) => ({ gid, branch: "b" })) as [
      { gid: ReturnType<typeof newGid>; branch: string },
      { gid: ReturnType<typeof newGid>; branch: string },
      { gid: ReturnType<typeof newGid>; branch: string },
    ];
    const heal = await inject(logFile(), "pwrite64", `delay_enter=${DELAY_MS * 1000}`);
    try {
      expect(await took(async () => expect((await bank.prepare({ ...one, ...work })).vote).toBe("yes"))).toBeGreaterThanOrEqual(DELAY_MS);
      expect(await took(() => bank.commit(one))).toBeGreaterThanOrEqual(DELAY_MS);
      expect((await bank.prepare({ ...two, ...work })).vote).toBe("yes");
      expect(await took(() => bank.rollback(two))).toBeGreaterThanOrEqual(DELAY_MS);
      expect(await took(() => bank.rollback(three))).toBeGreaterThanOrEqual(DELAY_MS);
      expect(await took(() => bank.forgetBelow(2))).toBeGreaterThanOrEqual(2 * DELAY_MS);
    } finally {
      await heal();
    }
  });

  test("after a failed write of the log nothing is promised any more, and a restart finds every promise", async () => {
    const before = { gid: newGid(1, random), branch: "b" };
    const failing = { gid: newGid(2, random), branch: "b" };
    expect((await bank.prepare({ ...before, payload: kvPayload([{ op: "put", key: "a", value: 1 }]), epoch: 1 })).vote).toBe("yes");
    const heal = await inject(logFile(), "pwrite64", "error=EIO");
    try {
      await expect(bank.prepare({ ...failing, ...work })).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
    } finally {
      await heal();
    }
    // The disk works again, and it must not be believed: the kernel may have dropped what it failed to write.
    await expect(bank.prepare({ ...failing, ...work })).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
    await expect(bank.commit(before)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
    await expect(bank.commit({ gid: newGid(3, random), branch: "b" })).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
    await expect(bank.get("a")).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
    await bank.close();
    bank = kv({ name: "bank", dir });
    await bank.start("cluster");
    expect(await bank.listInDoubt()).toContainEqual(before);
    expect(await bank.commit(before)).toEqual({ kind: "done" });
    expect((await bank.prepare({ ...failing, ...work })).vote).toBe("yes");
    expect(await bank.commit(failing)).toEqual({ kind: "done" });
    expect([await bank.get("a"), await bank.get("k")]).toEqual([1, 1]);
  });

  test("a yes does not wait for LevelDB; after a failed checkpoint nothing is promised, and a restart finds every promise", async () => {
    await bank.close();
    bank = kv({ name: "bank", dir, checkpointRecords: 3, logSegmentBytes: 8 * 1024 });
    await bank.start("cluster");
    const put = (time: number) => ({ ...{ gid: newGid(time, random), branch: "b" }, key: `k${time}` });
    const run = async ({ key, ...ref }: ReturnType<typeof put>): Promise<void> => {
      const payload = kvPayload([{ op: "put", key, value: "x".repeat(2000) }]);
      expect((await bank.prepare({ ...ref, payload, epoch: 1 })).vote).toBe("yes");
      await bank.commit(ref);
    };
    const heal = await inject(levelFile(), "fdatasync", "error=EIO");
    const settled: ReturnType<typeof put>[] = [];
    try {
      await expect(
        (async () => {
          for (let time = 1; ; time++) {
            const next = put(time);
            await run(next);
            settled.push(next);
          }
        })(),
      ).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
    } finally {
      await heal();
    }
    expect(settled.length).toBeGreaterThan(0);
    await bank.close();
    bank = kv({ name: "bank", dir });
    await bank.start("cluster");
    for (const { key, ...ref } of settled)
      expect([await bank.get(key), (await bank.branch(ref)).state]).toEqual(["x".repeat(2000), "committed"]);
  });
});
