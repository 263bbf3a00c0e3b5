import { describe, expect, test } from "vitest";
import { Prng, ZXID_ZERO } from "../../src/base/index.js";
import type { Zxid } from "../../src/base/index.js";
import { BatchBuffer, RECORD_ENTRY, RECORD_TRUNCATE } from "../../src/storage/log-format.js";
import { scanSegment } from "../../src/storage/log-scan.js";

const SEED = 0x51_9e_ed;
const FROM = 4096;
const SIZE = 12 * 1024;

interface Built {
  readonly bytes: Buffer;
  /** Where each batch starts, and the end of the last. */
  readonly batches: number[];
  readonly zxids: Zxid[];
  readonly ends: number[];
}

/** Batches of records, each with `synced` = the start of its own batch, as the writer makes them. */
function build(sizes: readonly (readonly number[])[]): Built {
  const bytes = Buffer.alloc(SIZE);
  const random = new Prng("payloads");
  const batches: number[] = [];
  const zxids: Zxid[] = [];
  const ends: number[] = [];
  let at = FROM;
  let last = ZXID_ZERO;
  for (const batch of sizes) {
    const buffer = new BatchBuffer(64);
    batches.push(at);
    for (const size of batch) {
      const zxid = { epoch: 3, counter: last.counter + 1 };
      const payload = Uint8Array.from({ length: size }, () => random.int(0, 255));
      buffer.append(RECORD_ENTRY, zxid, last, payload, at, SEED);
      last = zxid;
      zxids.push(zxid);
      ends.push(at + buffer.length);
    }
    buffer.bytes.copy(bytes, at, 0, buffer.length);
    at += buffer.length;
  }
  batches.push(at);
  return { bytes, batches, zxids, ends };
}

const scan = (bytes: Buffer, known = 0, sealed?: number) => scanSegment(bytes, SEED, FROM, ZXID_ZERO, sealed, known);

const SIZES = [[10, 300, 0], [64], [500, 20, 700, 33, 1], [128, 5, 900, 40, 256]];

describe("a scan of a segment", () => {
  test("returns every record of an intact segment", () => {
    const { bytes, zxids, batches } = build(SIZES);
    const result = scan(bytes);
    expect(result).toMatchObject({ verdict: "clean", end: batches.at(-1), synced: batches.at(-2) });
    expect(result.records.map(({ zxid }) => zxid)).toEqual(zxids);
  });

  test("cut at every byte of the last batch, it returns exactly the records before the cut and calls the rest torn", () => {
    const { bytes, batches, ends } = build(SIZES);
    const [start, end] = [batches.at(-2) ?? 0, batches.at(-1) ?? 0];
    for (let cut = start; cut <= end; cut++) {
      const image = Buffer.from(bytes).fill(0, cut);
      const result = scan(image);
      const whole = ends.filter((each) => each <= cut).length;
      expect(result.records.length, `cut at ${cut}`).toBe(whole);
      const atBoundary = cut === start || ends.includes(cut);
      // The zeros at the end of a record's padding, if any, are what a cut leaves as well.
      expect(atBoundary ? ["clean"] : ["torn", "clean"], `cut at ${cut}`).toContain(result.verdict);
      if (!atBoundary && !isZeroFrom(image, result.end)) expect(result.verdict).toBe("torn");
    }
  });

  test("cut below a point known to be synced, it reports damage with the verified prefix", () => {
    const { bytes, batches, ends } = build(SIZES);
    const known = batches.at(-2) ?? 0;
    for (let cut = FROM; cut < known; cut++) {
      const result = scan(Buffer.from(bytes).fill(0, cut), known);
      expect(result.verdict, `cut at ${cut}`).toBe("damaged");
      expect(result.records.length).toBe(ends.filter((each) => each <= cut).length);
    }
  });

  test("whatever sectors of the last write are lost, it is torn and never damage", () => {
    const { bytes, batches, ends } = build(SIZES);
    const [start, end] = [batches.at(-2) ?? 0, batches.at(-1) ?? 0];
    const sectors: [number, number][] = [];
    for (let at = start; at < end; at = at - (at % 512) + 512) sectors.push([at, Math.min(end, at - (at % 512) + 512)]);
    for (let lost = 0; lost < 1 << sectors.length; lost++) {
      const image = Buffer.from(bytes);
      for (const [i, [from, to]] of sectors.entries()) if ((lost >> i) & 1) image.fill(0, from, to);
      const result = scan(image);
      const firstLost = sectors.find((_, i) => (lost >> i) & 1)?.[0] ?? end;
      expect(result.verdict, `lost ${lost.toString(2)}`).not.toBe("damaged");
      expect(result.records.length).toBeGreaterThanOrEqual(ends.filter((each) => each <= firstLost).length);
      if (lost === 0) expect(result.records.length).toBe(ends.length);
    }
  });

  test("with any single bit flipped, it returns every record or reports damage: never silently fewer", () => {
    const { bytes, batches, zxids } = build(SIZES);
    const end = batches.at(-1) ?? 0;
    const outcomes = { whole: 0, damaged: 0 };
    for (let at = FROM; at < end + 64; at++) {
      for (let bit = 0; bit < 8; bit++) {
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        const result = scan(bytes);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        if (result.verdict === "damaged") outcomes.damaged++;
        else {
          outcomes.whole++;
          if (result.records.length !== zxids.length)
            expect.fail(`bit ${bit} of byte ${at} silently lost ${zxids.length - result.records.length} records`);
        }
        // What is returned is a prefix of what was written, with its own zxids.
        for (const [i, record] of result.records.entries())
          if (record.zxid.counter !== zxids[i]?.counter) expect.fail(`wrong record at ${at}`);
      }
    }
    // Nearly everything before the end is detected: what is not lies in padding and in the zeros after the end.
    expect(outcomes.damaged).toBeGreaterThan((end - FROM) * 8 * 0.97);
  });

  test("a lost sector that a later record was written after is damage", () => {
    const { bytes, batches } = build(SIZES);
    const image = Buffer.from(bytes).fill(
      0,
      (batches[2] ?? 0) - ((batches[2] ?? 0) % 512) + 512,
      (batches[2] ?? 0) - ((batches[2] ?? 0) % 512) + 1024,
    );
    expect(scan(image)).toMatchObject({ verdict: "damaged", end: batches[2] });
  });

  test("a sealed segment must be whole to its end", () => {
    const { bytes, batches } = build(SIZES);
    const end = batches.at(-1) ?? 0;
    expect(scan(bytes, 0, end).verdict).toBe("clean");
    expect(scan(bytes, 0, end + 8).verdict).toBe("damaged");
    expect(scan(Buffer.from(bytes).fill(0, end - 1, end), 0, end).verdict).toBe("damaged");
    // What lies past the end of a sealed segment is not part of the log.
    expect(scan(Buffer.from(bytes).fill(0xff, end), 0, end).verdict).toBe("clean");
  });

  test("a record from another segment or another place is not valid", () => {
    const { bytes, batches } = build([[100], [100]]);
    expect(scanSegment(bytes, SEED + 1, FROM, ZXID_ZERO, undefined, 0).records).toHaveLength(0);
    const moved = Buffer.alloc(SIZE);
    bytes.copy(moved, FROM + 8, FROM, batches.at(-1));
    expect(scan(moved).records).toEqual([]);
  });

  test("a record that does not continue the one before is damage", () => {
    const buffer = new BatchBuffer(64);
    buffer.append(RECORD_ENTRY, { epoch: 1, counter: 1 }, ZXID_ZERO, Buffer.from("a"), FROM, SEED);
    buffer.append(RECORD_ENTRY, { epoch: 1, counter: 3 }, { epoch: 1, counter: 2 }, Buffer.from("c"), FROM, SEED);
    const bytes = Buffer.alloc(SIZE);
    buffer.bytes.copy(bytes, FROM, 0, buffer.length);
    const result = scan(bytes);
    expect(result).toMatchObject({ verdict: "damaged", last: { epoch: 1, counter: 1 } });
    expect(result.finding).toContain("continues 1:2");
  });

  test("counters above 2^32 and epochs up to 2^32-1 survive", () => {
    const big = { epoch: 0xffff_ffff, counter: Number.MAX_SAFE_INTEGER - 1 };
    const bigger = { epoch: 0xffff_ffff, counter: Number.MAX_SAFE_INTEGER };
    const buffer = new BatchBuffer(64);
    buffer.append(RECORD_ENTRY, bigger, big, Buffer.from("x"), FROM, SEED);
    buffer.append(RECORD_TRUNCATE, big, bigger, undefined, FROM, SEED);
    const bytes = Buffer.alloc(SIZE);
    buffer.bytes.copy(bytes, FROM, 0, buffer.length);
    const result = scanSegment(bytes, SEED, FROM, big, undefined, 0);
    expect(result.records.map(({ type, zxid }) => ({ type, zxid }))).toEqual([
      { type: RECORD_ENTRY, zxid: bigger },
      { type: RECORD_TRUNCATE, zxid: big },
    ]);
  });
});

function isZeroFrom(bytes: Buffer, at: number): boolean {
  return bytes.subarray(at).every((byte) => byte === 0);
}
