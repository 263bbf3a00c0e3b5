/**
 * The leader's HTTP caller against real servers on this machine: every answer that a service, or something else at its address, can give.
 */
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { newGid, type ServiceSpec } from "../../src/base/index.js";
import { HttpService, NotYet } from "../../src/service/index.js";
import { answer, HttpStub } from "../support/http-stub.js";

const OPTIONS = { clusterId: "test", connectionsMax: 4, answerBytesMax: 1_000, forgottenBelowMs: () => 1_700_000_000_512 };
const GID = newGid(Date.now(), () => 7);
const PAYLOAD = Buffer.from('{"room":12}');

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function stub(handle: HttpStub["handle"]): Promise<HttpStub> {
  const server = await HttpStub.start(handle);
  open.push({ close: () => server[Symbol.asyncDispose]() });
  return server;
}

function service(url: string, spec: Partial<ServiceSpec> = {}): HttpService {
  const made = new HttpService("hotel", { url, kind: "tcc", deadlineMs: 2_000, ...spec }, 3, OPTIONS);
  open.push(made);
  return made;
}

const request = { gid: GID, branch: "b1", payload: PAYLOAD, epoch: 3 };
const ref = { gid: GID, branch: "b1" };

describe("a call", () => {
  test("is a POST with the headers of the document, and the payload for new work only", async () => {
    const server = await stub((_, response) => answer(response, 200));
    const hotel = service(`${server.url}?x=1`);
    await hotel.prepare(Object.assign({ attempt: 2 }, request));
    await hotel.commit(Object.assign({ attempt: 5, epoch: 4 }, ref));
    await hotel.rollback(ref);
    expect(server.calls[0]).toMatchObject({ method: "POST", path: "/quorate?x=1", body: '{"room":12}' });
    expect(server.calls[0]?.headers).toMatchObject({
      "quorate-gid": GID,
      "quorate-branch": "b1",
      "quorate-phase": "try",
      "quorate-attempt": "2",
      "quorate-epoch": "3",
      "quorate-cluster": "test",
      "quorate-participant": "hotel",
      "quorate-forgotten-below": "1700000000512",
      "content-type": "application/json",
      "content-length": "11",
    });
    expect(server.calls[1]).toMatchObject({ phase: "confirm", attempt: 5, epoch: 4, body: "" });
    expect(server.calls[1]?.headers["content-type"]).toBeUndefined();
    expect(server.calls[2]).toMatchObject({ phase: "cancel", attempt: 1, epoch: 3, body: "" });
  });

  test("names the phases of its kind", async () => {
    const server = await stub((_, response) => answer(response, 204));
    const stock = service(server.url, { kind: "2pc" });
    await stock.prepare(request);
    await stock.commit(ref);
    await stock.rollback(ref);
    expect(server.calls.map((call) => call.phase)).toEqual(["prepare", "commit", "rollback"]);
  });

  test("goes again at once when the service closes the idle connection at that moment", async () => {
    let connections = 0;
    const server = createTcpServer((socket) => {
      connections++;
      socket.on("error", () => undefined);
      let calls = 0;
      socket.on("data", () => {
        if (calls++ === 0) socket.write("HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\n");
        else socket.resetAndDestroy();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const hotel = service(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    open.push({ close: () => new Promise((resolve) => server.close(resolve)) });
    await hotel.commit(ref);
    expect(await hotel.commit(ref)).toEqual({ kind: "done" });
    expect(connections).toBe(2);
  });
});

describe("an answer", () => {
  test.each([
    [200, undefined, "application/json", { vote: "yes", detail: "" }],
    [204, undefined, "application/json", { vote: "yes", detail: "" }],
    [201, {}, "application/json; charset=utf-8", { vote: "yes", detail: "" }],
    [200, { vote: "yes", more: 1 }, "application/problem+json", { vote: "yes", detail: "" }],
    [200, { vote: "read-only" }, "application/json", { vote: "read-only", detail: "" }],
    [409, { detail: "no room left" }, "application/json", { vote: "no", detail: "no room left" }],
    [409, "full\n  up", "text/plain", { vote: "no", detail: "full up" }],
    [409, "<html>Conflict</html>", "text/html", { vote: "no", detail: "answered 409 to prepare" }],
    [409, undefined, "application/json", { vote: "no", detail: "answered 409 to prepare" }],
  ])("%s %j of %s is a vote", async (status, body, type, vote) => {
    const server = await stub((_, response) => answer(response, status, body, type));
    expect(await service(server.url, { kind: "2pc" }).prepare(request)).toEqual(vote);
  });

  test("read-only to a try is a no: what it reserved would stay", async () => {
    const server = await stub((_, response) => answer(response, 200, { vote: "read-only" }));
    expect(await service(server.url).prepare(request)).toMatchObject({ vote: "no" });
  });

  test.each([
    [200, "<html>welcome</html>", "text/html", "answered 200 to try with a body of text/html"],
    [200, "OK", "text/plain", "a body of 2xx is empty or a JSON object"],
    [200, "{", "application/json", "a body that is no JSON object"],
    [200, "[]", "application/json", "a body that is no JSON object"],
    [200, { vote: "no" }, "application/json", 'vote "no", which is neither "yes" nor "read-only" (409 says no)'],
    [302, undefined, "text/html", "answered 302 to try; a service answers 2xx, 409 or 425"],
    [400, { detail: "header quorate-gid is missing" }, "application/json", "answered 400 to try (header quorate-gid is missing)"],
    [404, "<html>", "text/html", "answered 404 to try; a service answers 2xx, 409 or 425"],
    [503, "busy", "text/plain", "answered 503 to try (busy); a service answers 2xx, 409 or 425"],
    [200, "x".repeat(2_000), "application/json", "answered 200 to try with more than 1000 bytes, the limit serviceAnswerBytesMax"],
  ])("%s %j of %s could not be told, and says what it was", async (status, body, type, message) => {
    const server = await stub((_, response) => answer(response, status, body, type));
    await expect(service(server.url).prepare(request)).rejects.toThrow(message);
  });

  test("425 is not yet, for new work and for decisions", async () => {
    const server = await stub((_, response) => answer(response, 425, { detail: "still starting" }));
    const hotel = service(server.url);
    await expect(hotel.prepare(request)).rejects.toThrow(NotYet);
    await expect(hotel.commit(ref)).rejects.toThrow("answered 425 to confirm (still starting)");
  });

  test("409 to a decision is no answer: it is asked again", async () => {
    const server = await stub((_, response) => answer(response, 409, { detail: "sold" }));
    const hotel = service(server.url);
    await expect(hotel.commit(ref)).rejects.toThrow(
      "answered 409 to confirm (sold); what is decided cannot be refused, so it is asked again",
    );
    await expect(hotel.rollback(ref)).rejects.toThrow("answered 409 to cancel (sold)");
  });

  test("of a redirect is not followed", async () => {
    const target = await stub((_, response) => answer(response, 200));
    const server = await stub((_, response) => void response.writeHead(307, { location: target.url }).end());
    await expect(service(server.url).prepare(request)).rejects.toThrow("answered 307 to try");
    expect(target.calls).toEqual([]);
  });
});

describe("no answer", () => {
  test("in time ends the call at the deadline, before and inside the answer", async () => {
    const server = await stub((call, response) => {
      if (call.phase === "confirm") response.writeHead(200, { "content-type": "application/json" }).write("{");
    });
    const hotel = service(server.url, { deadlineMs: 200 });
    const startMs = performance.now();
    await expect(hotel.prepare(request)).rejects.toThrow("no answer to try within 200 ms");
    await expect(hotel.commit(ref)).rejects.toThrow("no answer to confirm within 200 ms");
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });

  test("from a port where nobody listens", async () => {
    const server = await HttpStub.start((_, response) => answer(response, 200));
    const { url } = server;
    await server[Symbol.asyncDispose]();
    await expect(service(url).prepare(request)).rejects.toThrow(/no answer to try: .*ECONNREFUSED/);
  });

  test("from something that speaks no HTTP, or resets, or breaks off", async () => {
    const said: ((socket: Socket) => void)[] = [
      (socket) => void socket.write("+OK POP3 ready\r\n"),
      (socket) => void socket.resetAndDestroy(),
      (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{"),
      (socket) => void socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ];
    let turn = 0;
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => said[turn++]?.(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push({ close: () => new Promise((resolve) => server.close(resolve)) });
    const hotel = service(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await expect(hotel.prepare(request)).rejects.toThrow(/no answer to try: .*Parse Error/);
    await expect(hotel.prepare(request)).rejects.toThrow(/no answer to try: .*(ECONNRESET|hang up)/);
    await expect(hotel.prepare(request)).rejects.toThrow("answered 200 to try, and the connection broke before the end of the answer");
    await expect(hotel.prepare(request)).rejects.toThrow("answered 101 to try");
    await hotel.close();
  });

  test("from a service that is closed: calls under way end", async () => {
    const server = await stub(() => undefined);
    const hotel = service(server.url, { deadlineMs: 30_000 });
    const called = hotel.prepare(request);
    await expect.poll(() => server.calls.length).toBe(1);
    await hotel.close();
    await expect(called).rejects.toThrow("this node has ended the call");
  });
});
