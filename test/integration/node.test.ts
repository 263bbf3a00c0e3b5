/**
 * One node's process among its peers: planned stops, frozen and crashing leaders, probes, and calls to a node that does not lead.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { connect } from "../../src/client/index.js";
import { UNARY_METHODS } from "../../src/wire/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { quorate } from "../support/quorate.js";

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startCluster({ args: ["--client-lost-ms", "300"], env: { QUORATE_ENABLE_FAILPOINTS: "1" } });
});

afterAll(async () => {
  await cluster.dispose();
});

/** Every test begins with three nodes that serve. */
afterEach(async () => {
  for (const id of cluster.ids) {
    cluster.resume(id);
    if (cluster.pid(id) === undefined) cluster.restart(id);
  }
  await cluster.waitForLeader(cluster.ids);
});

function unary(
  address: string,
  method: keyof typeof UNARY_METHODS,
  body: Parameters<(typeof UNARY_METHODS)["Get"]["request"]["encode"]>[0],
) {
  const { request, answer } = UNARY_METHODS[method];
  const channel = new Client(address, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    channel.makeUnaryRequest(
      `/quorate.v1.Coordinator/${method}`,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => answer.decode(bytes),
      request.encode(body),
      new Metadata(),
      { deadline: Date.now() + 10_000 },
      (error, value) => (error === null ? resolve(value) : reject(error)),
    );
  }).finally(() => channel.close());
}

describe("a planned stop", () => {
  test("of the leader hands leadership over first: no write fails, the epoch grows by one, the process ends with 0", async () => {
    const { leader, epoch } = await cluster.waitForLeader();
    await using client = await connect(cluster.endpoints);
    let stopped = false;
    let writes = 0;
    const writing = (async () => {
      for (; !stopped; writes++) await client.put(`w-${writes}`, Buffer.from("x"));
    })();
    await expect.poll(() => writes).toBeGreaterThan(10);
    await cluster.stop(leader);
    const after = await cluster.waitForLeader();
    const before = writes;
    await expect.poll(() => writes).toBeGreaterThan(before + 10);
    stopped = true;
    await writing;
    expect(after.leader).not.toBe(leader);
    expect(after.epoch).toBe(epoch + 1);
    expect(cluster.exits.at(-1)).toMatchObject({ id: leader, code: 0, signal: null });
    expect(cluster.logTail(leader)).toContain("leadership handed over");
  });

  test("by `leader move` works from any endpoint, to a named node", async () => {
    const [to, via] = (await cluster.followers()) as readonly number[] as [number, number];
    const moved = await quorate(["leader", "move", `n${to}`, "--endpoints", cluster.node(via).clientAddress, "-o", "json"]);
    expect(moved).toMatchObject({ code: 0 });
    expect(JSON.parse(moved.stdout)).toMatchObject({ leader: to });
    expect(await cluster.leader()).toBe(to);
    const stranger = await quorate(["leader", "move", "9", "--endpoints", cluster.endpoints]);
    expect(stranger).toMatchObject({ code: 2 });
    expect(stranger.stderr).toContain("node 9 is not a member; members are 1, 2, 3");
  });
});

describe("an unplanned end", () => {
  test("a frozen leader is replaced within the promise, and follows when it wakes up", async () => {
    const { leader, epoch } = await cluster.waitForLeader();
    await using client = await connect(cluster.endpoints);
    cluster.pause(leader);
    const frozenAt = performance.now();
    const others = cluster.ids.filter((id) => id !== leader);
    const next = await cluster.waitForLeader(others);
    await client.put("after-freeze", Buffer.from("x"));
    const outageMs = performance.now() - frozenAt;
    expect(next.epoch).toBeGreaterThan(epoch);
    expect(outageMs).toBeLessThan(4000);
    cluster.resume(leader);
    const later = await cluster.waitForLeader(cluster.ids);
    expect(later.epoch).toBe(next.epoch);
  });

  test("a crash at a failpoint ends the process at exactly that point, and the cluster goes on", async () => {
    const leader = await cluster.leader();
    await using client = await connect(cluster.endpoints);
    await client.put("before-crash", Buffer.from("x"));
    await cluster.failpoints(leader, "log.sync.before=crash");
    await client.put("during-crash", Buffer.from("y"));
    expect(cluster.exits.at(-1)).toMatchObject({ id: leader, signal: "SIGKILL", expected: false });
    expect(await cluster.leader()).not.toBe(leader);
    expect(Buffer.from((await client.read("during-crash"))?.value ?? []).toString()).toBe("y");
  });

  test("failpoints are refused where they are not enabled", async () => {
    const plain = await quorate(["start", "--id", "1", "--data-dir", "/nowhere", "--members", "1=h:1/h:2"], {
      QUORATE_FAILPOINTS: "establish=crash",
    });
    expect(plain).toMatchObject({ code: 2 });
    expect(plain.stderr).toContain("set QUORATE_ENABLE_FAILPOINTS=1 too");
    const unknown = await quorate(["start", "--id", "1", "--data-dir", "/nowhere", "--members", "1=h:1/h:2"], {
      QUORATE_ENABLE_FAILPOINTS: "1",
      QUORATE_FAILPOINTS: "estabish=crash",
    });
    expect(unknown.stderr).toContain("unknown failpoint");
  });
});

describe("a follower", () => {
  test("takes unary calls of any client and passes them on to the leader", async () => {
    const [follower] = (await cluster.followers()) as readonly number[] as [number];
    const { clientAddress } = cluster.node(follower);
    expect(await unary(clientAddress, "Health", { kind: "noop" })).toEqual({ kind: "ok" });
    const put = {
      kind: "put",
      request: { client: "", seq: 0, ackBelow: 0 },
      name: "unary",
      value: Buffer.from("v"),
      expect: undefined,
    } as const;
    expect(await unary(clientAddress, "Put", put)).toMatchObject({ kind: "put" });
    expect(await unary(clientAddress, "Read", { kind: "read", name: "unary" })).toMatchObject({
      kind: "read",
      value: new Uint8Array([118]),
    });
  });
});

describe("a transaction that nobody's stream owns", () => {
  test("outlives the node that passed it on, while one of a lost client is aborted", async () => {
    const [via] = (await cluster.followers()) as readonly number[] as [number];
    const owned = await connect(cluster.endpoints);
    const mine = await owned.begin({ timeoutMs: 60_000 });
    const begun = await unary(cluster.node(via).clientAddress, "Begin", {
      kind: "open",
      gid: undefined,
      client: "",
      timeoutMs: 60_000,
      branches: [],
    });
    const { gid } = begun as { gid: string };
    await cluster.kill9(via);
    await owned.close({ drainMs: 0 });
    await using observer = await connect(cluster.endpoints);
    // The witness: the client's own time has passed, and by then so has that of the node's stream.
    await expect.poll(async () => (await observer.outcome(mine.gid)).reason, { timeout: 10_000 }).toBe("client-lost");
    expect(await observer.outcome(gid)).toMatchObject({ state: "open" });
    expect(await observer.abort(gid)).toMatchObject({ decision: "abort" });
  });
});

describe("a folder that cannot be used", () => {
  test("is a QUORATE_DATA_FOLDER error that names it", async () => {
    const file = `${cluster.node(1).dataDir}/format.json`;
    const result = await quorate(["start", "--id", "1", "--data-dir", `${file}/below`, "--members", "1=h:1/h:2"]);
    expect(result).toMatchObject({ code: 5 });
    expect(result.stderr).toContain(`data folder ${file}/below cannot be made: ENOTDIR`);
  });
});

describe("probes", () => {
  test("readiness, version and metrics tell the same story on every node", async () => {
    const { leader, epoch } = await cluster.waitForLeader();
    for (const id of cluster.ids) {
      const base = `http://${cluster.node(id).adminAddress}`;
      expect((await fetch(`${base}/livez`)).status).toBe(200);
      const ready = await fetch(`${base}/readyz`);
      expect(ready.status).toBe(200);
      expect(await ready.json()).toMatchObject({ ready: true, node: id, leader, epoch, voting: true });
      expect(await (await fetch(`${base}/version`)).json()).toMatchObject({ node: id, cluster: "test" });
      expect(await cluster.metric(id, "quorate_zab_epoch")).toBe(epoch);
      expect(await cluster.metric(id, "quorate_zab_is_leader")).toBe(id === leader ? 1 : 0);
      expect(await cluster.metric(id, "quorate_zab_has_quorum")).toBe(1);
    }
  });

  test("a node without a quorum is live and not ready", async () => {
    const [first, second, third] = cluster.ids as readonly number[] as [number, number, number];
    await cluster.kill9(second);
    await cluster.kill9(third);
    const base = `http://${cluster.node(first).adminAddress}`;
    await expect.poll(async () => (await fetch(`${base}/readyz`)).status, { timeout: 10_000 }).toBe(503);
    expect((await fetch(`${base}/livez`)).status).toBe(200);
  });
});
