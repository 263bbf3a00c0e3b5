import { performance } from "node:perf_hooks";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import { connect, currentTransaction, rollbackFailures } from "../../src/client/index.js";
import type { Quorate, Transaction } from "../../src/client/index.js";
import type { Request } from "../../src/coordinator/index.js";
import { MemoryParticipant, setting } from "./memory-participant.js";
import { decided, healthy, healthyAnswer, refused, ScriptedCluster, until } from "./scripted-node.js";
import type { Received, ScriptedNode } from "./scripted-node.js";

let cluster: ScriptedCluster;
let leader: ScriptedNode;
let quorate: Quorate;
let orders: MemoryParticipant;
let stock: MemoryParticipant;

beforeEach(async () => {
  cluster = await ScriptedCluster.start(2);
  cluster.elect(1, 1);
  leader = cluster.node(1);
  leader.onRequest = healthy;
  quorate = await connect(cluster.url);
  orders = new MemoryParticipant("orders-db");
  stock = new MemoryParticipant("stock-db");
});

afterEach(async () => {
  await quorate.close({ drainMs: 0 });
  cluster.stop();
});

const kinds = (): Request["kind"][] => leader.received.map(({ body }) => body.kind);

function body<K extends Request["kind"]>(kind: K, node = leader): Extract<Request, { kind: K }> {
  const found = node.received.find((received) => received.body.kind === kind)?.body;
  if (found === undefined) throw new Error(`no ${kind} was received`);
  return found as Extract<Request, { kind: K }>;
}

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  const error: unknown = await promise.then(
    (value) => value,
    (reason: unknown) => reason,
  );
  if (error instanceof QuorateError) return error;
  throw new Error(`expected a QuorateError, got ${String(error)}`);
}

/** Answers all but one kind as a healthy leader does. */
function except(kind: Request["kind"], instead: (received: Received) => void): (received: Received) => void {
  return (received) => (received.body.kind === kind ? instead(received) : healthy(received));
}

const both = async (tx: Transaction): Promise<string> => {
  await tx.on(orders, (db) => db.set("order", "1"));
  await tx.on(stock, (db) => db.set("stock", "8"));
  return "ordered";
};

describe("a transaction with branches that the client brings", () => {
  test("is opened at the first one, prepared after that is recorded, and committed with the complete list and the votes", async () => {
    expect(await quorate.transaction(both)).toBe("ordered");
    expect(kinds()).toEqual(["open", "enlist", "commit"]);
    const { gid, branches, votes } = body("commit");
    expect(body("open")).toMatchObject({ gid, branches: [{ id: "orders-db", mode: "brought" }] });
    expect(branches.map((branch) => [branch.id, branch.mode])).toEqual([
      ["orders-db", "brought"],
      ["stock-db", "brought"],
    ]);
    expect(votes).toEqual([
      { branch: "orders-db", vote: "yes" },
      { branch: "stock-db", vote: "yes" },
    ]);
    expect(orders.calls).toEqual(["begin", "own prepare"]);
  });

  test("runs the user's work while it is being opened, and prepares nothing before", async () => {
    let release: (() => void) | undefined;
    leader.onRequest = except("open", (received) => (release = () => healthy(received)));
    const running = quorate.transaction(async (tx) => {
      await tx.on(orders, (db) => db.set("order", "1"));
    });
    await until("the work has run and OPEN waits", () => orders.calls.includes("begin") && release !== undefined);
    await new Promise((resolve) => setImmediate(resolve));
    expect(orders.calls).toEqual(["begin"]);
    release?.();
    await running;
    expect(orders.calls).toEqual(["begin", "own prepare"]);
  });

  test("uses one branch for several calls with the same participant", async () => {
    await quorate.transaction(async (tx) => {
      await tx.on(orders, (db) => db.set("a", "1"));
      await tx.on(orders, (db) => db.set("b", "2"));
    });
    expect(body("commit").branches).toHaveLength(1);
    expect(orders.calls.filter((call) => call === "begin")).toHaveLength(1);
  });

  test("that throws is rolled back and aborted, and the user's own error comes out", async () => {
    const mine = new Error("out of stock");
    const attempt = quorate.transaction(async (tx) => {
      await both(tx);
      await until("both are recorded", () => kinds().length === 2);
      throw mine;
    });
    await expect(attempt).rejects.toBe(mine);
    expect(kinds()).toEqual(["open", "enlist", "abort"]);
    expect(orders.calls).toEqual(["begin", "own rollback"]);
    expect(rollbackFailures(mine)).toEqual([]);
  });

  test("that throws before OPEN was written leaves no trace at the cluster", async () => {
    const mine = new Error("at once");
    const attempt = quorate.transaction((tx) => {
      void tx.on(orders, () => undefined);
      throw mine;
    });
    await expect(attempt).rejects.toBe(mine);
    await quorate.health();
    expect(kinds()).toEqual(["noop"]);
    expect(orders.calls).toEqual(["begin", "own rollback"]);
  });

  test("keeps the failures of a roll back beside the user's error, not in its place", async () => {
    const [mine, theirs] = [new Error("out of stock"), new Error("connection lost")];
    orders.before = (call) => {
      if (call === "own rollback") throw theirs;
    };
    const attempt = quorate.transaction(async (tx) => {
      await both(tx);
      throw mine;
    });
    await expect(attempt).rejects.toBe(mine);
    expect(rollbackFailures(mine)).toEqual([theirs]);
    expect(stock.calls).toContain("own rollback");
  });

  test("whose branch votes no is rolled back everywhere and aborted; commit is never sent", async () => {
    stock.vote = { vote: "no", detail: "only 1 left" };
    const error = await failure(quorate.transaction(both));
    expect(error).toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted", reason: "vote-no", gid: body("open").gid });
    expect(error.message).toContain("stock-db");
    expect(error.message).toContain("only 1 left");
    expect(kinds()).toEqual(["open", "enlist", "abort"]);
    expect([orders.prepared.size, stock.prepared.size]).toEqual([0, 0]);
  });

  test("whose branch cannot prepare carries the participant's error as its cause", async () => {
    const theirs = new Error("deadlock detected");
    stock.before = (call) => {
      if (call === "own prepare") throw theirs;
    };
    const error = await failure(quorate.transaction(both));
    expect(error).toMatchObject({ code: "QUORATE_PARTICIPANT", outcome: "aborted", cause: theirs });
    expect(orders.prepared.size).toBe(0);
  });

  test("that the cluster did not record is not prepared, and is rolled back", async () => {
    leader.onRequest = except("open", ({ from, request }) =>
      from.answer({
        request,
        answer: {
          kind: "error",
          code: "QUORATE_CLOCK",
          message: "far future",
          outcome: undefined,
          retry: "never",
          gid: undefined,
          version: undefined,
        },
      }),
    );
    const error = await failure(quorate.transaction(both));
    expect(error).toMatchObject({ code: "QUORATE_CLOCK", outcome: "aborted" });
    expect(orders.calls).not.toContain("own prepare");
    expect(orders.calls).toContain("own rollback");
    expect(kinds()).not.toContain("commit");
  });

  test("whose participant cannot begin is rolled back, even if the user goes on", async () => {
    const theirs = new Error("pool is closed");
    stock.begin = () => {
      throw theirs;
    };
    const attempt = quorate.transaction(async (tx) => {
      await tx.on(orders, (db) => db.set("order", "1"));
      await tx.on(stock, () => undefined).catch(() => undefined);
    });
    expect(await failure(attempt)).toMatchObject({ code: "QUORATE_PARTICIPANT", cause: theirs });
    expect(orders.calls).toEqual(["begin", "own rollback"]);
    expect(kinds()).not.toContain("commit");
  });

  test("that throws while another of its calls still runs waits for it before it rolls back", async () => {
    let finish: () => void = () => undefined;
    const mine = new Error("one of two failed");
    const attempt = quorate.transaction((tx) =>
      Promise.all([
        tx.on(orders, () => new Promise<void>((resolve) => (finish = resolve))),
        tx.on(stock, () => {
          throw mine;
        }),
      ]),
    );
    const failed = expect(attempt).rejects.toBe(mine);
    await until("the other one runs", () => stock.calls.includes("begin") && orders.calls.includes("begin"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([...orders.calls, ...stock.calls]).toEqual(["begin", "begin"]);
    finish();
    await failed;
    expect([...orders.calls, ...stock.calls]).toEqual(["begin", "own rollback", "begin", "own rollback"]);
  });

  test("that is cancelled while it is being opened says so, and is rolled back", async () => {
    const stop = new AbortController();
    leader.onRequest = except("open", () => stop.abort(new Error("left")));
    const error = await failure(quorate.transaction((tx) => tx.on(orders, () => undefined), { signal: stop.signal }));
    expect(error).toMatchObject({ code: "QUORATE_CANCELLED", outcome: "aborted" });
    expect(orders.calls).toEqual(["begin", "own rollback"]);
  });

  test("with a call of tx.on that nobody awaited is not committed half done", async () => {
    let finish: () => void = () => undefined;
    const running = failure(
      quorate.transaction((tx) => {
        void tx.on(orders, () => new Promise<void>((resolve) => (finish = resolve)));
      }),
    );
    await until("begun", () => orders.calls.includes("begin"));
    await new Promise((resolve) => setImmediate(resolve));
    finish();
    expect(await running).toMatchObject({ code: "QUORATE_WRONG_STATE", outcome: "aborted" });
    expect(orders.calls).toEqual(["begin", "own rollback"]);
    expect(kinds()).not.toContain("commit");
  });

  test("cannot be used after its end", async () => {
    let kept: Transaction | undefined;
    await quorate.transaction((tx) => {
      kept = tx;
    });
    await expect(kept?.on(orders, () => undefined)).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
    expect(() => kept?.ask("bank", setting("a", "1"))).toThrow("has ended");
  });
});

describe("who may roll a prepared branch back", () => {
  test("the client, while Commit was never written: no leader, so nothing is left prepared", async () => {
    orders.before = async (call) => {
      if (call !== "own prepare") return;
      for (const node of cluster.nodes) node.setView({ role: "looking", established: false, leader: undefined });
      await until("no leader is known", () => quorate.view()?.role === "looking");
    };
    const error = await failure(quorate.transaction((tx) => tx.on(orders, (db) => db.set("a", "1")), { timeoutMs: 200 }));
    expect(error).toMatchObject({ code: "QUORATE_NO_QUORUM", outcome: "aborted" });
    expect(orders.calls).toEqual(["begin", "own prepare", "own rollback"]);
    expect(orders.prepared.size).toBe(0);
    expect(kinds()).not.toContain("commit");
  });

  test("nobody but the cluster, once Commit was written: unknown at the deadline, and still prepared", async () => {
    leader.onRequest = except("commit", () => undefined);
    const error = await failure(quorate.transaction(both, { timeoutMs: 100 }));
    expect(error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown", gid: body("commit").gid });
    expect([orders.prepared.size, stock.prepared.size]).toEqual([1, 1]);
    expect(orders.calls).not.toContain("own rollback");
  }, 10_000);

  test("nobody but the cluster, when a signal fires after Commit was written", async () => {
    const stop = new AbortController();
    leader.onRequest = except("commit", () => stop.abort(new Error("left")));
    const error = await failure(quorate.transaction(both, { signal: stop.signal }));
    expect(error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown" });
    expect(orders.prepared.size).toBe(1);
    expect(orders.calls).not.toContain("own rollback");
  });

  test("nobody but the cluster, when it decided to abort", async () => {
    leader.onRequest = except("commit", ({ from, request, body: commit }) => {
      if (commit.kind === "commit") from.answer({ request, answer: decided(commit.gid, "abort", "timeout", "too late") });
    });
    const error = await failure(quorate.transaction(both));
    expect(error).toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted", reason: "timeout" });
    expect(error.message).toContain("too late");
    expect(orders.prepared.size).toBe(1);
    expect(orders.calls).not.toContain("own rollback");
  });

  test("the cluster, told to abort, when it refused the Commit for good", async () => {
    leader.onRequest = except("commit", ({ from, request }) =>
      from.answer({
        request,
        answer: {
          kind: "error",
          code: "QUORATE_BRANCH_MISMATCH",
          message: "another list",
          outcome: undefined,
          retry: "never",
          gid: undefined,
          version: undefined,
        },
      }),
    );
    const error = await failure(quorate.transaction(both));
    expect(error).toMatchObject({ code: "QUORATE_BRANCH_MISMATCH", outcome: "aborted" });
    expect(kinds()).toEqual(["open", "enlist", "commit", "abort"]);
    expect(orders.calls).not.toContain("own rollback");
  });

  test("the client, when its signal fires while it prepares", async () => {
    const stop = new AbortController();
    orders.before = (call) => {
      if (call === "own prepare") stop.abort(new Error("left"));
    };
    const error = await failure(quorate.transaction(both, { signal: stop.signal }));
    expect(error).toMatchObject({ code: "QUORATE_CANCELLED", outcome: "aborted" });
    expect([orders.prepared.size, stock.prepared.size]).toEqual([0, 0]);
    expect(kinds()).not.toContain("commit");
  });

  test("the client, when its time is over before it prepares", async () => {
    const attempt = quorate.transaction(
      async (tx) => {
        await tx.on(orders, (db) => db.set("a", "1"));
        await new Promise((resolve) => tx.signal.addEventListener("abort", resolve));
      },
      { timeoutMs: 100 },
    );
    expect(await failure(attempt)).toMatchObject({ code: "QUORATE_TIMEOUT", outcome: "aborted" });
    expect(orders.calls).toEqual(["begin", "own rollback"]);
    expect(kinds()).toEqual(["open", "abort"]);
  });
  // A timer may fire a fraction of a millisecond before the clock says so.
  test("the client, when its signal told the user's code that time is over, whatever the clock says", async () => {
    const clock = vi.spyOn(performance, "now");
    try {
      const attempt = quorate.transaction(
        async (tx) => {
          await tx.on(orders, (db) => db.set("a", "1"));
          const early = performance.now();
          await new Promise((resolve) => tx.signal.addEventListener("abort", resolve));
          clock.mockReturnValue(early);
        },
        { timeoutMs: 100 },
      );
      expect(await failure(attempt)).toMatchObject({ code: "QUORATE_TIMEOUT", outcome: "aborted" });
    } finally {
      clock.mockRestore();
    }
    expect(orders.calls).toEqual(["begin", "own rollback"]);
  });
});

describe("a transaction of asked branches", () => {
  test("is not opened: Commit alone carries it, with all payloads", async () => {
    await quorate.transaction((tx) => {
      expect(tx.ask("bank-a", setting("a", "1"))).toBe("bank-a");
      expect(tx.ask("bank-a", setting("b", "2"))).toBe("bank-a-2");
      expect(tx.ask("bank-b", setting("c", "3"), { branch: "third" })).toBe("third");
    });
    expect(kinds()).toEqual(["commit"]);
    expect(
      body("commit").branches.map((branch) => [branch.id, branch.participant, branch.mode, new TextDecoder().decode(branch.payload)]),
    ).toEqual([
      ["bank-a", "bank-a", "asked", "a=1"],
      ["bank-a-2", "bank-a", "asked", "b=2"],
      ["third", "bank-b", "asked", "c=3"],
    ]);
  });

  test("that throws was never sent", async () => {
    const attempt = quorate.transaction((tx) => {
      tx.ask("bank", setting("a", "1"));
      throw new Error("no");
    });
    await expect(attempt).rejects.toThrow("no");
    await quorate.health();
    expect(kinds()).toEqual(["noop"]);
  });

  test("may be mixed with brought ones: OPEN names those that are brought, Commit names all", async () => {
    await quorate.transaction(async (tx) => {
      tx.ask("bank", setting("a", "1"));
      await tx.on(orders, (db) => db.set("a", "1"));
    });
    expect(kinds()).toEqual(["open", "commit"]);
    expect(body("open").branches.map((branch) => branch.id)).toEqual(["orders-db"]);
    expect(body("commit").branches.map((branch) => branch.id)).toEqual(["bank", "orders-db"]);
    expect(body("commit").votes).toEqual([{ branch: "orders-db", vote: "yes" }]);
  });

  test("survives the leader's death between its Commit and the answer, under the same gid", async () => {
    leader.onRequest = () => {
      leader.kill();
      cluster.elect(2, 2, [2]);
    };
    cluster.node(2).onRequest = healthy;
    await quorate.transaction((tx) => void tx.ask("bank", setting("a", "1")));
    expect(body("commit", cluster.node(2)).gid).toBe(body("commit").gid);
  });

  test("without any branch asks nobody", async () => {
    expect(await quorate.transaction(() => 42)).toBe(42);
    await quorate.health();
    expect(kinds()).toEqual(["noop"]);
  });
});

describe("a transaction that its maker ends", () => {
  test("is recorded when begin resolves, and its enlisted branches too", async () => {
    const tx = await quorate.begin();
    expect(kinds()).toEqual(["open"]);
    expect(await tx.enlist("bank", setting("a", "1"))).toBe("bank");
    expect(kinds()).toEqual(["open", "enlist"]);
    await tx.commit();
    expect(body("commit").branches.map((branch) => branch.id)).toEqual(["bank"]);
  });

  test("is aborted when it leaves its scope uncommitted, and only then", async () => {
    const run = async (commit: boolean): Promise<void> => {
      await using tx = await quorate.begin();
      tx.ask("bank", setting("a", "1"));
      if (commit) await tx.commit();
    };
    await run(true);
    expect(kinds()).toEqual(["open", "commit"]);
    await run(false);
    expect(kinds()).toEqual(["open", "commit", "open", "abort"]);
  });

  test("uses an id of the caller's making", async () => {
    const gid = quorate.newGid();
    const tx = await quorate.begin({ gid });
    await tx.abort();
    expect([tx.gid, body("abort").gid]).toEqual([gid, gid]);
    await expect(quorate.begin({ gid: "Not-A-Gid" })).rejects.toMatchObject({ code: "QUORATE_INVALID_ARGUMENT" });
  });
});

describe("the current transaction", () => {
  test("is found by code that it was not handed to, and is not there outside", async () => {
    const helper = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      currentTransaction()?.ask("bank", setting("a", "1"));
    };
    const gid = await quorate.transaction(async (tx) => {
      await helper();
      expect(currentTransaction()?.gid).toBe(tx.gid);
      return tx.gid;
    });
    expect(body("commit").gid).toBe(gid);
    expect(currentTransaction()).toBeUndefined();
  });

  test("of a nested call is its own", async () => {
    await quorate.transaction(async (outer) => {
      await quorate.transaction((inner) => {
        expect(inner.gid).not.toBe(outer.gid);
        expect(currentTransaction()?.gid).toBe(inner.gid);
      });
      expect(currentTransaction()?.gid).toBe(outer.gid);
    });
  });
});

describe("an overloaded or changing cluster", () => {
  test("delays a transaction and does not fail it", async () => {
    let refusals = 3;
    leader.onRequest = ({ from, request, body: asked }) =>
      from.answer({ request, answer: refusals-- > 0 ? refused("QUORATE_OVERLOADED") : healthyAnswer(asked) });
    expect(await quorate.transaction(both)).toBe("ordered");
  });
});
