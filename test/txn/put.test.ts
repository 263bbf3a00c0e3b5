import { describe, expect, test } from "vitest";
import { ZXID_ZERO } from "../../src/base/index.js";
import { TXN_LIMITS } from "../../src/txn/index.js";
import { Bench, put, START_MS } from "./builders.js";

describe("a request takes effect once", () => {
  test("repeated, it gets its first answer and changes nothing", () => {
    const bench = new Bench();
    const client = bench.client();
    const first = bench.apply(put(client, 1, "k", 1));
    bench.apply(put(client, 2, "k", 2));
    const again = bench.apply(put(client, 1, "k", 1));
    expect(again).toEqual({ ...first, repeated: true });
    expect(bench.machine.register("k")?.value).toEqual(Uint8Array.of(2));
  });

  test("a conflict is remembered too, also when the version would fit later", () => {
    const bench = new Bench();
    const client = bench.client();
    bench.apply(put(client, 1, "k", 1));
    const version = bench.zxid;
    expect(bench.apply(put(client, 2, "k", 2, { expect: ZXID_ZERO }))).toMatchObject({ reason: "version-conflict", version });
    expect(bench.apply(put(client, 2, "k", 2))).toMatchObject({ reason: "version-conflict", version });
    expect(bench.machine.register("k")?.version).toEqual(version);
  });

  test("requests may be applied out of order", () => {
    const bench = new Bench();
    const client = bench.client();
    for (const seq of [5, 2, 9, 1, 4]) expect(bench.outcome(put(client, seq, `k${seq}`, seq))).toBe("put");
    for (const seq of [1, 2, 4, 5, 9]) expect(bench.apply(put(client, seq, `k${seq}`, seq))).toMatchObject({ kind: "put", repeated: true });
  });

  test("below ackBelow the answer is dropped and the request is expired, not run again", () => {
    const bench = new Bench();
    const client = bench.client();
    for (let seq = 1; seq <= 200; seq++) bench.apply(put(client, seq, "k", seq, { ackBelow: Math.max(0, seq - 10) }));
    expect(bench.outcome(put(client, 189, "k", 1))).toBe("expired");
    expect(bench.apply(put(client, 195, "k", 1))).toMatchObject({ kind: "put", repeated: true });
    const memory = bench.machine.takeChanges().find((change) => change.kind === "client");
    expect(memory?.kind === "client" && memory.value?.answers.map(({ seq }) => seq)).toEqual([
      190, 191, 192, 193, 194, 195, 196, 197, 198, 199, 200,
    ]);
  });

  test("a client idle below the floor is forgotten, and its requests are expired, not run again", () => {
    const bench = new Bench();
    const [idle, busy] = [bench.client(), bench.client()];
    bench.apply(put(idle, 1, "k", 1));
    bench.later(60_000);
    bench.apply(put(busy, 1, "k", 2));
    bench.later(TXN_LIMITS.commitWindowMs);
    bench.apply({ kind: "FLOOR", timeMs: START_MS + 60_000 });
    expect(bench.outcome(put(idle, 1, "k", 1))).toBe("expired");
    expect(bench.outcome(put(idle, 2, "k", 1))).toBe("expired");
    expect(bench.apply(put(busy, 1, "k", 2))).toMatchObject({ repeated: true });
    expect(bench.outcome(put(busy, 2, "k", 3))).toBe("put");
    expect(bench.machine.counts().clients).toBe(1);
  });

  test("a client from the far future, or with a malformed id, is refused", () => {
    const bench = new Bench();
    expect(bench.outcome(put(bench.client(TXN_LIMITS.futureMsMax + 1), 1, "k", 1))).toBe("future");
    expect(bench.outcome(put("me", 1, "k", 1))).toBe("invalid");
    expect(bench.outcome(put(bench.client(), 0, "k", 1))).toBe("invalid");
    expect(bench.outcome(put(bench.client(), 1, "k", 1, { ackBelow: -1 }))).toBe("invalid");
  });

  test("what one client may leave unacknowledged is bounded, and so are clients and registers", () => {
    const bench = new Bench({ ...TXN_LIMITS, clientAnswersMax: 2, clientsMax: 2, registersMax: 2 });
    const [a, b] = [bench.client(), bench.client()];
    expect(bench.outcome(put(a, 1, "k", 1))).toBe("put");
    expect(bench.outcome(put(a, 2, "k", 1))).toBe("put");
    expect(bench.outcome(put(a, 3, "k", 1))).toBe("too-large");
    expect(bench.outcome(put(b, 1, "l", 1))).toBe("put");
    expect(bench.outcome(put(b, 2, "m", 1))).toBe("too-large");
    expect(bench.outcome(put(bench.client(), 1, "k", 1))).toBe("too-large");
  });
});

describe("compare and put", () => {
  test("takes effect only at the expected version; 0:0 means absent", () => {
    const bench = new Bench();
    const client = bench.client();
    expect(bench.outcome(put(client, 1, "k", 1, { expect: { epoch: 1, counter: 1 } }))).toBe("version-conflict");
    expect(bench.outcome(put(client, 2, "k", 1, { expect: ZXID_ZERO }))).toBe("put");
    const version = bench.zxid;
    expect(bench.outcome(put(client, 3, "k", 2, { expect: ZXID_ZERO }))).toBe("version-conflict");
    expect(bench.outcome(put(client, 4, "k", 2, { expect: version }))).toBe("put");
    expect(bench.outcome(put(client, 5, "k", 3, { expect: version }))).toBe("version-conflict");
    expect(bench.machine.register("k")?.value).toEqual(Uint8Array.of(2));
  });

  test("names and values are bounded", () => {
    const bench = new Bench();
    const client = bench.client();
    expect(bench.outcome(put(client, 1, "", 1))).toBe("invalid");
    expect(bench.outcome(put(client, 2, "x".repeat(129), 1))).toBe("too-large");
    const big = put(client, 3, "k", 1);
    if (big.kind !== "PUT") throw new Error("PUT");
    expect(bench.outcome({ ...big, value: new Uint8Array(TXN_LIMITS.registerValueBytesMax + 1) })).toBe("too-large");
    expect(bench.outcome({ ...big, value: new Uint8Array(TXN_LIMITS.registerValueBytesMax) })).toBe("put");
  });
});

test("REGISTER makes a name known for ever, with the kind seen last", () => {
  const bench = new Bench();
  expect(bench.outcome({ kind: "REGISTER", participant: "ship", participantKind: "postgres" })).toBe("registered");
  bench.apply({ kind: "REGISTER", participant: "ship", participantKind: "kv" });
  expect(bench.machine.isParticipant("ship")).toBe(true);
  expect(bench.machine.participants().map(({ name, participantKind }) => `${name}:${participantKind}`)).toEqual([
    "billing:kv",
    "orders:kv",
    "ship:kv",
    "stock:kv",
  ]);
  expect(bench.outcome({ kind: "REGISTER", participant: "Ship", participantKind: "kv" })).toBe("invalid");
});
