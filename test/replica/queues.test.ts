import fc from "fast-check";
import { expect, test } from "vitest";
import { zxid } from "../../src/base/index.js";
import { ProposalQueue } from "../../src/replica/proposal-queue.js";
import { ReadQueue } from "../../src/replica/read-queue.js";
import type { StampedCommand } from "../../src/txn/index.js";

const command = (stampMs: number): StampedCommand => ({ stampMs, command: { kind: "NOOP" } });

test("a proposal is handed back for its own zxid only, across any batching", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 30 }), fc.boolean(), (batches, interleave) => {
      const queue = new ProposalQueue();
      let proposed = 0;
      let applied = 0;
      const apply = (): void => {
        applied += 1;
        expect(queue.take(zxid(3, applied))?.stampMs).toBe(applied);
        expect(queue.take(zxid(3, applied))).toBeUndefined();
      };
      for (const size of batches) {
        queue.push(
          zxid(3, proposed + 1),
          Array.from({ length: size }, (_, i) => command(proposed + 1 + i)),
        );
        proposed += size;
        while (interleave && applied < proposed) apply();
      }
      while (applied < proposed) apply();
      expect(queue.take(zxid(4, 1))).toBeUndefined();
    }),
  );
});

test("proposals of an earlier epoch are never handed out for a later one", () => {
  const queue = new ProposalQueue();
  queue.push(zxid(1, 1), [command(1), command(2)]);
  queue.push(zxid(2, 1), [command(10)]);
  expect(queue.take(zxid(1, 2))).toBeUndefined();
  expect(queue.take(zxid(2, 1))?.stampMs).toBe(10);
});

test("a read is served only when a quorum confirmed it and apply has reached its index", () => {
  const reads = new ReadQueue();
  const body = { kind: "read", name: "x" } as const;
  const first = reads.add(1, 11, body);
  const second = reads.add(1, 12, body);
  expect(first).not.toBe(second);
  expect(reads.ready(zxid(9, 9))).toEqual([]);
  reads.confirmed(first, true, zxid(1, 5));
  expect(reads.ready(zxid(1, 4))).toEqual([]);
  expect(reads.ready(zxid(1, 5)).map((read) => read.request)).toEqual([11]);
  reads.confirmed(first, true, zxid(1, 5));
  expect(reads.ready(zxid(1, 5))).toEqual([]);
  expect(reads.clear().map((read) => read.request)).toEqual([12]);
});
