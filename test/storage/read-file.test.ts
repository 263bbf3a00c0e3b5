import { expect, test } from "vitest";
import { readBlocks, UNREADABLE } from "../../src/storage/read-file.js";

const eio = (): Error => Object.assign(new Error("EIO: i/o error"), { code: "EIO" });

test("a block that cannot be read costs that block only, and does not read as zeros", async () => {
  const content = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i % 200) + 1));
  const bad = 2;
  const bytes = await readBlocks(24_000, async (target, offset, length, position) => {
    if (position < (bad + 1) * 4096 && position + length > bad * 4096) throw eio();
    return content.copy(target, offset, position, position + length);
  });
  expect(bytes.subarray(0, bad * 4096).equals(content.subarray(0, bad * 4096))).toBe(true);
  expect(bytes.subarray(bad * 4096, (bad + 1) * 4096).every((byte) => byte === UNREADABLE)).toBe(true);
  expect(bytes.subarray((bad + 1) * 4096, 20_000).equals(content.subarray((bad + 1) * 4096))).toBe(true);
  expect(bytes.subarray(20_000).every((byte) => byte === 0)).toBe(true);
});

test("any other failure is passed on", async () => {
  await expect(readBlocks(10, () => Promise.reject(Object.assign(new Error("EACCES"), { code: "EACCES" })))).rejects.toThrow("EACCES");
});
