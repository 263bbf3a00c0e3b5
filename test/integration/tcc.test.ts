/**
 * Try, confirm, cancel over real processes: beside a participant that locks, under a leader that dies, from a client that does.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect, type Quorate } from "../../src/client/index.js";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";
import { tcc, TccRefusal } from "../../src/participant/index.js";
import type { Participant, TccCall } from "../../src/participant/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";

const WORK = Uint8Array.of(1);
const PAY = kvPayload([{ op: "add", key: "alice", delta: -5 }]);

let cluster: TestCluster;
let client: Quorate;
let dir: string;
let till: KvParticipant;
/** What `seats` was told, in order. */
let calls: TccCall[];
/** Times that the till was asked to prepare. */
let prepares: number;
let onTry: (call: TccCall) => Promise<void> | void;

beforeEach(async () => {
  cluster = await startCluster({ env: { QUORATE_ENABLE_FAILPOINTS: "1" } });
  dir = mkdtempSync(join(tmpdir(), "quorate-tcc-"));
  till = kv({ name: "till", dir: join(dir, "till") });
  calls = [];
  prepares = 0;
  onTry = () => undefined;
  client = await connect(cluster.endpoints, { requestTimeoutMs: 30_000 });
  const note = (call: TccCall): void => void calls.push(call);
  const seats = tcc({
    name: "seats",
    try: async (call) => {
      note(call);
      await onTry(call);
    },
    confirm: note,
    cancel: note,
  });
  await client.attach(seats, counted(till));
});

afterEach(async () => {
  await client.close({ drainMs: 0 });
  await till.close();
  await cluster.dispose();
  rmSync(dir, { recursive: true, force: true });
});

function counted(inner: KvParticipant): Participant {
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: { ...inner.manifest, onePhase: false },
    start: (clusterId) => inner.start(clusterId),
    prepare: (request) => {
      prepares++;
      return inner.prepare(request);
    },
    commit: (request) => inner.commit(request),
    rollback: (request) => inner.rollback(request),
    listInDoubt: (filter) => inner.listInDoubt(filter),
    close: () => inner.close(),
  };
}

const phases = (gid?: string): string[] => calls.filter((call) => gid === undefined || call.gid === gid).map(({ phase }) => phase);

/** Bound of this test, wide enough for a busy machine. */
const SETTLED_MS = 20_000;

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + SETTLED_MS;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`not within ${SETTLED_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const both = (gid: string, timeoutMs = 25_000): Promise<unknown> =>
  client.transaction(
    (tx) => {
      tx.ask("till", PAY);
      tx.ask("seats", WORK, { kind: "tcc" });
    },
    { gid, timeoutMs },
  );

test("one transaction of both kinds: tried, then prepared, then confirmed and committed", async () => {
  const gid = client.newGid();
  let before: number | undefined;
  onTry = () => void (before = prepares);
  await both(gid);
  await until("nothing is owed", async () => (await client.outcome(gid)).state === "committed");
  expect([before, prepares, phases(gid), await till.get("alice")]).toEqual([0, 1, ["try", "confirm"], -5]);
  expect((await client.outcome(gid)).branches.map(({ id, kind, vote }) => [id, kind, vote])).toEqual([
    ["seats", "tcc", "yes"],
    ["till", "2pc", "yes"],
  ]);
});

test("a refused try locks nothing, and is cancelled", async () => {
  onTry = () => {
    throw new TccRefusal("sold out");
  };
  const gid = client.newGid();
  await expect(both(gid)).rejects.toMatchObject({
    code: "QUORATE_ABORTED",
    reason: "vote-no",
    message: expect.stringContaining("sold out"),
  });
  await until("nothing is owed", async () => (await client.outcome(gid)).state === "aborted");
  expect([phases(gid), prepares, await till.get("alice")]).toEqual([["try", "cancel"], 0, undefined]);
});

test("a kind that the participant does not take is a no that says so", async () => {
  const ask = (participant: string, kind: "2pc" | "tcc"): Promise<unknown> =>
    client.transaction((tx) => void tx.ask(participant, participant === "till" ? PAY : WORK, { kind }), { timeoutMs: 25_000 });
  await expect(ask("till", "tcc")).rejects.toThrow("no attached instance of it takes branches of kind tcc");
  await expect(ask("seats", "2pc")).rejects.toThrow("no attached instance of it takes branches of kind 2pc");
  expect([phases(), prepares]).toEqual([[], 0]);
});

describe("the leader is killed for good", () => {
  test.each([
    ["when it has proposed nothing yet", "begin-propose"],
    ["before it sends a try, or a prepare", "prepare-send"],
    ["with the votes, before it proposes the decision", "decision-propose"],
    ["when the decision is applied, before anybody is told", "decision-applied"],
  ])("%s: the next one carries it on", async (_, failpoint) => {
    const leader = await cluster.leader();
    await cluster.failpoints(leader, `${failpoint}=crash`);
    const gid = client.newGid();
    await both(gid);
    await cluster.processes.exited(leader);
    await until("it is confirmed", () => phases(gid).includes("confirm"));
    await until("it is committed", async () => (await till.get("alice")) === -5);
    expect(phases(gid)).not.toContain("cancel");
  });
});

describe("a client's own try", () => {
  test("is confirmed by the cluster", async () => {
    const gid = client.newGid();
    const made = await client.transaction((tx) => tx.try("seats", ({ headers }) => headers["quorate-gid"]), { gid, timeoutMs: 25_000 });
    expect(made).toBe(gid);
    await until("it is confirmed", () => phases(gid).includes("confirm"));
    expect(phases(gid)).toEqual(["confirm"]);
  });

  test("is cancelled by the cluster when the client is gone", async () => {
    const other = await connect(cluster.endpoints);
    const tx = await other.begin({ timeoutMs: 60_000 });
    await tx.try("seats", () => "reserved");
    await other.close({ drainMs: 0 });
    await until("it is cancelled", () => phases(tx.gid).includes("cancel"));
    const { decision, reason } = await client.outcome(tx.gid);
    expect([decision, phases(tx.gid)]).toEqual(["abort", ["cancel"]]);
    expect(["client-lost", undefined]).toContain(reason);
  });
});
