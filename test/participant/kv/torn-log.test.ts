/** A write of the log that a power cut tore: cut at every byte, what was durable before it is there and the torn group is gone whole. */
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newGid } from "../../../src/base/index.js";
import { kv, kvPayload, type KvParticipant } from "../../../src/participant/kv/index.js";

const [first, second] = [1, 2].map((time) => ({ gid: newGid(time, () => time), branch: "b" })) as [
  { gid: ReturnType<typeof newGid>; branch: string },
  { gid: ReturnType<typeof newGid>; branch: string },
];
const work = { payload: kvPayload([{ op: "add", key: "k", delta: 1 }]), epoch: 1 };

async function open(dir: string): Promise<KvParticipant> {
  const bank = kv({ name: "bank", dir, logSegmentBytes: 8 * 1024 });
  await bank.start("cluster").catch(async (error: unknown) => {
    await bank.close();
    throw error;
  });
  return bank;
}

const logOf = (dir: string): string => join(dir, "log", readdirSync(join(dir, "log")).find((name) => name.endsWith(".wal")) ?? "");

function contentEnd(bytes: Buffer): number {
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  return end;
}

test("a torn last group is cut off, one that was changed is refused, and nothing before it is lost", async () => {
  const root = mkdtempSync(join(tmpdir(), "quorate-kv-torn-"));
  const live = join(root, "live");
  const image = join(root, "image");
  const bank = await open(live);
  try {
    await bank.prepare({ ...first, ...work });
    await bank.commit(first);
    const from = contentEnd(readFileSync(logOf(live)));
    await bank.prepare({ ...second, ...work });
    // Before the mark says that it was synced.
    cpSync(live, image, { recursive: true });
    const whole = readFileSync(logOf(image));
    const to = contentEnd(whole);
    expect(to - from).toBeGreaterThan(150);
    const check = async (dir: string): Promise<string> => {
      const opened = await open(dir);
      try {
        expect([await opened.get("k"), (await opened.branch(first)).state]).toEqual([1, "committed"]);
        // It goes on from there.
        expect((await opened.prepare({ ...second, ...work })).vote).toBe("yes");
        expect(await opened.commit(second)).toEqual({ kind: "done" });
        return String(await opened.get("k"));
      } finally {
        await opened.close();
      }
    };
    for (let cut = from; cut <= to; cut++) {
      const dir = join(root, String(cut));
      cpSync(image, dir, { recursive: true });
      writeFileSync(logOf(dir), Buffer.concat([whole.subarray(0, cut), Buffer.alloc(whole.length - cut)]));
      expect(await check(dir)).toBe("2");
      rmSync(dir, { recursive: true });
    }
    for (let at = from + 40; at < to; at += 13) {
      const dir = join(root, `flipped-${at}`);
      cpSync(image, dir, { recursive: true });
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ 0x10;
      writeFileSync(logOf(dir), bytes);
      await expect(open(dir)).rejects.toMatchObject({
        code: "QUORATE_DATA_FOLDER",
        message: expect.stringMatching(/log is damaged/) as string,
      });
      rmSync(dir, { recursive: true });
    }
  } finally {
    await bank.close();
    rmSync(root, { recursive: true, force: true });
  }
}, 120_000);
