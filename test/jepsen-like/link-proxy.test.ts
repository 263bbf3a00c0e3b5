import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LinkProxy } from "../../jepsen-like/cluster/link-proxy.js";

/** A pair of sockets with the proxy between: `near` dialed, `far` accepted. */
let near: Socket;
let far: Socket;
let proxy: LinkProxy;
const server = createServer();

beforeEach(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy = await LinkProxy.listen((server.address() as AddressInfo).port);
  const accepted = once(server, "connection");
  near = connect(proxy.port, "127.0.0.1");
  [far] = (await accepted) as [Socket];
});

afterEach(async () => {
  near.destroy();
  far.destroy();
  await proxy.close();
  server.close();
  await once(server, "close");
});

async function received(socket: Socket): Promise<string> {
  const [bytes] = (await once(socket, "data")) as [Buffer];
  return bytes.toString();
}

test("a blocked direction holds everything back, the other still works, and what was held arrives in order", async () => {
  proxy.block("forward");
  near.write("one ");
  // The answer travels the other way, so it is there after the proxy has seen what was sent before.
  far.write("back");
  expect(await received(near)).toBe("back");
  let early = "";
  far.on("data", (bytes: Buffer) => (early += bytes.toString()));
  while (proxy.takeBitten() === 0) await new Promise((resolve) => setImmediate(resolve));
  near.write("two");
  while (proxy.takeBitten() === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(early).toBe("");
  expect([proxy.isBlocked("forward"), proxy.isBlocked("backward")]).toEqual([true, false]);
  proxy.unblock("forward");
  await expect.poll(() => early).toBe("one two");
  near.write(" three");
  await expect.poll(() => early).toBe("one two three");
});

test("a fault that touched nothing was not felt", async () => {
  proxy.block("backward");
  near.write("x");
  expect(await received(far)).toBe("x");
  expect(proxy.takeBitten()).toBe(0);
});

test("a delay counts as felt and keeps the order", async () => {
  proxy.delay(30);
  const sentMs = performance.now();
  near.write("a");
  near.write("b");
  let got = "";
  far.on("data", (bytes: Buffer) => (got += bytes.toString()));
  await expect.poll(() => got).toBe("ab");
  expect(performance.now() - sentMs).toBeGreaterThanOrEqual(29);
  expect(proxy.takeBitten()).toBeGreaterThan(0);
});

test("a cut resets both ends", async () => {
  const errors = Promise.all([once(near, "error"), once(far, "error")]);
  proxy.cut(false);
  for (const [error] of (await errors) as NodeJS.ErrnoException[][]) expect(error?.code).toBe("ECONNRESET");
  expect(proxy.takeBitten()).toBe(2);
});
