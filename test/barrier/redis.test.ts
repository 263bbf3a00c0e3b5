import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { barrier, type RedisBarrier, type RedisCommand, type RedisWork } from "../../src/barrier/index.js";
import { startRedis, type RedisServer } from "../../src/testing/index.js";
import { withRedis } from "../testing/with-redis.js";
import { describeBarrier } from "./conformance.js";
import { INSTANCES, nameOf, newCall, type BarrierFixture } from "./fixture.js";

type Client = Awaited<ReturnType<typeof connect>>;

async function connect(server: RedisServer) {
  // In flight and queued commands fail when the connection is lost; the client connects again by itself.
  const client = createClient({ url: server.url, disableOfflineQueue: true, socket: { reconnectStrategy: 20 } });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** As ioredis has it: `call` with the command first. The package itself is not there. */
function asIoRedis(client: Client): { call(command: string, ...args: (string | Buffer)[]): Promise<unknown> } {
  return { call: (command, ...args) => client.sendCommand([command, ...args]) };
}

async function redisFixture(work: (keys: readonly string[]) => RedisWork): Promise<BarrierFixture> {
  const server = await startRedis();
  const clients = await Promise.all(Array.from({ length: INSTANCES }, () => connect(server)));
  const make = (): RedisBarrier[] => clients.map((client, i) => barrier.redis(i % 2 === 0 ? client : asIoRedis(client)));
  let barriers = make();
  const ready = async (): Promise<void> => {
    for (const client of clients) while (!client.isReady) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  const client = clients[0] as Client;
  return {
    call: (call, { instance = 0, inside } = {}) =>
      (barriers[instance] as RedisBarrier).call(call, async () => {
        await inside?.();
        return work([`e/${nameOf(call)}`, "total"]);
      }),
    count: async (name) => Number((await client.get(`e/${name}`)) ?? 0),
    total: async () => Number((await client.get("total")) ?? 0),
    async marks({ cluster, participant }) {
      let n = 0;
      for (const key of await client.keys(`quorate:barrier:m/${cluster}/${participant}/*`)) n += await client.hLen(key);
      return n;
    },
    forgetBelow: async (floorMs, scope) => barriers[1]?.forgetBelow(floorMs, scope),
    reopen: async () => void (barriers = make()),
    async crash() {
      await server.kill9();
      await server.restart();
      await ready();
      barriers = make();
    },
    async dispose() {
      for (const each of clients) each.destroy();
      await server.stop();
    },
  };
}

const COUNT = "for _, key in ipairs(KEYS) do redis.call('INCRBY', key, ARGV[1]) end return 'counted'";

withRedis(() => {
  describeBarrier("Redis, commands", () => redisFixture((keys) => keys.map((key): RedisCommand => ["INCR", key])), { oneStep: true });
  describeBarrier("Redis, a Lua body", () => redisFixture((keys) => ({ lua: COUNT, keys, args: ["1"] })), {
    oneStep: true,
    crashes: false,
  });

  describe("a barrier in Redis", () => {
    let server: RedisServer;
    let client: Client;
    let at: RedisBarrier;
    beforeAll(async () => {
      server = await startRedis();
      client = await connect(server);
      at = barrier.redis(client, { prefix: "{shop}:" });
    });
    afterAll(async () => {
      client?.destroy();
      await server?.stop();
    });

    test("gives the replies of the commands, or what the Lua body returned; Buffers pass unchanged", async () => {
      const bytes = Buffer.from([0, 255, 10, 13]);
      const commands: RedisWork = [
        ["SET", "k", bytes],
        ["INCRBY", "n", "41"],
        ["INCR", "n"],
      ];
      expect(await at.call(newCall("try"), () => commands)).toEqual({ kind: "done", value: ["OK", 41, 42] });
      expect(
        await at.call(newCall("try"), () => ({ lua: "return { redis.call('GET', KEYS[1]), ARGV[1] }", keys: ["n"], args: ["x"] })),
      ).toEqual({
        kind: "done",
        value: ["42", "x"],
      });
      expect(await client.strLen("k")).toBe(4);
      expect(await at.call(newCall("try"), () => ({ lua: "return nil" }))).toMatchObject({ kind: "done" });
    });

    test("a Lua body reads and decides; its error before the first write leaves nothing and comes out", async () => {
      const call = newCall("try");
      const reserve: RedisWork = {
        lua: "local have = tonumber(redis.call('GET', KEYS[1]) or '0') if have < 5 then return redis.error_reply('no funds') end return redis.call('DECRBY', KEYS[1], 5)",
        keys: ["funds"],
      };
      await expect(at.call(call, () => reserve)).rejects.toMatchObject({ name: "RedisWorkError", message: "no funds" });
      await client.set("funds", "7");
      expect(await at.call(call, () => reserve)).toEqual({ kind: "done", value: 2 });
      expect(await at.call(call, () => reserve)).toEqual({ kind: "duplicate" });
      expect(await client.get("funds")).toBe("2");
    });

    test("a first command that fails leaves nothing; a later one leaves a hazard that says what is in force, and nothing more runs", async () => {
      await client.set("text", "abc");
      const [clean, torn] = [newCall("try"), newCall("try")] as const;
      await expect(at.call(clean, () => [["INCR", "text"]])).rejects.toMatchObject({
        name: "RedisWorkError",
        message: expect.stringMatching(/not an integer/) as string,
      });
      expect(await at.call(clean, () => [])).toMatchObject({ kind: "done" });
      for (const work of [
        [
          ["INCR", "half"],
          ["INCR", "text"],
        ],
        { lua: "server.call('INCR', 'half') error('later')" },
      ] as RedisWork[]) {
        const call = { ...torn, branch: Array.isArray(work) ? "b1" : "b2" };
        const hazard = {
          code: "QUORATE_HAZARD",
          heuristic: "mixed",
          message: expect.stringMatching(/after 1 writes.*does not roll back/) as string,
        };
        await expect(at.call(call, () => work)).rejects.toMatchObject(hazard);
        for (const phase of ["try", "cancel", "confirm"] as const)
          await expect(at.call({ ...call, phase }, () => [])).rejects.toMatchObject(hazard);
      }
      expect(await client.get("half")).toBe("2");
    });

    test("refuses a server that would lose what it answered, by setting, and looks once", async () => {
      const set = (name: string, value: string): Promise<unknown> => client.sendCommand(["CONFIG", "SET", name, value]);
      const setup = (message: RegExp): object => ({ code: "QUORATE_PARTICIPANT_SETUP", message: expect.stringMatching(message) as string });
      const fresh = (): Promise<unknown> => barrier.redis(client).call(newCall("try"), () => []);
      for (const [name, bad, good] of [
        ["appendfsync", "everysec", "always"],
        ["appendonly", "no", "yes"],
        ["no-appendfsync-on-rewrite", "yes", "no"],
      ] as const) {
        await set(name, bad);
        await expect(fresh()).rejects.toMatchObject(setup(new RegExp(`${name} is ${bad}.*CONFIG SET ${name} ${good}`)));
        expect(await at.call(newCall("try"), () => [])).toMatchObject({ kind: "done" });
        await set(name, good);
      }
      await set("maxmemory-policy", "allkeys-lru");
      await fresh();
      await set("maxmemory", "100mb");
      await expect(at.check()).rejects.toMatchObject(setup(/maxmemory-policy is allkeys-lru.*noeviction/));
      await set("maxmemory-policy", "noeviction");
      await at.check();
      await client.sendCommand(["ACL", "SETUSER", "clerk", "on", ">x", "~*", "+@all", "-config"]);
      const clerk = createClient({ url: `redis://clerk:x@127.0.0.1:${server.port}` });
      await clerk.connect();
      await expect(barrier.redis(clerk).call(newCall("try"), () => [])).rejects.toMatchObject(
        setup(/CONFIG GET appendonly was refused.*check: false/),
      );
      expect(await barrier.redis(clerk, { check: false }).call(newCall("try"), () => [])).toMatchObject({ kind: "done" });
      clerk.destroy();
    });

    test("a server out of memory takes neither the work nor the mark", async () => {
      const call = newCall("try");
      await client.sendCommand(["CONFIG", "SET", "maxmemory", "1"]);
      await expect(at.call(call, () => [["SET", "big", "1"]])).rejects.toThrow(/OOM/);
      await client.sendCommand(["CONFIG", "SET", "maxmemory", "0"]);
      expect(await client.exists("big")).toBe(0);
      expect(await at.call(call, () => [["SET", "big", "1"]])).toMatchObject({ kind: "done" });
    });

    test("what a function must not return, and a client that cannot be used, are refused by name", async () => {
      const refused = (message: RegExp): object => ({
        code: "QUORATE_INVALID_ARGUMENT",
        message: expect.stringMatching(message) as string,
      });
      for (const work of [undefined, 7, [["SET", 1]], [[]], { lua: 7 }, { lua: "", keys: "k" }])
        await expect(at.call(newCall("try"), () => work as never)).rejects.toMatchObject(refused(/what the function returned/));
      expect(() => barrier.redis({} as never)).toThrow(/client of the package redis or ioredis/);
      expect(() => barrier.redis({ slots: [], sendCommand: () => 0 } as never)).toThrow(/Redis Cluster/);
      expect(() => barrier.redis(client, { prefix: "" })).toThrow(/prefix/);
    });

    test("the marks change under a call: its work is thrown away and the call is decided again", async () => {
      const call = newCall("try");
      let made = 0;
      const result = at.call(call, async () => {
        made++;
        if (made === 1) await at.call({ ...call, phase: "cancel" }, () => []);
        return [["INCR", "changed"]];
      });
      expect(await result).toMatchObject({ kind: "refused" });
      expect([made, await client.exists("changed")]).toEqual([1, 0]);
    });
  });
});
