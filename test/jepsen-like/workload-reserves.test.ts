/**
 * Calls of a store that reserves, disturbed: behind a real barrier nothing comes of it; a barrier that lets everything through is found out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { HostEvent } from "../../jepsen-like/participants/messages.js";
import { reserveCalls } from "../../jepsen-like/participants/reserve-calls.js";
import { ReserveStore } from "../../jepsen-like/participants/reserve-store.js";
import { ACCOUNTS, BALANCE } from "../../jepsen-like/participants/resource.js";
import { barrier } from "../../src/barrier/index.js";
import { newGid, Prng } from "../../src/base/index.js";
import { tcc, TccRefusal, type Participant, type TccBarrier } from "../../src/participant/index.js";

const BRANCHES = 40;

let dir: string;
let store: ReserveStore;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "quorate-reserves-"));
  store = await ReserveStore.open(dir, (message) => new TccRefusal(message));
});

afterEach(async () => {
  await store.db.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Every call again until it is answered, as a coordinator does. */
async function until<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    const answer = await call().catch(() => undefined);
    if (answer !== undefined) return answer;
  }
}

/** Every third branch is cancelled while its try is under way. Returns what was told. */
async function load(
  marks: TccBarrier<ReserveStore["db"]>,
  enough: (events: readonly HostEvent[]) => boolean,
): Promise<readonly HostEvent[]> {
  const events: HostEvent[] = [];
  const participant: Participant = tcc({
    name: "hotel",
    barrier: reserveCalls(marks, (event) => events.push(event), new Prng("reserves")),
    try: (call) => store.try(call, { moves: [{ account: 1, delta: -3 }], doomed: false, listed: true }),
    confirm: (call) => store.confirm(call),
    cancel: (call) => store.cancel(call),
  });
  await participant.start("cluster");
  const random = new Prng("gids").uint32;
  await Promise.all(
    Array.from({ length: BRANCHES }, async (_, i) => {
      const ref = { gid: newGid(Date.now(), random), branch: "b" };
      const tried = until(() => participant.prepare({ ...ref, payload: new Uint8Array(), epoch: 1 }));
      if (i % 3 === 0) await Promise.all([tried, until(() => participant.rollback(ref))]);
      else {
        expect(await tried).toMatchObject({ vote: "yes" });
        await until(() => participant.commit(ref));
      }
    }),
  );
  await expect.poll(() => enough(events), { timeout: 10_000 }).toBe(true);
  return events;
}

test("each reserve is confirmed or cancelled once, and a try after its cancel is refused", async () => {
  const events = await load(barrier.kv(store.db), (told) => told.filter(({ kind }) => kind === "duplicate").length > BRANCHES / 2);
  expect(events.filter((event) => event.kind === "duplicate" && event.problem !== undefined)).toEqual([]);
  expect(events.filter(({ kind }) => kind === "late-try").length).toBeGreaterThan(0);
  const cancelled = Math.ceil(BRANCHES / 3);
  const spent = 3 * (BRANCHES - cancelled);
  expect(await store.books()).toEqual({ total: ACCOUNTS * BALANCE - spent, lowest: BALANCE - spent, reserved: 0, held: 0, open: 0 });
  const rows = await store.rows(undefined, 2 * BRANCHES);
  expect(rows.every(({ tries }) => tries === 1)).toBe(true);
  expect(rows.filter(({ confirms, cancels }) => confirms === 1 && cancels === 0)).toHaveLength(BRANCHES - cancelled);
  expect(rows.filter(({ confirms }) => confirms !== 1).every(({ cancels, confirms }) => cancels === 1 && confirms === 0)).toBe(true);
  expect(await store.inDoubt()).toEqual([]);
});

test("a barrier that forgets what was done is found out", async () => {
  const turns: { last: Promise<unknown> } = { last: Promise.resolve() };
  const forgetful: TccBarrier<ReserveStore["db"]> = {
    call: (_call, fn) => {
      const run = turns.last.then(async (): Promise<{ readonly kind: "done" }> => {
        await store.db.batch((await fn(store.db)) as never[]);
        return { kind: "done" };
      });
      turns.last = run.catch(() => undefined);
      return run;
    },
  };
  const events = await load(forgetful, (told) => told.some((event) => event.kind === "duplicate" && event.problem !== undefined));
  expect(events.map((event) => (event.kind === "duplicate" ? (event.problem ?? "") : "")).join("\n")).toContain("was done a second time");
  const rows = await store.rows(undefined, 2 * BRANCHES);
  expect(rows.some(({ tries, confirms, cancels }) => tries > 1 || confirms + cancels > 1)).toBe(true);
});
