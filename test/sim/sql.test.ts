import { describe, expect, test } from "vitest";
import { gid, newGid, Prng, type Gid } from "../../src/base/index.js";
import { SqlResource } from "../../src/sim/sql-resource.js";
import { SQLSTATE, type SqlReply } from "../../src/sim/sql-protocol.js";
import type { SqlSession } from "../../src/sim/sql-session.js";
import { spawn, type Task } from "../../src/sim/task.js";
import { World } from "../../src/sim/world.js";

const GID: Gid = gid(`q-${"0".repeat(32)}`);
const NAME = { gid: GID, branch: "b1" };
const OPTIONS = { roundTripMsMean: 1, syncMsMean: 1, noticeMsMean: 1, lockTimeoutMs: 50 };

function make(seed = 1) {
  const world = new World(seed, false);
  const seen: string[] = [];
  const resource = new SqlResource(world, "p1", ["a1", "a2"], OPTIONS, {
    committed: (_resource, _gid, branch) => seen.push(`committed ${branch}`),
    rolledBack: (_resource, _gid, branch) => seen.push(`rolled back ${branch}`),
    votedNo: (_resource, _gid, branch) => seen.push(`no ${branch}`),
    refused: (_resource, _gid, branch) => seen.push(`refused ${branch}`),
  });
  const { server } = resource;
  const connect = (): SqlSession => {
    const session = server.connect("c1");
    if (session === undefined) throw new Error("the server is down");
    return session;
  };
  const start = <T>(task: Task<T>): { value: T | undefined } => {
    const result: { value: T | undefined } = { value: undefined };
    const main = function* (): Task<void> {
      result.value = yield* task;
    };
    spawn(world, () => true, main());
    return result;
  };
  const run = <T>(task: Task<T>, ms = 1000): T | undefined => {
    const result = start(task);
    world.runUntil(world.now + ms);
    return result.value;
  };
  return { world, resource, server, seen, connect, start, run };
}

const add = (account: string, amount: number) => ({ kind: "add", account, amount, lockTimeoutMs: OPTIONS.lockTimeoutMs }) as const;

describe("a simulated SQL database", () => {
  test("a prepared transaction survives a crash with its locks; what was open is gone", () => {
    const { resource, server, connect, run } = make();
    run(connect().run({ kind: "begin" }, add("a1", 5), { kind: "prepare", name: NAME }));
    run(connect().run({ kind: "begin" }, add("a2", 7)));
    expect(server.lockCount).toBe(2);
    server.crash();
    server.restart();
    expect(server.lockCount).toBe(1);
    expect(run(connect().run(add("a1", 1)))).toMatchObject({ ok: false, state: SQLSTATE.lockNotAvailable });
    expect(run(connect().run({ kind: "commit-prepared", name: NAME }))).toMatchObject({ ok: true });
    expect(resource.total).toBe(5);
  });

  test("COMMIT PREPARED finds nothing the second time, whatever became of the first", () => {
    for (const first of ["commit-prepared", "rollback-prepared"] as const) {
      const { connect, run } = make();
      run(connect().run({ kind: "begin" }, add("a1", 5), { kind: "prepare", name: NAME }));
      expect(run(connect().run({ kind: first, name: NAME }))).toMatchObject({ ok: true });
      expect(run(connect().run({ kind: "commit-prepared", name: NAME }))).toMatchObject({ ok: false, state: SQLSTATE.undefinedObject });
    }
  });

  test("a name that is in use cannot be prepared again, and that transaction is rolled back", () => {
    const { server, connect, run } = make();
    run(connect().run({ kind: "begin" }, add("a1", 5), { kind: "prepare", name: NAME }));
    expect(run(connect().run({ kind: "begin" }, add("a2", 5), { kind: "prepare", name: NAME }))).toMatchObject({
      ok: false,
      state: SQLSTATE.duplicateObject,
    });
    expect(server.lockCount).toBe(1);
  });

  test("a statement waits for a row until its lock timeout, or until the holder ends", () => {
    const { world, connect, run, start } = make();
    const holder = connect();
    run(holder.run({ kind: "begin" }, add("a1", 5)));
    const patient = start(connect().run({ kind: "add", account: "a1", amount: 1, lockTimeoutMs: 5000 }));
    expect(run(connect().run(add("a1", 1)))).toMatchObject({ ok: false, state: SQLSTATE.lockNotAvailable });
    expect(patient.value).toBeUndefined();
    run(holder.run({ kind: "commit" }));
    world.runUntil(world.now + 100);
    expect(patient.value).toMatchObject({ ok: true });
  });

  test("a failed transaction runs nothing more, and PREPARE TRANSACTION rolls it back without an error", () => {
    const { connect, run } = make();
    const session = connect();
    run(session.run({ kind: "begin" }, add("a1", -1000)));
    expect(run(session.run(add("a2", 1)))).toMatchObject({ ok: false, state: SQLSTATE.inFailedTransaction });
    expect(run(session.run({ kind: "prepare", name: NAME }))).toMatchObject({ ok: true, values: ["ROLLBACK"] });
  });

  test("an insert of a key waits for the transaction that has it, and fails when that one commits", () => {
    const { world, connect, run, start } = make();
    const first = connect();
    const row = { kind: "insert-outcome", name: NAME, lockTimeoutMs: 5000 } as const;
    run(first.run({ kind: "begin" }, { ...row, outcome: "committed" }));
    const second = start(connect().run({ ...row, outcome: "rolled-back" }));
    world.runUntil(world.now + 100);
    expect(second.value).toBeUndefined();
    run(first.run({ kind: "commit" }));
    expect(second.value).toMatchObject({ ok: false, state: SQLSTATE.uniqueViolation });
  });

  test("a crash in the middle of a PREPARE keeps it in some runs and loses it in others, and the client knows neither", () => {
    const kept = new Set<number>();
    for (let seed = 0; seed < 60; seed++) {
      const { world, resource, server, connect, start } = make(seed);
      const reply = start<SqlReply>(connect().run({ kind: "begin" }, add("a1", 5), { kind: "prepare", name: NAME }));
      world.runUntil(1.5);
      server.crash();
      world.runUntil(100);
      if (reply.value?.ok === true) continue;
      expect(reply.value).toMatchObject({ ok: false, state: SQLSTATE.connectionLost });
      kept.add(resource.preparedCount);
    }
    expect([...kept].sort()).toEqual([0, 1]);
  });
});

describe("the participant over it", () => {
  const work = (amount: number) => ({ deltas: [["a1", amount] as const], reads: [] });
  const attach = (resource: SqlResource) => resource.attach("p1.1/1", new Prng(1), 50);

  test("takes effect once however often it is told to prepare and commit", () => {
    const { resource, seen, run } = make();
    const port = attach(resource);
    expect(run(port.prepare(NAME, work(5), 1, false))).toMatchObject({ vote: "yes" });
    expect(run(port.prepare(NAME, work(5), 1, false))).toMatchObject({ vote: "yes" });
    expect(run(port.commit(NAME))).toBe(true);
    expect(run(port.commit(NAME))).toBe(true);
    expect(run(port.prepare(NAME, work(5), 2, false))).toMatchObject({ vote: "yes" });
    expect(resource.total).toBe(5);
    expect(resource.preparedCount).toBe(0);
    expect(seen).toEqual(["committed b1"]);
  });

  test("refuses a prepare after a roll back of a branch it never saw", () => {
    const { resource, run } = make();
    const port = attach(resource);
    expect(run(port.rollback(NAME))).toBe(true);
    expect(run(port.prepare(NAME, work(5), 1, false))).toMatchObject({ vote: "no" });
    expect(resource.lockCount).toBe(0);
  });

  test("a commit of what is not there and left no row ends the run: it would be a lost promise", () => {
    const { world, resource, run } = make();
    expect(run(attach(resource).commit(NAME))).toBe(false);
    expect(world.violation?.invariant).toBe("heuristic");
  });

  test("finds out what became of a PREPARE whose connection broke, and is never wrong about it", () => {
    const votes = new Set<string>();
    for (let seed = 0; seed < 80; seed++) {
      const { world, resource, start } = make(seed);
      const vote = start(attach(resource).prepare(NAME, work(5), 1, false));
      world.runUntil(0.1 * seed);
      resource.breakSession(new Prng(seed));
      world.runUntil(10_000);
      if (vote.value === undefined) {
        // Could not tell, so nothing is promised: a second attempt finds it as it is.
        expect(world.violation).toBeUndefined();
        continue;
      }
      votes.add(vote.value.vote);
      expect(resource.preparedCount, `seed ${seed}`).toBe(vote.value.vote === "yes" ? 1 : 0);
    }
    expect([...votes].sort()).toEqual(["no", "yes"]);
  });

  test("drops outcome rows below the floor only when no transaction is left that has not seen it", () => {
    const { world, resource, server, connect, run } = make();
    const port = attach(resource);
    const old = { gid: newGid(1_000, new Prng(1).uint32), branch: "b1" };
    run(port.prepare(old, work(5), 1, false));
    run(port.commit(old));
    const open = connect();
    run(open.run({ kind: "begin" }, add("a2", 1)));
    for (let i = 0; i < 3; i++) run(port.forgetBelow(2_000));
    expect(run(connect().run({ kind: "select-outcome", name: old }))).toMatchObject({ values: ["committed"] });
    run(open.run({ kind: "commit" }));
    for (let i = 0; i < 2; i++) run(port.forgetBelow(2_000));
    expect(run(connect().run({ kind: "select-outcome", name: old }))).toMatchObject({ values: [undefined] });
    expect(run(port.commit(old))).toBe(true);
    expect(run(port.prepare({ ...old, branch: "b2" }, work(1), 1, false))).toMatchObject({ vote: "no" });
    expect(server.lockCount).toBe(0);
    expect(world.violation).toBeUndefined();
  });
});
