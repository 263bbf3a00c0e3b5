/**
 * A transaction that one participant alone decides, over real processes: the leader, the participant, or both die in the middle of its
 * one-phase commit. The work is done once, and the outcome is the truth.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect, type Quorate } from "../../src/client/index.js";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";
import type { OnePhaseResult, Participant, PrepareRequest } from "../../src/participant/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { KvProcess } from "../support/kv-process.js";

/** Bound of this test, wide enough for a busy machine. */
const SETTLED_MS = 20_000;

let cluster: TestCluster;
let client: Quorate;
let dir: string;
let bank: KvParticipant;
let remote: KvProcess;
/** Runs in place of the participant's one-phase commit. */
let around: (request: PrepareRequest, run: () => Promise<OnePhaseResult>) => Promise<OnePhaseResult>;
let calls: { readonly phase: string; readonly epoch: number }[];

beforeEach(async () => {
  cluster = await startCluster({ env: { QUORATE_ENABLE_FAILPOINTS: "1", QUORATE_DELEGATION: "true" } });
  dir = mkdtempSync(join(tmpdir(), "quorate-delegated-"));
  bank = kv({ name: "bank", dir: join(dir, "bank") });
  around = (_, run) => run();
  calls = [];
  client = await connect(cluster.endpoints, { requestTimeoutMs: 30_000 });
  await client.attach(watched(bank));
  remote = new KvProcess("remote", join(dir, "remote"), cluster.endpoints);
  await remote.start(client);
});

afterEach(async () => {
  await client.close({ drainMs: 0 });
  await remote.kill9();
  await bank.close();
  await cluster.dispose();
  rmSync(dir, { recursive: true, force: true });
});

function watched(inner: KvParticipant): Participant {
  const note = (phase: string, epoch = 0): void => void calls.push({ phase, epoch });
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: inner.manifest,
    start: (clusterId) => inner.start(clusterId),
    prepare: (request) => {
      note("prepare", request.epoch);
      return inner.prepare(request);
    },
    commitOnePhase: (request) => {
      note("one-phase", request.epoch);
      return around(request, () => inner.commitOnePhase(request));
    },
    commit: (ref) => {
      note("commit");
      return inner.commit(ref);
    },
    rollback: (ref) => {
      note("rollback");
      return inner.rollback(ref);
    },
    listInDoubt: (filter) => inner.listInDoubt(filter),
    close: () => inner.close(),
  };
}

const pay = (gid: string, to = "bank", timeoutMs = 25_000, min?: number): Promise<unknown> =>
  client.transaction((tx) => tx.ask(to, kvPayload([{ op: "add", key: "alice", delta: -5, ...(min === undefined ? {} : { min }) }])), {
    gid,
    timeoutMs,
  });
const phases = (): string[] => [...new Set(calls.map(({ phase }) => phase))];

test("one call does it, and one call refuses it", async () => {
  const [done, refused] = [client.newGid(), client.newGid()];
  await pay(done);
  expect(calls).toHaveLength(1);
  await expect(pay(refused, "bank", 5_000, 0)).rejects.toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted", reason: "vote-no" });
  expect([phases(), calls.length, await bank.get("alice"), bank.stats().held]).toEqual([["one-phase"], 2, -5, 0]);
  expect((await client.outcome(done)).branches.map(({ vote, done }) => [vote, done])).toEqual([["yes", true]]);
  expect((await client.outcome(refused)).decision).toBe("abort");
});

describe("the leader is killed for good", () => {
  test.each([
    ["before its BEGIN is proposed", "begin-propose"],
    ["after BEGIN is applied, before the one-phase commit is sent", "one-phase-send"],
    ["after the participant committed, before the decision is proposed", "decision-propose"],
    ["when the decision is applied", "decision-applied"],
    ["before the client is answered", "client-answer"],
  ])("%s: the next one asks the participant, and the work is done once", async (_, failpoint) => {
    const leader = await cluster.leader();
    await cluster.failpoints(leader, `${failpoint}=crash`);
    const gid = client.newGid();
    await pay(gid);
    await cluster.processes.exited(leader);
    expect([phases(), await bank.get("alice"), bank.stats().held]).toEqual([["one-phase"], -5, 0]);
    expect((await client.outcome(gid)).decision).toBe("commit");
  });

  test("with the participant's refusal unheard: the next one hears it again, and nothing is done later", async () => {
    const leader = await cluster.leader();
    await cluster.failpoints(leader, "decision-propose=crash");
    const gid = client.newGid();
    await expect(pay(gid, "bank", 25_000, 0)).rejects.toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted" });
    await cluster.processes.exited(leader);
    expect([phases(), await bank.get("alice")]).toEqual([["one-phase"], undefined]);
    expect(calls.length).toBeGreaterThan(1);
  });

  test("with the participant's answer lost on the way: its row answers the next one", async () => {
    const leader = await cluster.leader();
    let lost = false;
    around = async (_, run) => {
      const result = await run();
      if (lost) return result;
      lost = true;
      await cluster.kill9(leader);
      throw new Error("the answer is lost");
    };
    const gid = client.newGid();
    await pay(gid);
    expect([phases(), await bank.get("alice")]).toEqual([["one-phase"], -5]);
    expect(new Set(calls.map(({ epoch }) => epoch)).size).toBe(2);
  });
});

describe("the participant is killed", () => {
  test("together with the leader, when the one-phase commit is about to be sent: done once when both are back", async () => {
    const leader = await cluster.leader();
    await cluster.failpoints(leader, "one-phase-send=crash");
    const gid = client.newGid();
    const paid = pay(gid, "remote");
    await cluster.processes.exited(leader);
    await remote.kill9();
    await cluster.waitForLeader();
    expect((await client.outcome(gid)).decision).toBeUndefined();
    remote.launch();
    await paid;
    cluster.restart(leader);
    expect((await client.outcome(gid)).decision).toBe("commit");
    await remote.kill9();
    expect(await remote.read("alice")).toBe(-5);
  });

  test("again and again while one-phase commits run: each outcome is what its row says", async () => {
    const gids: string[] = [];
    let running = true;
    const load = async (): Promise<void> => {
      while (running) {
        const gid = client.newGid();
        gids.push(gid);
        const work = kvPayload([{ op: "put", key: gid, value: "x" }]);
        await client.transaction((tx) => void tx.ask("remote", work), { gid, timeoutMs: 15_000 }).catch(() => undefined);
      }
    };
    const loads = [load(), load(), load()];
    for (let round = 0; round < 4; round++) {
      await new Promise((resolve) => setTimeout(resolve, 400));
      const leader = round === 2 ? await cluster.leader() : undefined;
      await Promise.all([remote.kill9(), leader === undefined ? undefined : cluster.kill9(leader)]);
      await remote.start(client);
      if (leader !== undefined) cluster.restart(leader);
    }
    running = false;
    await Promise.all(loads);
    expect(gids.length).toBeGreaterThan(10);
    const decided = async (): Promise<(string | undefined)[]> =>
      Promise.all(
        gids.map((gid) =>
          client.outcome(gid).then(
            ({ decision }) => decision,
            () => "never started",
          ),
        ),
      );
    await expect.poll(async () => (await decided()).includes(undefined), { timeout: SETTLED_MS, interval: 500 }).toBe(false);
    const outcomes = await decided();
    await remote.kill9();
    const store = kv({ name: "remote", dir: join(dir, "remote") });
    await store.start("test");
    const rows = await Promise.all(gids.map((gid) => store.get(gid)));
    await store.close();
    expect(outcomes.map((outcome) => (outcome === "commit" ? "x" : undefined))).toEqual(rows);
    expect(outcomes.filter((outcome) => outcome === "commit").length).toBeGreaterThan(0);
  });
});

test("a participant that says nothing: the client hears at the deadline that the outcome is unknown, and asks later", async () => {
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  around = async (_, run) => {
    await gate;
    return run();
  };
  const gid = client.newGid();
  const startMs = performance.now();
  await expect(pay(gid, "bank", 1_000)).rejects.toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown", gid });
  expect(performance.now() - startMs).toBeLessThan(SETTLED_MS);
  const [branch] = (await client.outcome(gid)).branches;
  expect(branch?.phase).toBe("committing in one phase");
  release();
  await expect.poll(async () => (await client.outcome(gid)).decision, { timeout: SETTLED_MS }).toBe("commit");
  expect(await bank.get("alice")).toBe(-5);
});
