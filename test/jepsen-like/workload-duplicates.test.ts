/**
 * Calls delivered again: on the real key-value participant nothing comes of them; a participant that forgets its roll backs is found out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { duplicated } from "../../jepsen-like/participants/duplicates.js";
import { newGid, Prng } from "../../src/base/index.js";
import type { Participant } from "../../src/participant/index.js";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";

const BRANCHES = 60;

let dir: string;
let store: KvParticipant;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "quorate-duplicates-"));
  store = kv({ name: "bank", dir });
  await store.start("cluster");
});

afterEach(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Prepares and settles, every third branch by a roll back, and waits until `enough` was told. Returns the problems. */
async function load(inner: Participant, enough: (problems: number, repeated: number) => boolean): Promise<readonly string[]> {
  const prng = new Prng("duplicates");
  const problems: string[] = [];
  let repeated = 0;
  const participant = duplicated(inner, prng, (problem) => {
    repeated += 1;
    if (problem !== undefined) problems.push(problem);
  });
  await Promise.all(
    Array.from({ length: BRANCHES }, async (_, i) => {
      const ref = { gid: newGid(Date.now(), prng.uint32), branch: "b" };
      const payload = kvPayload([{ op: "append", key: `row/${i}`, value: "x" }]);
      const { vote } = await participant.prepare({ ...ref, payload, epoch: 1 });
      expect(vote).toBe("yes");
      await (i % 3 === 0 ? participant.rollback(ref) : participant.commit(ref));
    }),
  );
  await expect.poll(() => enough(problems.length, repeated), { timeout: 10_000 }).toBe(true);
  return problems;
}

test("each effect happens once", async () => {
  expect(await load(store, (_, repeated) => repeated > 2 * BRANCHES)).toEqual([]);
  const rows = [];
  for await (const { value } of store.scan({ gte: "row/", lt: "row0" })) rows.push(value);
  expect(rows).toEqual(Array.from({ length: BRANCHES - BRANCHES / 3 }, () => "x"));
  expect(store.stats().held).toBe(0);
});

test("a yes to a prepare that comes after the roll back is a broken promise", async () => {
  const rolledBack = new Set<string>();
  const forgetful: Participant = {
    name: "bank",
    kind: "forgetful",
    manifest: { ...store.manifest, onePhase: false },
    start: (clusterId) => store.start(clusterId),
    prepare: (request) => (rolledBack.has(request.gid) ? Promise.resolve({ vote: "yes", detail: "" }) : store.prepare(request)),
    commit: (ref) => store.commit(ref),
    rollback: async (ref) => {
      const result = await store.rollback(ref);
      rolledBack.add(ref.gid);
      return result;
    },
    listInDoubt: (filter) => store.listInDoubt(filter),
    close: () => store.close(),
  };
  const problems = await load(forgetful, (found) => found > 0);
  expect(problems.join("\n")).toContain("a prepare repeated after the roll back was answered yes");
});
