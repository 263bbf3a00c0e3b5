import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { plantCanary, readCanary } from "../../jepsen-like/disk/canary.js";
import { mountedDisks, newDisksFolder, removeDeadDisks } from "../../jepsen-like/disk/leftovers.js";
import { NodeDisks, whyNoDisks } from "../../jepsen-like/disk/node-disks.js";

const noDisks = await whyNoDisks();
if (noDisks !== undefined) console.warn(`SKIP disks that lose their power: ${noDisks}`);

let dir = "";
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), "quorate-disk-test-"))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("a canary", () => {
  test("on a disk that lost nothing says so", () => {
    plantCanary(dir);
    expect(readCanary(dir)).toEqual({ kept: true, lost: false });
  });

  test("tells what was kept from what was lost", () => {
    plantCanary(dir);
    const synced = join(dir, "canary-synced");
    const [head, tail] = [readFileSync(synced).subarray(0, 4096), Buffer.alloc(4096, "synced. ")];
    writeFileSync(synced, Buffer.concat([head, tail]));
    expect(readCanary(dir)).toEqual({ kept: true, lost: false });
    rmSync(join(dir, "canary-unsynced"));
    expect(readCanary(dir)).toEqual({ kept: true, lost: true });
    writeFileSync(synced, "");
    expect(readCanary(dir)).toEqual({ kept: false, lost: false });
  });
});

describe("leftovers", () => {
  test("only mounts of runs count, also under names with blanks", () => {
    const lines = [
      "22 28 0:20 / /proc rw,relatime - proc proc rw",
      "90 28 7:0 / /tmp/quorate-disks-12-34-1/n1 rw,noatime - ext4 /dev/loop0 rw,commit=60",
      "91 28 7:1 / /my\\040tmp/quorate-disks-12-34-2/n2 rw,noatime - ext4 /dev/loop1 rw",
      "92 28 7:2 / /tmp/quorate-disks-12-34-1 rw - ext4 /dev/loop2 rw",
    ];
    expect(mountedDisks(lines.join("\n"))).toEqual(["/tmp/quorate-disks-12-34-1/n1", "/my tmp/quorate-disks-12-34-2/n2"]);
  });

  test("of dead runs are removed, of this one and of others' folders none", () => {
    const own = newDisksFolder();
    const names = [`quorate-disks-${process.pid}-1-1`, "quorate-disks-99999999-1-1", "quorate-disks-x-1-1"];
    mkdirSync(join(dir, own.slice(dirname(own).length + 1)));
    for (const name of names) mkdirSync(join(dir, name));
    expect(new Set(removeDeadDisks(dir))).toEqual(new Set(names.slice(0, 2).map((name) => `folder ${join(dir, name)}`)));
    expect(existsSync(join(dir, "quorate-disks-x-1-1"))).toBe(true);
    expect(existsSync(join(dir, own.slice(dirname(own).length + 1)))).toBe(true);
  });
});

describe.skipIf(noDisks !== undefined)("a disk whose power is cut", () => {
  test("has lost what nobody synced, on each of two disks, and kept the rest; it works again afterwards", async () => {
    const folders = [1, 2].map((id) => ({ id, dataDir: join(dir, `cut-n${id}`) }));
    const disks = await NodeDisks.make(folders, 32 * 1024 * 1024);
    try {
      for (const { dataDir } of folders) writeFileSync(join(dataDir, "late"), "nobody synced this");
      let dead = false;
      const findings = await disks.cut(
        [1, 2],
        () => (dead = true),
        () => {
          for (const { dataDir } of folders) expect(() => readFileSync(join(dataDir, "late"))).toThrow(/EIO/);
          return Promise.resolve();
        },
      );
      expect(dead).toBe(true);
      expect(findings).toEqual([
        { kept: true, lost: true },
        { kept: true, lost: true },
      ]);
      for (const { dataDir } of folders)
        expect(existsSync(join(dataDir, "late")) && readFileSync(join(dataDir, "late"), "utf8")).not.toBe("nobody synced this");
      writeFileSync(join(dir, "cut-n1", "late"), "again");
    } finally {
      await disks.close();
    }
    expect(mountedDisks().filter((path) => path.includes(`-${process.pid}-`))).toEqual([]);
  });

  test("that stalls lets nobody write until it goes on", async () => {
    const disks = await NodeDisks.make([{ id: 1, dataDir: join(dir, "stalled") }], 32 * 1024 * 1024);
    try {
      const { path } = disks.disk(1);
      await disks.disk(1).freeze();
      const writer = spawn("sh", ["-c", `echo x >"${path}/x"`]);
      const written = once(writer, "exit");
      expect(await Promise.race([written, new Promise((resolve) => setTimeout(() => resolve("waits"), 300))])).toBe("waits");
      await disks.disk(1).thaw();
      expect(await written).toEqual([0, null]);
    } finally {
      await disks
        .disk(1)
        .thaw()
        .catch(() => undefined);
      await disks.close();
    }
  });

  test("is unmounted and removed when its run is killed", async () => {
    const script = `
      import { NodeDisks } from ${JSON.stringify(new URL("../../dist/jepsen-like/disk/node-disks.js", import.meta.url).href)};
      const disks = await NodeDisks.make([{ id: 1, dataDir: ${JSON.stringify(join(dir, "orphan"))} }], 32 * 1024 * 1024);
      console.log(disks.disk(1).path);
      setInterval(() => undefined, 1000);`;
    const run = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await Promise.race([once(run.stdout, "data"), once(run, "exit")])) as [Buffer | number];
    const path = String(line).trim();
    expect(mountedDisks()).toContain(path);
    run.kill("SIGKILL");
    await expect.poll(() => mountedDisks().includes(path) || existsSync(dirname(path)), { timeout: 5000 }).toBe(false);
  });
});
