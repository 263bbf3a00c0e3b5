import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { crc32c, isQuorateError, nodeId } from "../../src/base/index.js";
import { openStorage } from "../../src/storage/index.js";
import type { Storage, StorageOptions } from "../../src/storage/index.js";
import { cleanTemporaryFolders, CONFIGURATION, SEGMENT_BYTES, temporaryFolder } from "./log-harness.js";

cleanTemporaryFolders();

function options(dir: string, change: Partial<StorageOptions> = {}): StorageOptions {
  return {
    dir,
    clusterId: "ledger",
    nodeId: nodeId(2),
    configuration: CONFIGURATION,
    bootstrap: true,
    segmentBytes: SEGMENT_BYTES,
    fetchSnapshot: () => {
      throw new Error("no peer");
    },
    onPersisted: () => undefined,
    onCheckpointed: () => undefined,
    onInstalled: () => undefined,
    onDamaged: () => undefined,
    onFatal: (error) => {
      throw error;
    },
    ...change,
  };
}

async function refusal(opened: Promise<Storage>): Promise<string> {
  const result = await opened.catch((error: unknown) => error);
  if (!isQuorateError(result)) throw new Error(`not refused: ${String(result)}`);
  expect(result.code).toBe("QUORATE_DATA_FOLDER");
  return result.message;
}

async function formatted(): Promise<string> {
  const dir = join(temporaryFolder(), "data");
  await (await openStorage(options(dir))).close();
  return dir;
}

describe("an empty folder", () => {
  test("bootstrapped is a member that has promised nothing", async () => {
    const dir = join(temporaryFolder(), "not", "there", "yet");
    const storage = await openStorage(options(dir));
    expect(storage.recovered.log).toEqual({
      epochs: { acceptedEpoch: 0, currentEpoch: 0, configuration: CONFIGURATION, damage: undefined },
      applied: { epoch: 0, counter: 0 },
      base: { epoch: 0, counter: 0 },
      entries: [],
    });
    expect([...storage.recovered.state]).toEqual([]);
    expect(storage.recovered.findings).toEqual([]);
    await storage.close();
  });

  test("of a cluster that exists is a member without its memory: damaged, at every start", async () => {
    const dir = temporaryFolder();
    for (let start = 0; start < 2; start++) {
      const storage = await openStorage(options(dir, { bootstrap: false }));
      expect(storage.recovered.log.epochs.damage).toBe("identity");
      await storage.close();
    }
    const storage = await openStorage(options(dir, { bootstrap: true }));
    expect(storage.recovered.log.epochs.damage, "bootstrap does not make a lost memory good").toBe("identity");
    await storage.close();
  });

  test("half made by an interrupted start is made again", async () => {
    const dir = await formatted();
    const text = readFileSync(join(dir, "format.json"));
    rmSync(join(dir, "format.json"));
    writeFileSync(join(dir, "format.json.new"), text);
    rmSync(join(dir, "epochs"));
    const storage = await openStorage(options(dir));
    expect(storage.recovered.findings).toEqual([]);
    await storage.close();
    expect(readdirSync(dir)).not.toContain("format.json.new");
  });
});

describe("a folder is refused, with both sides and the fix, when it", () => {
  test("belongs to another cluster", async () => {
    const dir = await formatted();
    const message = await refusal(openStorage(options(dir, { clusterId: "orders" })));
    for (const part of [dir, '"ledger"', '"orders"', "Correct the cluster id"]) expect(message).toContain(part);
  });

  test("belongs to another node", async () => {
    const dir = await formatted();
    const message = await refusal(openStorage(options(dir, { nodeId: nodeId(3) })));
    for (const part of [dir, "n2", "n3", "Correct the node id"]) expect(message).toContain(part);
  });

  test("was written by a newer version", async () => {
    const dir = await formatted();
    const format = { product: "quorate", formatVersion: 9, clusterId: "ledger", nodeId: 2 };
    writeFileSync(join(dir, "format.json"), JSON.stringify({ format, crc32c: crc32c(Buffer.from(JSON.stringify(format))) }));
    const message = await refusal(openStorage(options(dir)));
    for (const part of [dir, "format 9", "reads up to 1", "newer version"]) expect(message).toContain(part);
  });

  test("is not Quorate's", async () => {
    const dir = temporaryFolder();
    mkdirSync(join(dir, "base"));
    writeFileSync(join(dir, "PG_VERSION"), "17");
    const message = await refusal(openStorage(options(dir)));
    for (const part of [dir, '"PG_VERSION"', '"base"', "empty folder"]) expect(message).toContain(part);
    expect(readdirSync(dir).sort()).toEqual(["PG_VERSION", "base"]);
  });

  test("has lost its format record but not the rest", async () => {
    const dir = await formatted();
    rmSync(join(dir, "format.json"));
    const message = await refusal(openStorage(options(dir)));
    for (const part of [dir, "no format.json", "move the folder away"]) expect(message).toContain(part);
  });

  test("is in use by this process", async () => {
    const dir = await formatted();
    const storage = await openStorage(options(dir));
    const message = await refusal(openStorage(options(dir)));
    for (const part of [dir, "in use by this process", String(process.pid)]) expect(message).toContain(part);
    await storage.close();
    await (await openStorage(options(dir))).close();
  });

  test("is in use by another process, and no longer when that one was killed", async () => {
    const dir = await formatted();
    // What holds the lock is LevelDB's own: any process that has it open stands for a running node.
    const script = `
      const { Level } = require("level");
      const { writeFileSync } = require("node:fs");
      new Level(process.argv[1] + "/lock").open().then(() => {
        writeFileSync(process.argv[1] + "/owner", String(process.pid));
        process.stdout.write("locked");
        setInterval(() => {}, 1000);
      });`;
    const child = spawn(process.execPath, ["-e", script, dir], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const message = await refusal(openStorage(options(dir)));
    for (const part of [dir, `in use by process ${child.pid}`, "Stop that process"]) expect(message).toContain(part);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    await (await openStorage(options(dir))).close();
  });

  test("cannot be made", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    const message = await refusal(openStorage(options(join(file, "data"))));
    expect(message).toContain("cannot be made");
  });
});

describe("a damaged record", () => {
  test("of the format is written again from the epochs record", async () => {
    const dir = await formatted();
    const path = join(dir, "format.json");
    writeFileSync(path, readFileSync(path, "utf8").replace("ledger", "ledgex"));
    const storage = await openStorage(options(dir));
    expect(storage.recovered.findings).toEqual([expect.stringContaining("format.json was unreadable")]);
    await storage.close();
    const again = await openStorage(options(dir));
    expect(again.recovered.findings).toEqual([]);
    await again.close();
  });

  test("of the format cannot hide another cluster's folder", async () => {
    const dir = await formatted();
    writeFileSync(join(dir, "format.json"), "{}");
    expect(await refusal(openStorage(options(dir, { clusterId: "orders" })))).toContain('"ledger"');
  });

  test("of the lock does not keep the node from starting", async () => {
    const dir = await formatted();
    for (const name of readdirSync(join(dir, "lock"))) if (name.startsWith("MANIFEST")) writeFileSync(join(dir, "lock", name), "rot");
    await (await openStorage(options(dir))).close();
  });

  test("of the epochs, both copies of a slot, comes up as a node that has lost its identity", async () => {
    const dir = await formatted();
    const path = join(dir, "epochs");
    const bytes = readFileSync(path);
    for (const copy of [0, 1]) bytes[copy * 32 * 1024 + 900] = (bytes[copy * 32 * 1024 + 900] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    for (let start = 0; start < 2; start++) {
      const storage = await openStorage(options(dir));
      expect(storage.recovered.log.epochs.damage).toBe("identity");
      expect(storage.recovered.findings.length).toBe(start === 0 ? 3 : 0);
      await storage.close();
    }
  });
});
