/**
 * A caller runs its transaction again under its own gid, because the first run ended with an unknown outcome. When the second run
 * failed before it sent anything it was reported as "aborted", although the first run may have committed: its caller could do the
 * work a second time under another gid.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import { connect } from "../../src/client/index.js";
import type { Quorate, Transaction, TransactionOptions } from "../../src/client/index.js";
import { MemoryParticipant, setting } from "../client/memory-participant.js";
import { decided, healthy, ScriptedCluster, until } from "../client/scripted-node.js";
import type { Received } from "../client/scripted-node.js";

let cluster: ScriptedCluster;
let quorate: Quorate;
let gid: Gid;

const UNKNOWN = { code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown", retry: "same-request-id" };

beforeEach(async () => {
  cluster = await ScriptedCluster.start(1);
  cluster.elect(1, 1);
  cluster.node(1).onRequest = healthy;
  quorate = await connect(cluster.url);
  gid = quorate.newGid();
});

afterEach(async () => {
  await quorate.close({ drainMs: 0 });
  cluster.stop();
});

function instead(answers: Partial<Record<Received["body"]["kind"], (received: Received) => void>>): void {
  cluster.node(1).onRequest = (received) => (answers[received.body.kind] ?? healthy)(received);
}

async function failure(fn: (tx: Transaction) => unknown, options: TransactionOptions = { gid }): Promise<QuorateError> {
  const error: unknown = await quorate.transaction(fn, options).then(
    () => "committed",
    (reason: unknown) => reason,
  );
  if (error instanceof QuorateError) return error;
  throw new Error(`expected a QuorateError, got ${String(error)}`);
}

const asks = (tx: Transaction): void => void tx.ask("bank", setting("a", "1"));

function vetoes(): (tx: Transaction) => Promise<void> {
  const orders = new MemoryParticipant("orders-db");
  orders.vote = { vote: "no", detail: "a row is there already" };
  return (tx) => tx.on(orders, (db) => db.set("a", "1"));
}

async function noLeader(): Promise<void> {
  cluster.node(1).setView({ role: "looking", established: false, leader: undefined });
  await until("no leader is known", () => quorate.view()?.role === "looking");
}

describe("a second run under the caller's gid does not claim that nothing committed", () => {
  beforeEach(async () => {
    const stop = new AbortController();
    instead({ commit: () => stop.abort() });
    expect(await failure(asks, { gid, signal: stop.signal })).toMatchObject(UNKNOWN);
    instead({});
  });

  test("when there is no leader", async () => {
    await noLeader();
    const error = await failure(asks, { gid, timeoutMs: 100 });
    expect(error).toMatchObject({ ...UNKNOWN, gid, cause: { code: "QUORATE_NO_QUORUM" } });
    const orders = new MemoryParticipant("orders-db");
    expect(await failure((tx) => tx.on(orders, (db) => db.set("a", "1")), { gid, timeoutMs: 100 })).toMatchObject(UNKNOWN);
    await expect(quorate.begin({ gid, timeoutMs: 100 })).rejects.toMatchObject(UNKNOWN);
  });

  test("when it is cancelled, or its time is over", async () => {
    const stop = new AbortController();
    const cancelled = (tx: Transaction): void => {
      asks(tx);
      stop.abort();
    };
    expect(await failure(cancelled, { gid, signal: stop.signal })).toMatchObject({ ...UNKNOWN, cause: { code: "QUORATE_CANCELLED" } });
    const late = (tx: Transaction): Promise<unknown> => {
      asks(tx);
      return new Promise((resolve) => tx.signal.addEventListener("abort", resolve));
    };
    expect(await failure(late, { gid, timeoutMs: 100 })).toMatchObject({ ...UNKNOWN, cause: { code: "QUORATE_TIMEOUT" } });
  });

  test("when its branch votes no and the abort is not confirmed", async () => {
    instead({ abort: () => undefined });
    expect(await failure(vetoes())).toMatchObject({ ...UNKNOWN, cause: { reason: "vote-no" } });
  });

  test("when its branch cannot begin, also to the code that began it", async () => {
    const orders = new MemoryParticipant("orders-db");
    orders.begin = () => {
      throw new Error("pool is closed");
    };
    await noLeader();
    expect(await failure((tx) => tx.on(orders, () => undefined), { gid, timeoutMs: 100 })).toMatchObject(UNKNOWN);
  });
});

test("a second run that the cluster records as aborted says so, and one whose abort came too late says that it committed", async () => {
  expect(await failure(vetoes())).toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted", retry: "safe" });
  instead({
    abort: ({ from, request }) =>
      from.answer({
        request,
        answer: {
          kind: "error",
          code: "QUORATE_ALREADY_DECIDED",
          message: "already decided: commit",
          outcome: "committed",
          retry: "never",
          gid,
          version: undefined,
        },
      }),
  });
  expect(await failure(vetoes())).toMatchObject({ code: "QUORATE_ALREADY_DECIDED", outcome: "committed" });
  instead({ commit: ({ from, request }) => from.answer({ request, answer: decided(gid, "abort", "timeout") }) });
  expect(await failure(asks)).toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted" });
});

test("a refused OPEN whose abort is recorded keeps its own code", async () => {
  instead({
    open: ({ from, request }) =>
      from.answer({
        request,
        answer: {
          kind: "error",
          code: "QUORATE_UNKNOWN_PARTICIPANT",
          message: "never attached",
          outcome: "unknown",
          retry: "never",
          gid,
          version: undefined,
        },
      }),
  });
  expect(await failure(vetoes())).toMatchObject({ code: "QUORATE_UNKNOWN_PARTICIPANT", outcome: "aborted" });
});

test("an id the library made is used by nobody else: the same failures say aborted", async () => {
  await noLeader();
  expect(await failure(asks, { timeoutMs: 100 })).toMatchObject({ code: "QUORATE_NO_QUORUM", outcome: "aborted", retry: "safe" });
});

test("the user's own error comes out as it is", async () => {
  const mine = new QuorateError("QUORATE_CONFLICT", "mine");
  expect(
    await failure(() => {
      throw mine;
    }),
  ).toBe(mine);
});
