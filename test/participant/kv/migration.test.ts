/** A store of format 1, which had no log, is brought to format 2 when it is started. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Level } from "level";
import { afterEach, beforeEach, expect, test } from "vitest";
import { crc32c, newGid } from "../../../src/base/index.js";
import { kv, kvPayload, type KvParticipant } from "../../../src/participant/kv/index.js";
import {
  branchKey,
  dataKey,
  decodeHead,
  encodeHead,
  encodeOutcome,
  encodePrepared,
  encodeValue,
  fingerprintOf,
  HEAD_KEY,
  type Head,
} from "../../../src/participant/kv/record.js";
import { StoreKey } from "../../../src/participant/kv/store-key.js";

const STORE_ID = "0123456789abcdef0123456789abcdef";
const SEQUENCE = 7;
const [committed, prepared] = [1000, 2000].map((time) => ({ gid: newGid(time, () => time), branch: "b" })) as [
  { gid: ReturnType<typeof newGid>; branch: string },
  { gid: ReturnType<typeof newGid>; branch: string },
];
let root: string;
let dir: string;
const opened: KvParticipant[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "quorate-kv-migration-"));
  dir = join(root, "store");
  mkdirSync(dir);
});
afterEach(async () => {
  for (const bank of opened.splice(0)) await bank.close();
  rmSync(root, { recursive: true, force: true });
});

async function open(): Promise<KvParticipant> {
  const bank = kv({ name: "bank", dir, logSegmentBytes: 16 * 1024 });
  opened.push(bank);
  await bank.start("cluster");
  return bank;
}

async function withLevel<T>(use: (level: Level<string, Buffer>) => Promise<T>): Promise<T> {
  const level = new Level<string, Buffer>(join(dir, "level"), { valueEncoding: "buffer" });
  try {
    return await use(level);
  } finally {
    await level.close();
  }
}

/** A slot of the promise file as format 1 had it. */
function slot(sequence: number, records: number, sum: number): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.writeUInt32LE(0x314b5651, 0);
  bytes.write(STORE_ID, 4, 16, "hex");
  bytes.writeUIntLE(sequence, 20, 6);
  bytes.writeUIntLE(records, 26, 6);
  bytes.writeUIntLE(sum, 32, 6);
  bytes.writeUInt32LE(crc32c(bytes, 0, 60), 60);
  return bytes;
}

/** What a participant of format 1 left: one key, one committed branch, one prepared one. `promised`: groups by the promise file. */
async function formatOne(promised = SEQUENCE): Promise<void> {
  const value = new StoreKey(dataKey("k"));
  const [done, open] = [committed, prepared].map((ref) => new StoreKey(branchKey(ref))) as [StoreKey, StoreKey];
  const record = encodeValue(value, 5);
  const payload = kvPayload([{ op: "add", key: "k", delta: 2 }]);
  const rows: (readonly [string, Buffer])[] = [
    [value.text, record],
    [done.text, encodeOutcome(done, { state: "committed", reads: [5] })],
    [open.text, encodePrepared(open, { epoch: 3, payload, reads: [], versions: [fingerprintOf(record)] })],
  ];
  const sum = rows.reduce((total, [, each]) => total + fingerprintOf(each), 0);
  const head = { storeId: STORE_ID, participant: "bank", clusterId: "cluster", sequence: SEQUENCE, records: 3, sum, epoch: 3, floorMs: 10 };
  await withLevel(async (level) => {
    for (const [key, each] of rows) await level.put(key, each);
    await level.put(HEAD_KEY, encodeHead({ format: 1, ...head } as unknown as Head));
  });
  writeFileSync(join(dir, "promise"), Buffer.concat([slot(promised - 1, 3, sum), slot(promised, 3, sum)]));
}

const formatNow = async (): Promise<unknown> =>
  withLevel(async (level) => {
    const head = await level.get(HEAD_KEY);
    return head === undefined ? undefined : decodeHead(head).format;
  });

async function expectWhole(): Promise<void> {
  const bank = await open();
  expect(bank.stats()).toMatchObject({ records: 3, groups: SEQUENCE, epoch: 3, floorMs: 10, prepared: 1 });
  expect(await bank.branch(committed)).toEqual({ state: "committed", reads: [5] });
  expect(await bank.listInDoubt()).toEqual([prepared]);
  expect(await bank.get("k")).toBe(5);
  expect(await bank.commit(prepared)).toEqual({ kind: "done" });
  await bank.close();
  const again = await open();
  expect([await again.get("k"), (await again.branch(prepared)).state, again.stats().groups]).toEqual([7, "committed", SEQUENCE + 1]);
  await again.close();
  expect(await formatNow()).toBe(2);
  expect(existsSync(join(dir, "promise"))).toBe(false);
}

test("with everything that it held, and it goes on from there", async () => {
  await formatOne();
  await expectWhole();
});

test("also when a crash interrupted that, wherever it did", async () => {
  await formatOne();
  await withLevel(async (level) => {
    const head = decodeHead((await level.get(HEAD_KEY)) as Buffer);
    await level.put(HEAD_KEY, encodeHead({ ...head, format: 2 }));
  });
  // Half a log.
  mkdirSync(join(dir, "log"));
  writeFileSync(join(dir, "log", "0000000001.wal"), "half");
  await expectWhole();
});

test("and is refused, unchanged, when LevelDB lost what the promise file promises", async () => {
  await formatOne(SEQUENCE + 1);
  await expect(open()).rejects.toMatchObject({
    code: "QUORATE_DATA_FOLDER",
    message: expect.stringMatching(/LevelDB lost synced writes without an error: 8 groups were promised, it has 7/) as string,
  });
  expect(await formatNow()).toBe(1);
  rmSync(join(dir, "promise"));
  await expect(open()).rejects.toMatchObject({
    message: expect.stringMatching(/the promise file is gone, and 7 groups were written/) as string,
  });
  writeFileSync(join(dir, "promise"), Buffer.alloc(8192));
  await expect(open()).rejects.toMatchObject({ message: expect.stringMatching(/neither of its slots is intact/) as string });
});

test("a newer format is refused with what to do", async () => {
  await formatOne();
  await withLevel(async (level) => {
    const head = decodeHead((await level.get(HEAD_KEY)) as Buffer);
    await level.put(HEAD_KEY, encodeHead({ ...head, format: 3 } as unknown as Head));
  });
  await expect(open()).rejects.toMatchObject({
    code: "QUORATE_DATA_FOLDER",
    message: expect.stringMatching(/it has format 3; this version reads formats 1 and 2. Start it with the newer version/) as string,
  });
});
