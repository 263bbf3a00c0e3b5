import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newGid, Prng, QuorateError } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import { connect } from "../../src/client/index.js";
import type { ClientEvent, Quorate } from "../../src/client/index.js";
import type { FrameCall } from "../../src/wire/index.js";
import { MemoryParticipant, setting } from "./memory-participant.js";
import { decided, healthy, ScriptedCluster, until } from "./scripted-node.js";
import type { InstancePeer } from "./scripted-node.js";

const prng = new Prng("attach");
const freshGid = (): Gid => newGid(Date.now(), prng.uint32);
const NONE = new Uint8Array();

let cluster: ScriptedCluster;
let quorate: Quorate;
let bank: MemoryParticipant;
let events: ClientEvent[];

beforeEach(async () => {
  cluster = await ScriptedCluster.start(3);
  cluster.elect(1, 1);
  for (const node of cluster.nodes) node.onRequest = healthy;
  events = [];
  quorate = await connect(cluster.url, { onEvent: (event) => events.push(event), requestTimeoutMs: 2_000 });
  bank = new MemoryParticipant("bank");
});

afterEach(async () => {
  await quorate.close({ drainMs: 0 });
  cluster.stop();
});

function instance(node: number): InstancePeer {
  const found = cluster.node(node).attached("bank").at(-1);
  if (found === undefined) throw new Error(`bank is not attached to n${node}`);
  return found;
}

function prepare(gid: Gid, payload: Uint8Array = setting("a", "1"), epoch = 1): FrameCall {
  return { phase: "prepare", kind: "2pc", gid, branch: "bank", epoch, attempt: 1, payload };
}

const settle = (gid: Gid, phase: "commit" | "rollback"): FrameCall => ({
  ...{ phase, kind: "2pc", gid, branch: "bank", epoch: 1, attempt: 1, payload: NONE },
});

async function attachEverywhere(): Promise<void> {
  await quorate.attach(bank);
  await until("attached to every node", () => cluster.nodes.every((node) => node.attached("bank").length === 1));
}

describe("attaching", () => {
  test("checks the participant first, then opens one stream to every member, with one instance id", async () => {
    await attachEverywhere();
    expect(bank.calls).toEqual(["start cluster-1"]);
    const hellos = [1, 2, 3].map((id) => instance(id).hello);
    expect(new Set(hellos.map((hello) => hello.instance)).size).toBe(1);
    expect(hellos[0]).toMatchObject({ participant: "bank", participantKind: "memory" });
  });

  test("fails with the participant's own setup error, and leaves nothing attached", async () => {
    const setup = new QuorateError("QUORATE_PARTICIPANT_SETUP", "max_prepared_transactions is 0, set it to 64");
    bank.before = () => {
      throw setup;
    };
    await expect(quorate.attach(bank)).rejects.toBe(setup);
    bank.before = () => undefined;
    await quorate.attach(bank);
  });

  test("fails when the leader cannot be reached in time, and says what each endpoint said", async () => {
    for (const node of cluster.nodes) node.setView({ role: "looking", established: false, leader: undefined });
    await until("no leader is known", () => quorate.view()?.role === "looking");
    const error: unknown = await quorate.attach(bank).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "QUORATE_NO_QUORUM" });
    expect((error as QuorateError).message).toContain("knows no leader");
    await until("nothing stays attached", () => cluster.nodes.every((node) => node.attached("bank").length === 0));
  });

  test("the same name twice is refused, and possible again after the first left", async () => {
    const attachment = await quorate.attach(bank);
    await expect(quorate.attach(new MemoryParticipant("bank"))).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
    await attachment.close();
    await until("left", () => cluster.nodes.every((node) => node.attached("bank").length === 0));
    await quorate.attach(new MemoryParticipant("bank"));
  });

  test("comes back by itself to a node that restarts", async () => {
    await attachEverywhere();
    cluster.node(1).kill();
    await cluster.node(1).start();
    await until("attached again", () => cluster.node(1).attached("bank").length === 1);
    expect(cluster.node(1).instances).toHaveLength(2);
  });
});

describe("calls of the cluster", () => {
  test("are run against the participant with their epoch, and answered on their stream", async () => {
    await attachEverywhere();
    const gid = freshGid();
    instance(1).call(prepare(gid, setting("a", "7"), 5));
    await until("voted", () => instance(1).replies.length === 1);
    expect(instance(1).replies[0]).toEqual({ phase: "prepare", gid, branch: "bank", result: { kind: "vote", vote: "yes", detail: "" } });
    expect(bank.calls).toContain("prepare@5");
    instance(1).call(settle(gid, "commit"));
    await until("done", () => instance(1).replies.length === 2);
    expect(instance(1).replies[1]).toEqual({ phase: "commit", gid, branch: "bank", result: { kind: "done" } });
    expect(bank.values.get("a")).toBe("7");
  });

  test("that fail are answered as failed with the reason, and are not a vote", async () => {
    await attachEverywhere();
    bank.before = (call) => {
      if (call.startsWith("prepare")) throw new Error(`lost the connection ${"x".repeat(5_000)}`);
    };
    instance(1).call(prepare(freshGid()));
    await until("answered", () => instance(1).replies.length === 1);
    const result = instance(1).replies[0]?.result;
    expect(result?.kind).toBe("failed");
    expect(result !== undefined && "detail" in result ? result.detail.length : 0).toBe(1_000);
  });

  test("whose node died meanwhile are answered to the next leader", async () => {
    await attachEverywhere();
    let finish: () => void = () => undefined;
    bank.before = (call) => (call.startsWith("prepare") ? new Promise<void>((resolve) => (finish = resolve)) : undefined);
    const gid = freshGid();
    instance(1).call(prepare(gid));
    await until("it runs", () => bank.calls.includes("prepare@1"));
    cluster.node(1).kill();
    cluster.elect(2, 2, [2, 3]);
    await until("the next leader is known", () => quorate.view()?.epoch === 2);
    finish();
    await until("the next leader has the vote", () => instance(2).replies.length === 1);
    expect(instance(2).replies[0]).toMatchObject({ phase: "prepare", gid, result: { kind: "vote", vote: "yes" } });
  });

  test("repeated by the next leader while they run are run once and answered to both", async () => {
    await attachEverywhere();
    let finish: () => void = () => undefined;
    bank.before = (call) => (call.startsWith("prepare") ? new Promise<void>((resolve) => (finish = resolve)) : undefined);
    const gid = freshGid();
    instance(1).call(prepare(gid));
    await until("it runs", () => bank.calls.includes("prepare@1"));
    instance(2).call(prepare(gid, setting("a", "1"), 2));
    // A call of another branch behind it proves that the repeated one has arrived.
    instance(2).call(settle(freshGid(), "rollback"));
    await until("arrived", () => bank.calls.includes("rollback"));
    finish();
    await until("both have the vote", () => instance(1).replies.length === 1 && instance(2).replies.length === 2);
    expect(bank.calls.filter((call) => call.startsWith("prepare"))).toHaveLength(1);
  });

  test("never prepare a branch for which a roll back came before", async () => {
    await attachEverywhere();
    const gid = freshGid();
    instance(1).call(settle(gid, "rollback"));
    instance(1).call(prepare(gid));
    await until("both answered", () => instance(1).replies.length === 2);
    expect(bank.calls.filter((call) => call.startsWith("prepare"))).toEqual([]);
    const votes = instance(1).replies.filter((reply) => reply.phase === "prepare");
    expect(votes[0]?.result).toMatchObject({ kind: "vote", vote: "no" });
  });
});

describe("a branch in doubt", () => {
  test("from before a restart is told to every node right after hello, and settled by the answer, which is reported back", async () => {
    const gid = freshGid();
    await bank.prepare({ gid, branch: "bank", payload: setting("a", "1"), epoch: 1 });
    await attachEverywhere();
    await until("every node was asked", () => [1, 2, 3].every((id) => instance(id).inquiries.length > 0));
    expect(instance(2).inquiries[0]).toEqual({ gid, branch: "bank" });
    instance(2).answer({ gid, branch: "bank", answer: "commit" });
    await until("committed", () => bank.values.get("a") === "1");
    await until("the leader knows", () => instance(1).replies.length === 1);
    expect(instance(1).replies[0]).toEqual({ phase: "commit", gid, branch: "bank", result: { kind: "done" } });
    const settled = events.find((event) => event.kind === "branch-settled");
    expect(settled).toMatchObject({ participant: "bank", gid, outcome: "commit", byInquiry: true });
  });

  test("asks the leader until it gets an outcome: pending, wait and ask-leader are none", async () => {
    const gid = freshGid();
    await bank.prepare({ gid, branch: "bank", payload: setting("a", "1"), epoch: 1 });
    await attachEverywhere();
    for (const answer of ["pending", "wait", "ask-leader"] as const) {
      const before = instance(1).inquiries.length;
      instance(1).answer({ gid, branch: "bank", answer });
      await until(`asked again after ${answer}`, () => instance(1).inquiries.length > before);
    }
    instance(1).answer({ gid, branch: "bank", answer: "rollback" });
    await until("rolled back", () => bank.prepared.size === 0);
    expect(bank.values.size).toBe(0);
  });

  test("that voted here does not ask while it is being decided, and asks when nobody tells it", async () => {
    const attachment = await quorate.attach(bank);
    await until("attached to the leader", () => cluster.node(1).attached("bank").length === 1);
    const votedMs = performance.now();
    instance(1).call(prepare(freshGid()));
    await until("asks", () => instance(1).inquiries.length > 0);
    expect(performance.now() - votedMs).toBeGreaterThan(450);
    expect(attachment.stats()[0]).toMatchObject({ participant: "bank", votesYes: 1, inDoubt: 1 });
  });

  test("whose leader stays silent, with its stream open, asks the followers too, and obeys the decision they know", async () => {
    const gid = freshGid();
    await attachEverywhere();
    instance(1).call(prepare(gid));
    await until("the leader is asked", () => instance(1).inquiries.length > 0);
    expect([2, 3].flatMap((id) => instance(id).inquiries)).toEqual([]);
    await until("a follower is asked", () => instance(3).inquiries.length > 0);
    instance(3).answer({ gid, branch: "bank", answer: "commit" });
    await until("committed", () => bank.values.get("a") === "1");
    expect(bank.prepared.size).toBe(0);
  });

  test("asks a new leader", async () => {
    const gid = freshGid();
    await bank.prepare({ gid, branch: "bank", payload: setting("a", "1"), epoch: 1 });
    await attachEverywhere();
    await until("has asked for a while", () => instance(1).inquiries.length >= 4);
    const before = instance(2).inquiries.length;
    cluster.elect(2, 2);
    await until("the new leader is asked", () => instance(2).inquiries.length > before);
  });

  test("whose questions stay unanswered stays in doubt, however often it has asked", async () => {
    const gid = freshGid();
    await bank.prepare({ gid, branch: "bank", payload: setting("a", "1"), epoch: 1 });
    await attachEverywhere();
    // By then it has waited for seconds: each pause is up to twice as long as the one before.
    await until("has asked for a while", () => instance(1).inquiries.length >= 6, 20_000);
    expect(bank.prepared.size).toBe(1);
    expect(bank.calls.filter((call) => call.startsWith("rollback") || call.startsWith("commit"))).toEqual([]);
    instance(1).answer({ gid, branch: "bank", answer: "commit" });
    await until("committed", () => bank.values.get("a") === "1");
  });

  test("that a listing finds later is asked about", async () => {
    bank.scanIntervalMs = 50;
    await attachEverywhere();
    const gid = freshGid();
    await bank.prepare({ gid, branch: "left-behind", payload: setting("a", "1"), epoch: 1 });
    await until("asked", () => instance(1).inquiries.some((inquiry) => inquiry.branch === "left-behind"));
  });

  test("is measured from its vote to its outcome", async () => {
    const attachment = await quorate.attach(bank);
    await until("attached to the leader", () => cluster.node(1).attached("bank").length === 1);
    const gid = freshGid();
    instance(1).call(prepare(gid));
    await until("voted", () => instance(1).replies.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    instance(1).call(settle(gid, "commit"));
    await until("done", () => instance(1).replies.length === 2);
    const [stats] = attachment.stats();
    expect(stats).toMatchObject({ votesYes: 1, committed: 1, inDoubt: 0, resolvedByInquiry: 0 });
    expect(stats?.inDoubtMaxMs).toBeGreaterThanOrEqual(29);
    expect(stats?.inDoubtP99Ms).toBe(stats?.inDoubtMaxMs);
  });
});

describe("branches that a client of the same process brings", () => {
  test("are known to be in doubt from their vote, and settled by the cluster's call", async () => {
    const attachment = await quorate.attach(bank);
    await until("attached to the leader", () => cluster.node(1).attached("bank").length === 1);
    let inDoubt = 0;
    cluster.node(1).onRequest = (received) => {
      if (received.body.kind !== "commit") return healthy(received);
      inDoubt = attachment.stats()[0]?.inDoubt ?? 0;
      received.from.answer({ request: received.request, answer: decided(received.body.gid) });
      instance(1).call(settle(received.body.gid, "commit"));
    };
    await quorate.transaction((tx) => tx.on(bank, (db) => db.set("a", "1")));
    expect(inDoubt).toBe(1);
    await until("committed", () => bank.values.get("a") === "1");
    expect(attachment.stats()[0]).toMatchObject({ votesYes: 1, committed: 1, inDoubt: 0 });
  });

  test("are not prepared any more when the cluster has rolled them back meanwhile", async () => {
    await attachEverywhere();
    const attempt = quorate.transaction(async (tx) => {
      await tx.on(bank, (db) => db.set("a", "1"));
      instance(1).call(settle(tx.gid, "rollback"));
      await until("rolled back", () => bank.calls.includes("rollback"));
    });
    await expect(attempt).rejects.toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted" });
    expect(bank.calls).not.toContain("own prepare");
  });
});

test.each(["attachment", "client"])("closing the %s lets running calls end and answers them", async (what) => {
  const attachment = await quorate.attach(bank);
  await until("attached to the leader", () => cluster.node(1).attached("bank").length === 1);
  let finish: () => void = () => undefined;
  bank.before = (call) => (call.startsWith("prepare") ? new Promise<void>((resolve) => (finish = resolve)) : undefined);
  const peer = instance(1);
  peer.call(prepare(freshGid()));
  await until("it runs", () => bank.calls.includes("prepare@1"));
  const closing = what === "client" ? quorate.close() : attachment.close();
  finish();
  await closing;
  await until("the vote arrived", () => peer.replies.length === 1);
  expect(peer.replies[0]?.result).toMatchObject({ kind: "vote", vote: "yes" });
});
