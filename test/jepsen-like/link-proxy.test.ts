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
  proxy.lose("forward", 100);
  near.write("one ");
  // The answer travels the other way, so it is there after the proxy has seen what was sent before.
  far.write("back");
  expect(await received(near)).toBe("back");
  let early = "";
  far.on("data", (bytes: Buffer) => (early += bytes.toString()));
  while (proxy.takeCounts().held === 0) await new Promise((resolve) => setImmediate(resolve));
  near.write("two");
  while (proxy.takeCounts().held === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(early).toBe("");
  proxy.lose("forward", 0);
  await expect.poll(() => early).toBe("one two");
  near.write(" three");
  await expect.poll(() => early).toBe("one two three");
});

test("a fault that touched nothing was not felt", async () => {
  proxy.lose("backward", 100);
  near.write("x");
  expect(await received(far)).toBe("x");
  expect(proxy.takeCounts().held).toBe(0);
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
  expect(proxy.takeCounts().held).toBeGreaterThan(0);
});

test("a cut resets both ends", async () => {
  const errors = Promise.all([once(near, "error"), once(far, "error")]);
  expect(proxy.cut()).toBe(2);
  for (const [error] of (await errors) as NodeJS.ErrnoException[][]) expect(error?.code).toBe("ECONNRESET");
  expect(proxy.takeCounts().held).toBe(2);
});

test("a lossy direction holds some pieces back, lets others through at once, and keeps the order", async () => {
  proxy.lose("forward", 30);
  let got = "";
  far.on("data", (bytes: Buffer) => (got += bytes.toString()));
  let sent = "";
  const counts = { held: 0, passed: 0 };
  // One piece at a time: what is written together travels together.
  for (let i = 0; i < 2000 && (counts.held < 3 || counts.passed < 3); i++) {
    const piece = `${i} `;
    sent += piece;
    near.write(piece);
    let seen = { held: 0, passed: 0 };
    while (seen.held + seen.passed === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      seen = proxy.takeCounts();
    }
    counts.held += seen.held;
    counts.passed += seen.passed;
  }
  expect(Math.min(counts.held, counts.passed)).toBeGreaterThanOrEqual(3);
  await expect.poll(() => got, { timeout: 30_000 }).toBe(sent);
}, 40_000);
