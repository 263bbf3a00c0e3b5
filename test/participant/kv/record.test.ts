import fc from "fast-check";
import { expect, test } from "vitest";
import { newGid } from "../../../src/base/index.js";
import {
  branchKey,
  branchKeyFloor,
  decodeHead,
  decodeRow,
  decodeValue,
  encodeHead,
  encodeOutcome,
  encodePrepared,
  encodeValue,
  HEAD,
  isIntact,
  parseBranchKey,
} from "../../../src/participant/kv/record.js";
import { StoreKey } from "../../../src/participant/kv/store-key.js";

const key = (text: string): StoreKey => new StoreKey(text);
const value = fc.oneof(
  fc.string({ unit: "grapheme" }).filter((text) => !/\p{Surrogate}/u.test(text)),
  fc.maxSafeInteger(),
);
const reads = fc.array(fc.option(value), { maxLength: 4 });
const gid = fc.tuple(fc.nat(2 ** 40), fc.integer()).map(([timeMs, seed]) => newGid(timeMs, () => seed));

test("records come back as they were written", () => {
  fc.assert(
    fc.property(value, reads, fc.array(fc.nat(0xffffffff)), fc.uint8Array(), fc.nat(2 ** 40), (v, r, versions, payload, epoch) => {
      expect(decodeValue(encodeValue(key("k"), v))).toBe(v);
      const row = { epoch, payload, reads: r, versions };
      const decoded = decodeRow(encodePrepared(key("b:k"), row));
      expect({ ...decoded, payload: Uint8Array.from((decoded as { payload: Uint8Array }).payload) }).toEqual({ state: "prepared", ...row });
      for (const state of ["committed", "rolled-back"] as const)
        expect(decodeRow(encodeOutcome(key("b:k"), { state, reads: r }))).toEqual({ state, reads: r });
    }),
  );
});

test("a flipped bit anywhere, a cut, and a record under another key are all noticed", () => {
  fc.assert(
    fc.property(value, fc.nat(), (v, where) => {
      const record = encodeValue(key("k"), v);
      expect(isIntact(key("k"), record)).toBe(true);
      expect(isIntact(key("l"), record)).toBe(false);
      expect(isIntact(key("k"), record.subarray(0, where % record.length))).toBe(false);
      const bit = where % (record.length * 8);
      record[bit >> 3] = (record[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(isIntact(key("k"), record)).toBe(false);
    }),
  );
});

test("branch rows sort by the gid's own time, whatever its group, and their keys can be read back", () => {
  fc.assert(
    fc.property(gid, fc.constantFrom("q", "zz9"), fc.nat(2 ** 40), (of, group, floorMs) => {
      const grouped = `${group}${of.slice(of.indexOf("-"))}` as typeof of;
      const rowKey = branchKey({ gid: grouped, branch: "b-1_x" });
      expect(parseBranchKey(rowKey)).toEqual({ gid: grouped, branch: "b-1_x" });
      const timeMs = Number.parseInt(of.slice(of.indexOf("-") + 1).slice(0, 12), 16);
      expect(rowKey < branchKeyFloor(floorMs)).toBe(timeMs < floorMs);
    }),
  );
});

test("the head comes back as it was written", () => {
  const head = {
    format: 2,
    storeId: "00",
    participant: "bank",
    clusterId: "c",
    sequence: 2 ** 40,
    records: 7,
    sum: 2 ** 47,
    epoch: 3,
    floorMs: 5,
  } as const;
  expect(decodeHead(encodeHead(head))).toEqual(head);
  expect(isIntact(HEAD, encodeHead(head))).toBe(true);
});
