/**
 * A learner asks for a snapshot and is gone in the same turn. Its end was heard before its wish was looked at, so the pin made for it
 * was nobody's: it held an old view of the state for the life of the process.
 */
import { expect, test } from "vitest";
import { Checkpoints } from "../../src/replica/checkpoints.js";

test("a session that ended before its wish was looked at gets no pin; a later one does", () => {
  let pinned = 0;
  const at = { epoch: 1, counter: 1 };
  const checkpoints = new Checkpoints(
    {
      checkpoint: () => undefined,
      pinSnapshot: () => ({ snapshotId: `s${++pinned}`, at }),
      releaseSnapshot: () => pinned--,
      install: () => undefined,
      cancelInstall: () => undefined,
    },
    10,
    10,
    at,
  );
  checkpoints.sessionEnded(7);
  expect(checkpoints.pin(7)).toBeUndefined();
  expect(pinned).toBe(0);
  checkpoints.wishesServed();
  expect(checkpoints.pin(8)?.at).toEqual(at);
  checkpoints.sessionEnded(8);
  expect(pinned).toBe(0);
});
