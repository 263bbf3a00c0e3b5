/**
 * Services that the leader calls, in a cluster of real processes: the first calls, everything that goes wrong on the way, registrations.
 */
import { status } from "@grpc/grpc-js";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, servicePayload, type Quorate } from "../../src/client/index.js";
import { isQuorateError } from "../../src/base/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { startGrpcStub } from "../support/grpc-stub.js";
import { answer, HttpStub, type StubCall } from "../support/http-stub.js";
import { quorate, quorateJson, type CommandResult } from "../support/quorate.js";

/** Bounds of this test, wide enough for a busy machine. */
const PATIENCE_MS = 60_000;

let cluster: TestCluster;
let client: Quorate;
const stubs: HttpStub[] = [];

beforeAll(async () => {
  cluster = await startCluster({ args: ["--breaker-open-ms", "100", "--retry-delay-ms-max", "300"] });
  client = await connect(cluster.endpoints, { requestTimeoutMs: 30_000 });
});

afterAll(async () => {
  await client.close({ drainMs: 0 });
  for (const stub of stubs) await stub[Symbol.asyncDispose]();
  await cluster.dispose();
});

async function stub(handle: HttpStub["handle"]): Promise<HttpStub> {
  const made = await HttpStub.start(handle);
  stubs.push(made);
  return made;
}

async function unfinished(gid: string): Promise<string[]> {
  const { branches } = await client.outcome(gid);
  return branches.filter((branch) => !branch.done).map((branch) => branch.id);
}

const cli = (...args: readonly string[]): Promise<CommandResult> =>
  quorate([...args, "--endpoints", cluster.endpoints, "--timeout-ms", "30000"]);

/** Reserves by try, books by confirm, and is right about it whatever order the calls come in. */
class Booking {
  readonly state = new Map<string, "tried" | "confirmed" | "cancelled">();
  readonly effects = new Map<string, number>();

  /** False: refused. */
  run({ gid, branch, phase }: StubCall): boolean {
    const key = `${gid}/${branch}`;
    const state = this.state.get(key);
    if (phase === "try") {
      if (state === "cancelled") return false;
      if (state === undefined) this.state.set(key, "tried");
    } else if (phase === "confirm") {
      if (state !== "tried" && state !== "confirmed") throw new Error(`confirm of ${key}, which is ${String(state)}`);
      if (state === "tried") this.effects.set(key, (this.effects.get(key) ?? 0) + 1);
      this.state.set(key, "confirmed");
    } else {
      if (state === "confirmed") throw new Error(`cancel of ${key}, which is confirmed`);
      this.state.set(key, "cancelled");
    }
    return true;
  }

  get reserved(): number {
    return [...this.state.values()].filter((state) => state === "tried").length;
  }
}

describe("a service", () => {
  test("registered by the command line is called from then on, after the record, and its refusal aborts", async () => {
    const recorded: string[] = [];
    const hotel = await stub(async ({ gid, phase, body }, response) => {
      if (phase === "prepare") recorded.push((await client.outcome(gid)).state);
      if (body.includes("13")) answer(response, 409, { detail: "there is no room 13" });
      else answer(response, 200);
    });
    const added = await cli("service", "add", "hotel", "--url", hotel.url, "--deadline", "20s");
    expect(added).toMatchObject({ code: 0, stdout: `service hotel at ${hotel.url} is added\n` });
    const gid = client.newGid();
    await client.transaction((tx) => void tx.ask("hotel", servicePayload({ room: 12 })), { gid });
    expect(recorded).toEqual(["preparing"]);
    await expect.poll(() => hotel.phases(gid), { timeout: PATIENCE_MS }).toEqual(["prepare", "commit"]);
    expect(hotel.calls.at(0)).toMatchObject({ body: '{"room":12}', attempt: 1, epoch: client.view()?.epoch });
    const refused = client.transaction((tx) => void tx.ask("hotel", servicePayload({ room: 13 })));
    await expect(refused).rejects.toMatchObject({
      code: "QUORATE_ABORTED",
      reason: "vote-no",
      message: expect.stringContaining("there is no room 13") as string,
    });
    expect(await quorateJson(["service", "ls", "--endpoints", cluster.endpoints])).toEqual([
      { name: "hotel", url: hotel.url, kind: "2pc", deadlineMs: 20_000 },
    ]);
    await expect.poll(async () => (await cli("service", "rm", "hotel")).code, { timeout: PATIENCE_MS }).toBe(0);
    expect((await cli("service", "ls")).stdout).toBe("no services\n");
  });

  test("that fails in every way books each transaction once and keeps no reserve", async () => {
    const booking = new Booking();
    const settle = (call: StubCall, response: ServerResponse): void => answer(response, booking.run(call) ? 200 : 409);
    const confirms = new Map<string, number>();
    /** Tries that do their work long after the caller has given up, and after the cancel. */
    const late: Promise<void>[] = [];
    const shop = await stub((call, response) => {
      if (call.phase === "try" && call.body.includes("late")) {
        const cancelled = expect.poll(() => shop.phases(call.gid), { timeout: PATIENCE_MS }).toContain("cancel");
        late.push(cancelled.then(() => settle(call, response)));
        return;
      }
      if (call.phase !== "confirm") return settle(call, response);
      const turn = (confirms.get(call.gid) ?? 0) + 1;
      confirms.set(call.gid, turn);
      if (turn === 1) return answer(response, 500, "out of memory", "text/plain");
      if (turn === 2) return void setTimeout(() => response.destroy(), 30_000).unref();
      if (turn > 3) return settle(call, response);
      // Done, and the answer is lost.
      booking.run(call);
      response.socket?.resetAndDestroy();
    });
    await client.registerService({ name: "shop", url: shop.url, kind: "tcc", deadlineMs: 300 });
    const committed: string[] = [];
    const aborted: string[] = [];
    const one = async (i: number): Promise<void> => {
      const gid = client.newGid();
      const isLate = i % 5 === 4;
      try {
        await client.transaction((tx) => void tx.ask("shop", servicePayload(isLate ? "late" : i), { kind: "tcc" }), {
          gid,
          timeoutMs: isLate ? 1_000 : 60_000,
        });
        committed.push(gid);
      } catch (error) {
        if (!isQuorateError(error) || error.outcome !== "aborted") throw error;
        aborted.push(gid);
      }
    };
    for (let from = 0; from < 50; from += 10) await Promise.all(Array.from({ length: 10 }, (_, i) => one(from + i)));
    await Promise.all(late);
    expect([committed.length, aborted.length]).toEqual([40, 10]);
    for (const gid of [...committed, ...aborted]) await expect.poll(() => unfinished(gid), { timeout: PATIENCE_MS }).toEqual([]);
    expect([...booking.effects.keys()].sort()).toEqual(committed.map((gid) => `${gid}/shop`).sort());
    expect([...booking.effects.values()].every((count) => count === 1)).toBe(true);
    expect(booking.reserved).toBe(0);
    for (const gid of aborted) expect(shop.phases(gid).slice(0, 1)).toEqual(["try"]);
  });

  test("that goes on refusing what is decided is shown with what it said, and takes it in the end", async () => {
    let stubborn = true;
    const odd = await stub(({ phase }, response) =>
      phase === "confirm" && stubborn ? answer(response, 409, { detail: "changed my mind" }) : answer(response, 200),
    );
    await client.registerService({ name: "odd", url: odd.url, kind: "tcc" });
    const gid = client.newGid();
    await client.transaction((tx) => void tx.ask("odd", servicePayload({}), { kind: "tcc" }), { gid });
    const lastError = async (): Promise<string | undefined> => (await client.outcome(gid)).branches[0]?.lastError;
    await expect
      .poll(lastError, { timeout: PATIENCE_MS })
      .toBe("answered 409 to confirm (changed my mind); what is decided cannot be refused, so it is asked again");
    expect((await cli("txn", "get", gid)).stdout).toContain("changed my mind");
    const removal = await cli("service", "rm", "odd");
    expect(removal.code).not.toBe(0);
    expect(removal.stderr).toContain(`it has branches in 1 unfinished transactions, ${gid} among them`);
    stubborn = false;
    await client.wakeService("odd");
    await expect.poll(() => unfinished(gid), { timeout: PATIENCE_MS }).toEqual([]);
  });

  test("that is down gets everything at once when it is woken, and the new leader calls it too", async () => {
    const down = await stub((_, response) => answer(response, 503));
    await client.registerService({ name: "mill", url: down.url, kind: "tcc" });
    down.handle = ({ phase }, response) => answer(response, phase === "try" ? 200 : 503);
    const gids = Array.from({ length: 5 }, () => client.newGid());
    await Promise.all(
      gids.map((gid) => client.transaction((tx) => void tx.ask("mill", servicePayload({}), { kind: "tcc" }), { gid, timeoutMs: 60_000 })),
    );
    const epoch = client.view()?.epoch ?? 0;
    await cluster.kill9(await cluster.leader());
    down.handle = (_, response) => answer(response, 200);
    await client.wakeService("mill", { timeoutMs: PATIENCE_MS });
    for (const gid of gids) await expect.poll(() => unfinished(gid), { timeout: PATIENCE_MS }).toEqual([]);
    const confirms = down.calls.filter((call) => call.phase === "confirm");
    expect(Math.max(...confirms.map((call) => call.epoch))).toBeGreaterThan(epoch);
  });
});

describe("a service over gRPC", () => {
  test("takes part beside one over HTTP, and its refusal aborts both", async () => {
    const bank = await startGrpcStub(({ payload }) => {
      if (Buffer.from(payload as Uint8Array).toString("utf8") === "13") return { code: status.ABORTED, details: "no 13" };
      return { vote: 1 };
    });
    try {
      const shelf = await stub((_, response) => answer(response, 200));
      await client.registerService({ name: "bank", url: bank.url, kind: "tcc", deadlineMs: 20_000 });
      await client.registerService({ name: "shelf", url: shelf.url, kind: "2pc", deadlineMs: 20_000 });
      const run = (gid: string, work: number): Promise<void> =>
        client.transaction(
          (tx) => {
            tx.ask("bank", servicePayload(work), { kind: "tcc" });
            tx.ask("shelf", servicePayload(work));
          },
          { gid, timeoutMs: 60_000 },
        );
      const [kept, refused] = [client.newGid(), client.newGid()];
      const bankPhases = (gid: string): unknown[] => bank.calls.filter((call) => call["gid"] === gid).map((call) => call["phase"]);
      await run(kept, 12);
      await expect.poll(() => bankPhases(kept), { timeout: PATIENCE_MS }).toEqual(["SERVICE_PHASE_TRY", "SERVICE_PHASE_CONFIRM"]);
      await expect.poll(() => shelf.phases(kept), { timeout: PATIENCE_MS }).toEqual(["prepare", "commit"]);
      await expect(run(refused, 13)).rejects.toMatchObject({ reason: "vote-no", message: expect.stringContaining("no 13") as string });
      // Tries come first: whom one of them refuses, the others never hear of as work.
      await expect.poll(() => unfinished(refused), { timeout: PATIENCE_MS }).toEqual([]);
      expect(shelf.phases(refused)).not.toContain("prepare");
    } finally {
      bank.close();
    }
  });
});

describe("a registration", () => {
  test("with other settings is refused unless it replaces, and the same again changes nothing", async () => {
    const here = await stub((_, response) => answer(response, 200));
    const there = await stub((_, response) => answer(response, 200));
    expect(await client.registerService({ name: "depot", url: here.url })).toBe("added");
    expect(await client.registerService({ name: "depot", url: here.url, kind: "2pc", deadlineMs: 5_000 })).toBe("unchanged");
    await expect(client.registerService({ name: "depot", url: there.url })).rejects.toMatchObject({ code: "QUORATE_CONFLICT" });
    expect(await client.registerService({ name: "depot", url: there.url }, { replace: true })).toBe("replaced");
    await client.transaction((tx) => void tx.ask("depot", servicePayload({})));
    expect(here.calls).toEqual([]);
    expect(there.calls.map((call) => call.phase)).toContain("prepare");
  });

  test.each([
    [["service", "add", "x", "--url", "ftp://127.0.0.1/"], "must begin with http:// or grpc://"],
    [["service", "add", "x", "--url", "http://127.0.0.1/", "--deadline", "1h"], '--deadline is "1h", but must be such as 500ms or 5s'],
    [["service", "add", "x", "--url", "http://127.0.0.1/", "--deadline", "2ms"], "deadlineMs 2 must be an integer from 50 to 60000"],
    [["service", "add", "X!", "--url", "http://127.0.0.1/"], "service "],
    [["service", "rm", "nobody"], 'there is no service "nobody"; registered are: '],
    [["service", "wake", "nobody"], 'there is no service "nobody"'],
  ])("%j is refused with what is wrong", async (args, message) => {
    const { code, stderr } = await cli(...args);
    expect(code).not.toBe(0);
    expect(stderr).toContain(message);
  });

  test("cannot be written malformed through the plain register either", async () => {
    const value = Buffer.from('{"url":"http://127.0.0.1/","retries":1}');
    await expect(client.put("service/sly", value)).rejects.toMatchObject({
      code: "QUORATE_INVALID_ARGUMENT",
      message: expect.stringContaining('"retries" is no setting') as string,
    });
  });
});
