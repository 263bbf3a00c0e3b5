/**
 * Tries that the client makes itself, and branches of kind tcc that it asks for.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect } from "../../src/client/index.js";
import type { Quorate, TryCall } from "../../src/client/index.js";
import type { Request } from "../../src/coordinator/index.js";
import { healthy, ScriptedCluster, until } from "./scripted-node.js";
import type { Received, ScriptedNode } from "./scripted-node.js";

let cluster: ScriptedCluster;
let leader: ScriptedNode;
let quorate: Quorate;

beforeEach(async () => {
  cluster = await ScriptedCluster.start(2);
  cluster.elect(1, 3);
  leader = cluster.node(1);
  leader.onRequest = healthy;
  quorate = await connect(cluster.url);
});

afterEach(async () => {
  await quorate.close({ drainMs: 0 });
  cluster.stop();
});

const kinds = (): Request["kind"][] => leader.received.map(({ body }) => body.kind);

function body<K extends Request["kind"]>(kind: K): Extract<Request, { kind: K }> {
  const found = leader.received.find((received) => received.body.kind === kind)?.body;
  if (found === undefined) throw new Error(`no ${kind} was received`);
  return found as Extract<Request, { kind: K }>;
}

describe("tx.try", () => {
  test("records the branch, then runs the function with its ids, and commits with its vote", async () => {
    let seen: TryCall | undefined;
    const result = await quorate.transaction((tx) =>
      tx.try("seats", (call) => {
        seen = call;
        expect(kinds()).toEqual(["open"]);
        return "seat 14C";
      }),
    );
    expect(result).toBe("seat 14C");
    const { gid, branches, votes } = body("commit");
    expect(body("open")).toMatchObject({ gid, branches: [{ id: "seats", participant: "seats", mode: "brought", kind: "tcc" }] });
    expect(branches).toMatchObject([{ id: "seats", participant: "seats", mode: "brought", kind: "tcc" }]);
    expect(votes).toEqual([{ branch: "seats", vote: "yes" }]);
    expect(seen).toMatchObject({ gid, branch: "seats", phase: "try", participant: "seats", cluster: "cluster-1", epoch: 3 });
    expect(seen?.headers).toEqual({
      "quorate-gid": gid,
      "quorate-branch": "seats",
      "quorate-phase": "try",
      "quorate-participant": "seats",
      "quorate-cluster": "cluster-1",
      "quorate-epoch": "3",
    });
  });

  test("calls nobody before the record is committed: the cluster must be able to cancel it", async () => {
    let release: (() => void) | undefined;
    leader.onRequest = (received: Received) => {
      if (received.body.kind === "open") release = () => healthy(received);
      else healthy(received);
    };
    let called = false;
    const running = quorate.transaction((tx) => tx.try("seats", () => void (called = true)));
    await until("OPEN waits", () => release !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(called).toBe(false);
    release?.();
    await running;
    expect(called).toBe(true);
  });

  test("the second one is enlisted, under the id it is given", async () => {
    await quorate.transaction(async (tx) => {
      await tx.try("seats", () => undefined);
      await tx.try("seats", () => undefined, { branch: "meal" });
    });
    expect(kinds()).toEqual(["open", "enlist", "commit"]);
    expect(body("enlist").branch).toMatchObject({ id: "meal", participant: "seats", kind: "tcc" });
    expect(body("commit").votes.map(({ branch }) => branch)).toEqual(["seats", "meal"]);
  });

  test("one that throws aborts, the very error comes out, and the cancel is left to the cluster", async () => {
    const soldOut = new Error("409 sold out");
    await expect(quorate.transaction((tx) => tx.try("seats", () => Promise.reject(soldOut)))).rejects.toBe(soldOut);
    expect(kinds()).toEqual(["open", "abort"]);
  });

  test("an error that the caller swallows is a no all the same", async () => {
    const soldOut = new Error("409 sold out");
    const attempt = quorate.transaction(async (tx) => {
      await tx.try("seats", () => Promise.reject(soldOut)).catch(() => undefined);
    });
    await expect(attempt).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", outcome: "aborted", cause: soldOut });
    expect(kinds()).toEqual(["open", "abort"]);
  });

  test("must be awaited before the transaction ends", async () => {
    let end: (() => void) | undefined;
    const attempt = quorate.transaction(async (tx) => {
      void tx.try("seats", () => new Promise<void>((resolve) => (end = resolve))).catch(() => undefined);
      await until("it runs", () => end !== undefined);
      setTimeout(() => end?.(), 20);
    });
    await expect(attempt).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
    expect(kinds()).not.toContain("commit");
  });
});

describe("tx.ask of kind tcc", () => {
  test("goes with the Commit, work and kind", async () => {
    await quorate.transaction((tx) => {
      tx.ask("seats", Uint8Array.of(1), { kind: "tcc" });
      tx.ask("till", Uint8Array.of(2));
    });
    expect(kinds()).toEqual(["commit"]);
    const [seats, till] = body("commit").branches;
    expect(seats).toMatchObject({ id: "seats", mode: "asked", kind: "tcc" });
    expect(till?.kind).toBeUndefined();
  });

  test("another kind is refused by name", async () => {
    const attempt = quorate.transaction((tx) => void tx.ask("seats", Uint8Array.of(1), { kind: "saga" as "tcc" }));
    await expect(attempt).rejects.toThrow('the kind of a branch must be "2pc" or "tcc", got "saga"');
  });
});
