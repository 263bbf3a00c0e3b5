import { createServer } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { gidTimeMs, nodeId, QuorateError } from "../../src/base/index.js";
import { connect } from "../../src/client/index.js";
import type { ClientEvent, ConnectOptions, Quorate } from "../../src/client/index.js";
import type { Request } from "../../src/coordinator/index.js";
import type { ScriptedNode } from "./scripted-node.js";
import { decided, healthy, refused, ScriptedCluster, until } from "./scripted-node.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function cluster(count = 3, clusterId?: string): Promise<ScriptedCluster> {
  const made = await ScriptedCluster.start(count, clusterId);
  cleanups.push(() => made.stop());
  return made;
}

async function client(target: string, options: ConnectOptions = {}): Promise<Quorate> {
  const made = await connect(target, options);
  cleanups.push(() => made.close({ drainMs: 0 }));
  return made;
}

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  const error: unknown = await promise.then(
    (value) => value,
    (reason: unknown) => reason,
  );
  if (error instanceof QuorateError) return error;
  throw new Error(`expected a QuorateError, got ${JSON.stringify(error)}`);
}

const kinds = (node: ScriptedNode): Request["kind"][] => node.received.map(({ body }) => body.kind);
const asked = { id: "bank", participant: "bank", mode: "asked", payload: Uint8Array.of(1) } as const;

describe("connect", () => {
  test("learns every member from one endpoint and keeps a stream to each", async () => {
    const nodes = await cluster();
    nodes.elect(2, 1);
    const quorate = await client(nodes.node(1).address);
    await until("a session on every node", () => nodes.nodes.every((node) => node.sessions.size === 1));
    expect(quorate.view()).toMatchObject({ leader: 2, epoch: 1, role: "leading" });
    expect(quorate.clusterId).toBe("cluster-1");
  });

  test("dials where the translation says, the given address and what members tell alike", async () => {
    const nodes = await cluster();
    nodes.elect(2, 1);
    const [other] = (await cluster(1, "elsewhere")).nodes;
    const asked: string[] = [];
    const quorate = await client("given.invalid:7400", {
      translateAddress: (address) => {
        asked.push(address);
        if (address === "given.invalid:7400") return nodes.node(1).address;
        return address === nodes.node(3).address ? (other?.address ?? "") : address;
      },
    });
    await until("a session where the third address leads", () => other?.sessions.size === 1);
    expect(quorate.view()?.leader).toBe(2);
    expect(nodes.node(3).sessions.size).toBe(0);
    expect(asked).toEqual(["given.invalid:7400", nodes.node(2).address, nodes.node(3).address]);
  });

  test("waits for a leader that is elected meanwhile", async () => {
    const nodes = await cluster();
    const connecting = client(nodes.url);
    await until("somebody asks", () => nodes.nodes.some((node) => node.sessions.size > 0));
    nodes.elect(3, 7);
    expect((await connecting).view()?.leader).toBe(3);
  });

  test("without a leader is QUORATE_NO_QUORUM and says what each endpoint said", async () => {
    const nodes = await cluster(2);
    const error = await failure(connect(nodes.url, { connectTimeoutMs: 200 }));
    expect(error.code).toBe("QUORATE_NO_QUORUM");
    for (const node of nodes.nodes) expect(error.message).toContain(`${node.address} is n${node.id}, epoch 0, knows no leader`);
  });

  test("without a leader is enough for who only wants to look", async () => {
    const nodes = await cluster(2);
    const quorate = await client(nodes.url, { requireLeader: false });
    expect(quorate.view()?.role).toBe("looking");
  });

  test("to nobody is QUORATE_UNREACHABLE and names each refusal", async () => {
    const nodes = await cluster(2);
    nodes.stop();
    const error = await failure(connect(nodes.url, { connectTimeoutMs: 300 }));
    expect(error).toMatchObject({ code: "QUORATE_UNREACHABLE", retry: "safe" });
    for (const node of nodes.nodes) expect(error.message).toContain(`${node.address} refused the connection`);
  });

  test("to a gRPC server of something else, or to no gRPC server, says so", async () => {
    const other = new Server();
    const grpcPort = await new Promise<number>((resolve, reject) => {
      other.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error)));
    });
    cleanups.push(() => other.forceShutdown());
    const error = await failure(connect(`127.0.0.1:${grpcPort}`, { connectTimeoutMs: 300 }));
    expect(error.code).toBe("QUORATE_UNREACHABLE");
    expect(error.message).toContain("is a gRPC server, but not a Quorate node");

    const mute = createServer((socket) => {
      socket.on("error", () => undefined);
      cleanups.push(() => socket.destroy());
    });
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => mute.close());
    const port = (mute.address() as { port: number }).port;
    const silent = await failure(connect(`127.0.0.1:${port}`, { connectTimeoutMs: 2_300 }));
    expect(silent.message).toContain("said nothing for 2000 ms");
  });

  test("to endpoints of two clusters is refused and names both", async () => {
    const [one, two] = [await cluster(1, "cluster-one"), await cluster(1, "cluster-two")];
    one.elect(1, 1);
    two.elect(1, 1);
    const error = await failure(connect([one.node(1).address, two.node(1).address]));
    expect(error.code).toBe("QUORATE_CONFIG");
    expect(error.message).toContain("cluster-one");
    expect(error.message).toContain("cluster-two");
    expect(error.message).toContain(one.node(1).address);
    expect(error.message).toContain(two.node(1).address);
  });

  test("with two addresses of one node keeps one stream", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    await client(`localhost:${nodes.node(1).port},${nodes.node(1).address}`);
    await until("one session is left", () => nodes.node(1).sessions.size === 1);
  });

  test("ends when its signal fires", async () => {
    const nodes = await cluster(1);
    const error = await failure(connect(nodes.url, { signal: AbortSignal.timeout(50) }));
    expect(error.code).toBe("QUORATE_CANCELLED");
  });
});

describe("requests", () => {
  test("of one turn travel in one frame", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    nodes.node(1).onRequest = healthy;
    const quorate = await client(nodes.url);
    await Promise.all(Array.from({ length: 50 }, () => quorate.commit(quorate.newGid(), [asked])));
    expect(nodes.node(1).received).toHaveLength(50);
    expect(nodes.node(1).frames).toBe(1);
  });

  test("submitted without a promise are answered through their callback", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    nodes.node(1).onRequest = healthy;
    const quorate = await client(nodes.url);
    const answers: string[] = [];
    for (let i = 0; i < 10; i++) quorate.submit({ kind: "noop" }, (answer) => answers.push(answer.kind));
    await until("ten answers", () => answers.length === 10);
    expect(new Set(answers)).toEqual(new Set(["ok"]));
  });

  test("a commit whose leader died after receiving it is sent again to the next one, the same, and succeeds", async () => {
    const nodes = await cluster();
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    nodes.node(1).onRequest = () => {
      nodes.node(1).kill();
      nodes.elect(2, 2, [2, 3]);
    };
    nodes.node(2).onRequest = healthy;
    const gid = quorate.newGid();
    const decision = await quorate.commit(gid, [asked]);
    expect(decision).toMatchObject({ gid, decision: "commit" });
    expect(nodes.node(2).received[0]?.body).toEqual(nodes.node(1).received[0]?.body);
    expect(nodes.node(2).received[0]?.request).toBe(nodes.node(1).received[0]?.request);
  });

  test("leave a leader that keeps its stream but answers nothing as soon as anybody reports a newer one", async () => {
    const nodes = await cluster();
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    nodes.node(2).onRequest = healthy;
    const committing = quorate.commit(quorate.newGid(), [asked]);
    await until("the frozen leader has it", () => nodes.node(1).received.length === 1);
    nodes.elect(2, 2, [2, 3]);
    expect((await committing).decision).toBe("commit");
    expect(nodes.node(1).sessions.size).toBe(1);
  });

  test("refused because the node does not lead wait for who does", async () => {
    const nodes = await cluster();
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    nodes.node(1).onRequest = ({ from, request }) => from.answer({ request, answer: refused("QUORATE_NOT_LEADER") });
    nodes.node(3).onRequest = healthy;
    const committing = quorate.commit(quorate.newGid(), [asked]);
    await until("refused several times", () => nodes.node(1).received.length >= 3);
    nodes.elect(3, 2);
    expect((await committing).decision).toBe("commit");
  });

  test("answered twice, or with bytes of another protocol, are not harmed", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    let garbage = true;
    nodes.node(1).onRequest = (received) => {
      if (garbage) {
        garbage = false;
        received.from.garbage();
        return;
      }
      healthy(received);
      healthy(received);
    };
    expect((await quorate.commit(quorate.newGid(), [asked])).decision).toBe("commit");
    expect((await quorate.commit(quorate.newGid(), [asked])).decision).toBe("commit");
    expect(nodes.node(1).received).toHaveLength(3);
  });

  test("come back to a node that restarts on the same address", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    nodes.node(1).kill();
    const committing = quorate.commit(quorate.newGid(), [asked]);
    nodes.node(1).onRequest = healthy;
    nodes.node(1).setView({ epoch: 2 });
    await nodes.node(1).start();
    expect((await committing).decision).toBe("commit");
  });
});

describe("when time runs out", () => {
  test("a commit that was sent has an unknown outcome, with its gid and how to go on", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    const gid = quorate.newGid();
    const error = await failure(quorate.commit(gid, [asked], [], { timeoutMs: 100 }));
    expect(error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown", retry: "same-request-id", gid });
  });

  test("a commit that was never sent certainly did nothing", async () => {
    const nodes = await cluster();
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    for (const node of nodes.nodes) node.setView({ role: "looking", established: false, leader: undefined });
    await until("no leader is known", () => quorate.view()?.role === "looking");
    const error = await failure(quorate.commit(quorate.newGid(), [asked], [], { timeoutMs: 150 }));
    expect(error).toMatchObject({ code: "QUORATE_NO_QUORUM", outcome: undefined, retry: "safe" });
    expect(error.message).toContain("knows no leader");
    nodes.node(1).onRequest = healthy;
    nodes.elect(1, 2);
    await quorate.health();
    expect(kinds(nodes.node(1))).toEqual(["noop"]);
  });

  test("a signal that fires after the commit was sent leaves the outcome unknown, never failed; its reason is the cause", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    const stop = new AbortController();
    const reason = new Error("the user left");
    nodes.node(1).onRequest = () => stop.abort(reason);
    const error = await failure(quorate.commit(quorate.newGid(), [asked], [], { signal: stop.signal }));
    expect(error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown", cause: reason });
  });

  test("a signal that has fired before sends nothing", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    nodes.node(1).onRequest = healthy;
    const quorate = await client(nodes.url);
    const error = await failure(quorate.commit(quorate.newGid(), [asked], [], { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ code: "QUORATE_CANCELLED", outcome: undefined });
    await quorate.health();
    expect(kinds(nodes.node(1))).toEqual(["noop"]);
  });
});

describe("registers", () => {
  test("a put whose outcome stayed unknown is repeated under the same id, which the cluster is told to keep", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    const requestId = quorate.newRequestId();
    const error = await failure(quorate.put("r", Uint8Array.of(1), { requestId, timeoutMs: 50 }));
    expect(error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", retry: "same-request-id" });
    nodes.node(1).onRequest = healthy;
    await quorate.put("r", Uint8Array.of(2));
    await quorate.put("r", Uint8Array.of(1), { requestId });
    await quorate.put("r", Uint8Array.of(3));
    const puts = nodes.node(1).received.map(({ body }) => (body.kind === "put" ? [body.request.seq, body.request.ackBelow] : []));
    expect(puts).toEqual([
      [1, 1],
      [2, 1],
      [1, 1],
      [3, 3],
    ]);
  });

  test("a conflict carries its code, and an absent register reads as undefined", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    nodes.node(1).onRequest = (received) => {
      const { from, request, body } = received;
      if (body.kind !== "put") return healthy(received);
      const message = "r has version 1:7";
      from.answer({
        request,
        answer: {
          kind: "error",
          code: "QUORATE_CONFLICT",
          message,
          outcome: undefined,
          retry: "never",
          gid: undefined,
          version: undefined,
        },
      });
    };
    expect(await failure(quorate.put("r", Uint8Array.of(1)))).toMatchObject({ code: "QUORATE_CONFLICT", message: "r has version 1:7" });
    expect(await quorate.read("r")).toBeUndefined();
  });
});

describe("the client", () => {
  test("makes gids with the cluster's time, not with its own", async () => {
    const nodes = await cluster(1);
    nodes.node(1).setView({ clusterTimeMs: 1_000_000_000_000 });
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    expect(gidTimeMs(quorate.newGid()) - 1_000_000_000_000).toBeLessThan(10_000);
  });

  test("reports who leads, and who leaves", async () => {
    const nodes = await cluster();
    nodes.elect(1, 1);
    const events: ClientEvent[] = [];
    await client(nodes.url, { onEvent: (event) => events.push(event) });
    nodes.node(1).kill();
    await until("the loss is seen", () => events.some((event) => event.kind === "endpoint-lost"));
    nodes.elect(2, 2, [2, 3]);
    const leaders = (): unknown[] => events.flatMap((event) => (event.kind === "leader" ? [event.node] : []));
    await until("the next leader is seen", () => leaders().at(-1) === nodeId(2));
    expect(leaders()).toEqual([nodeId(1), undefined, nodeId(2)]);
  });

  test("asks every endpoint for its status and reports those that do not answer", async () => {
    const nodes = await cluster(2);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    await until("both are known", () => nodes.nodes.every((node) => node.sessions.size === 1));
    nodes.node(2).kill();
    const reports = await quorate.status({ timeoutMs: 500 });
    expect(reports.map((report) => report.address).sort()).toEqual(nodes.nodes.map((node) => node.address).sort());
    expect(reports.every((report) => report.status === undefined && report.error !== undefined)).toBe(true);
  });

  test("hands leadership over through whoever leads, and passes its refusal on", async () => {
    const nodes = await cluster(2);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    nodes.node(1).moveLeader = (to) => to ?? nodeId(2);
    expect(await quorate.moveLeader(nodeId(2))).toBe(2);
    nodes.node(1).moveLeader = undefined;
    expect((await failure(quorate.moveLeader())).message).toContain("no hand-over scripted");
  });

  test("drains before it closes, and refuses afterwards", async () => {
    const nodes = await cluster(1);
    nodes.elect(1, 1);
    const quorate = await client(nodes.url);
    const committing = quorate.commit(quorate.newGid(), [asked]);
    await until("sent", () => nodes.node(1).received.length === 1);
    const closing = quorate.close();
    const [received] = nodes.node(1).received;
    if (received?.body.kind === "commit") received.from.answer({ request: received.request, answer: decided(received.body.gid) });
    expect((await committing).decision).toBe("commit");
    await closing;
    expect((await failure(quorate.health())).code).toBe("QUORATE_CLOSED");
    await until("the stream is gone", () => nodes.node(1).sessions.size === 0);
  });
});
