import { expect, test } from "vitest";
import { zxid, type Zxid } from "../../src/base/index.js";
import { History } from "../../src/zab/history.js";
import type { Entry, EpochRecord } from "../../src/zab/index.js";
import { PersistQueue } from "../../src/zab/persist-queue.js";
import { configurationOf } from "./world/world.js";

const entry = (z: Zxid): Entry => ({ zxid: z, payload: new Uint8Array(3) });
const epochs = (acceptedEpoch: number, currentEpoch: number): EpochRecord => ({
  acceptedEpoch,
  currentEpoch,
  configuration: configurationOf(3),
  damage: undefined,
});

function queue(...zxids: readonly Zxid[]): { history: History; disk: PersistQueue } {
  const history = new History(zxid(0, 0), zxids.map(entry));
  return { history, disk: new PersistQueue(history, epochs(1, 1)) };
}

test("entries of several appends become one operation per drain, with the entry before the first", () => {
  const { history, disk } = queue(zxid(1, 1));
  history.append(entry(zxid(1, 2)));
  history.append(entry(zxid(1, 3)));
  disk.submitAppends(0);
  disk.submitAppends(0);
  const owed = disk.takeOwed();
  expect(owed.map(({ seq, op }) => [seq, op.kind])).toEqual([[1, "append"]]);
  expect(owed[0]?.op).toMatchObject({ previous: zxid(1, 1), entries: [{ zxid: zxid(1, 2) }, { zxid: zxid(1, 3) }] });
  expect(disk.durableIndex).toBe(1);
  disk.persisted(1);
  expect(disk.durableIndex).toBe(3);
  expect(disk.idle).toBe(true);
});

test("entries are submitted before the epoch that follows them", () => {
  const { history, disk } = queue();
  history.append(entry(zxid(1, 1)));
  disk.submitEpochs(epochs(2, 2), 0);
  expect(disk.takeOwed().map(({ op }) => op.kind)).toEqual(["append", "epochs"]);
});

test("a record of promises counts as kept only when it is on disk", () => {
  const { disk } = queue();
  disk.submitEpochs(epochs(5, 1), 0);
  expect([disk.durableEpochs.acceptedEpoch, disk.submittedEpochs.acceptedEpoch]).toEqual([1, 5]);
  disk.persisted(1);
  expect(disk.durableEpochs.acceptedEpoch).toBe(5);
  expect(() => disk.submitEpochs(epochs(4, 1), 0)).toThrow("never lowered");
});

test("the completion of an append that was truncated proves nothing about its replacement (append ABA)", () => {
  const { history, disk } = queue(zxid(1, 1));
  history.append(entry(zxid(1, 2)));
  history.append(entry(zxid(1, 3)));
  disk.submitAppends(0); // 1
  disk.truncate(1, 0); // 2
  history.append(entry(zxid(2, 1)));
  history.append(entry(zxid(2, 2)));
  disk.submitAppends(0); // 3
  disk.persisted(1);
  expect(disk.durableIndex).toBe(1);
  disk.persisted(2);
  expect(disk.durableIndex).toBe(1);
  disk.persisted(3);
  expect(disk.durableIndex).toBe(3);
});

test("entries that were never submitted are truncated without an operation", () => {
  const { history, disk } = queue(zxid(1, 1));
  history.append(entry(zxid(1, 2)));
  disk.truncate(1, 0);
  expect(disk.takeOwed()).toEqual([]);
  expect(disk.idle).toBe(true);
});

test("completions are cumulative; repeated ones change nothing and unknown ones are a bug", () => {
  const { history, disk } = queue();
  for (let i = 1; i <= 3; i++) {
    history.append(entry(zxid(1, i)));
    disk.submitAppends(i * 10);
  }
  expect(disk.waitingSinceMs).toBe(10);
  disk.persisted(2);
  expect([disk.durableIndex, disk.waitingSinceMs]).toEqual([2, 30]);
  disk.persisted(1);
  expect(disk.durableIndex).toBe(2);
  expect(() => disk.persisted(4)).toThrow("names a submitted operation");
});

test("an installed snapshot's base is durable at once, and appends before it prove nothing after it", () => {
  const { history, disk } = queue(zxid(1, 1));
  history.append(entry(zxid(1, 2)));
  disk.submitAppends(0);
  disk.reset(zxid(3, 4), 0);
  expect(disk.durableIndex).toBe(history.baseIndex);
  history.append(entry(zxid(3, 5)));
  disk.submitAppends(0);
  disk.persisted(2);
  expect(disk.durableIndex).toBe(history.baseIndex);
  disk.persisted(3);
  expect(history.zxidAt(disk.durableIndex)).toEqual(zxid(3, 5));
});
