import { describe, expect, test } from "vitest";
import { sealed, unsealed } from "../../src/server/snapshot-bridge.js";
import type { SnapshotChunk } from "../../src/storage/index.js";

const entry = (key: string) => ({ key, value: Buffer.from(key) });
const CHUNKS: readonly SnapshotChunk[] = [
  { entries: [entry("a"), entry("b")] },
  { entries: [entry("c")], end: { count: 3, digest: "0123456789abcdef" } },
];

async function* from<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

describe("a snapshot between storage and wire", () => {
  test("arrives as it left, with its seal", async () => {
    expect(await all(unsealed(sealed(from(CHUNKS), () => undefined)))).toEqual(CHUNKS);
  });

  test("arrives without an end when the stream was cut off, so that nobody installs it", async () => {
    const [first] = await all(sealed(from(CHUNKS), () => undefined));
    expect((await all(unsealed(from(first === undefined ? [] : [first])))).some((chunk) => chunk.end !== undefined)).toBe(false);
  });

  test("is refused when anything follows the seal, or the seal is malformed", async () => {
    const wire = await all(sealed(from(CHUNKS), () => undefined));
    await expect(all(unsealed(from([...wire, { entries: [entry("d")] }])))).rejects.toThrow("goes on after its seal");
    const last = wire.at(-1)?.entries ?? [];
    await expect(all(unsealed(from([{ entries: [...last, entry("d")] }])))).rejects.toThrow("goes on after its seal");
    const seal = last.at(-1);
    await expect(all(unsealed(from([{ entries: [{ key: seal?.key ?? "", value: Buffer.from("x") }] }])))).rejects.toThrow("malformed");
  });

  test("tells its end once, also when the reader gives up", async () => {
    let ends = 0;
    const reading = sealed(from(CHUNKS), () => ends++);
    await reading.next();
    await reading.return(undefined);
    expect(ends).toBe(1);
  });
});
