import { expect, test } from "vitest";
import { nodeId } from "../../src/base/index.js";
import { Checkpoints } from "../../src/replica/checkpoints.js";

const at = { epoch: 1, counter: 5 };
const want = (session: number) => ({ session, peer: nodeId(2), at, snapshotId: `s${session}` });

function watched() {
  const calls: string[] = [];
  const checkpoints = new Checkpoints(
    {
      checkpoint: () => calls.push("checkpoint"),
      pinSnapshot: () => ({ snapshotId: "s", at }),
      releaseSnapshot: () => undefined,
      install: (session) => calls.push(`install ${session}`),
      cancelInstall: (session) => calls.push(`cancel ${session}`),
    },
    10,
    10,
    at,
  );
  return { calls, checkpoints };
}

test("an install under way is given up when its session ends, and not when another does", () => {
  const { calls, checkpoints } = watched();
  checkpoints.install(want(1));
  checkpoints.wishesServed();
  checkpoints.sessionEnded(2);
  checkpoints.sessionEnded(1);
  expect(calls).toEqual(["install 1", "cancel 1"]);
  checkpoints.installed(undefined);
  checkpoints.install(want(3));
  expect(calls).toEqual(["install 1", "cancel 1", "install 3"]);
});

test("an install that waits for a checkpoint is given up as soon as it begins when its session has ended meanwhile", () => {
  const { calls, checkpoints } = watched();
  checkpoints.start(at, []);
  checkpoints.install(want(1));
  checkpoints.sessionEnded(1);
  expect(calls).toEqual(["checkpoint"]);
  checkpoints.finished(at);
  expect(calls).toEqual(["checkpoint", "install 1", "cancel 1"]);
});

test("an install asked for in the same turn in which its session ended is given up", () => {
  const { calls, checkpoints } = watched();
  checkpoints.sessionEnded(1);
  checkpoints.install(want(1));
  checkpoints.wishesServed();
  expect(calls).toEqual(["install 1", "cancel 1"]);
});
