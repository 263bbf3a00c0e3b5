/** A commit is one group of writes: whenever the process dies under it, the effects and the row that says so are there together. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { newGid } from "../../../src/base/index.js";
import { kv, kvPayload, type KvOptions, type KvParticipant } from "../../../src/participant/kv/index.js";
import { copyStore } from "../../support/copy-store.js";

const COMMITS = 6;
const COPIES_MAX = 12;
const SMALL = { logSegmentBytes: 16 * 1024 };
/** Every commit is followed by a checkpoint. */
const EAGER = { ...SMALL, checkpointRecords: 1 };

async function open(dir: string, sizes: Partial<KvOptions> = SMALL): Promise<KvParticipant> {
  const opened = kv({ name: "bank", dir, lockWaitMs: 0, youngerLockWaitMs: 0, ...sizes });
  await opened.start("cluster");
  return opened;
}

test.each([
  ["", SMALL],
  [" while checkpoints run", EAGER],
])(
  "a crash at any turn of a commit leaves all of it or nothing, and the store opens%s",
  async (_, sizes) => {
    const root = mkdtempSync(join(tmpdir(), "quorate-kv-crash-"));
    const bank = await open(join(root, "live"), sizes);
    const seen = new Set<string>();
    try {
      for (let i = 1; i <= COMMITS; i++) {
        const ref = { gid: newGid(i, () => i), branch: "b" };
        const payload = kvPayload([
          { op: "add", key: "from", delta: -1 },
          { op: "add", key: "to", delta: 1 },
        ]);
        await bank.prepare({ ...ref, payload, epoch: 1 });
        let done = false;
        const committed = bank.commit(ref).then((result) => {
          done = true;
          return result;
        });
        const copies: string[] = [];
        while (!done && copies.length < COPIES_MAX) {
          const to = join(root, `${i}-${copies.length}`);
          copyStore(join(root, "live"), to);
          copies.push(to);
          await turn();
        }
        expect(await committed).toEqual({ kind: "done" });
        for (const dir of copies) {
          const crashed = await open(dir);
          const { state } = await crashed.branch(ref);
          const balance = Number((await crashed.get("to")) ?? 0);
          expect({ state, balance, from: Number((await crashed.get("from")) ?? 0) + balance }).toEqual(
            state === "committed" ? { state, balance: i, from: 0 } : { state: "prepared", balance: i - 1, from: 0 },
          );
          seen.add(state);
          await crashed.close();
        }
      }
      expect([...seen].sort()).toEqual(["committed", "prepared"]);
    } finally {
      await bank.close();
      rmSync(root, { recursive: true, force: true });
    }
  },
  60_000,
);

test("a crash at any turn of a checkpoint leaves a log that reaches down to LevelDB", async () => {
  const root = mkdtempSync(join(tmpdir(), "quorate-kv-crash-"));
  // Every group fills a segment of its own, and every commit is followed by a checkpoint that drops some.
  const bank = await open(join(root, "live"), { logSegmentBytes: 8 * 1024, checkpointRecords: 1 });
  const filler = "x".repeat(3000);
  try {
    for (let i = 1; i <= COMMITS; i++) {
      const ref = { gid: newGid(i, () => i), branch: "b" };
      await bank.prepare({ ...ref, payload: kvPayload([{ op: "put", key: `k${i}`, value: filler }]), epoch: 1 });
      await bank.commit(ref);
      for (let turns = 0; turns < COPIES_MAX / 2; turns++) {
        const to = join(root, `${i}-${turns}`);
        copyStore(join(root, "live"), to);
        const crashed = await open(to);
        for (let k = 1; k <= i; k++) expect(await crashed.get(`k${k}`)).toBe(filler);
        await crashed.close();
        rmSync(to, { recursive: true });
      }
    }
    expect(readdirSync(join(root, "live", "log")).filter((name) => name.endsWith(".wal")).length).toBeLessThan(2 * COMMITS);
  } finally {
    await bank.close();
    rmSync(root, { recursive: true, force: true });
  }
}, 60_000);
