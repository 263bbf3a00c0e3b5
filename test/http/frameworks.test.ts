/**
 * The helpers for service authors inside the real frameworks: what arrives at the handlers, and that nothing but done work is answered 2xx.
 */
import express from "express";
import fastify from "fastify";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { newGid } from "../../src/base/index.js";
import { expressHandler, fastifyService, nodeHandler, NotYet, Refusal } from "../../src/http/index.js";
import type { CallBarrier, HttpServiceOptions, ServiceCall } from "../../src/http/index.js";
import { HttpService } from "../../src/service/index.js";

const GID = newGid(Date.now(), () => 7);
const HEADERS: Readonly<Record<string, string>> = {
  "quorate-gid": GID,
  "quorate-branch": "b1",
  "quorate-phase": "try",
  "quorate-attempt": "1",
  "quorate-epoch": "3",
  "quorate-cluster": "test",
  "quorate-participant": "hotel",
  "content-type": "application/json",
};

/** What the handlers were given, and what they do next. */
const seen: ServiceCall[] = [];
const errors: unknown[] = [];
let next: () => unknown = () => undefined;
afterEach(() => {
  seen.length = errors.length = 0;
  next = () => undefined;
});

function handle(call: ServiceCall): Promise<void> {
  seen.push(call);
  return Promise.resolve(next()) as Promise<void>;
}

const OPTIONS: HttpServiceOptions = {
  handlers: { try: handle, confirm: handle, cancel: handle },
  participant: "hotel",
  cluster: "test",
  bodyBytesMax: 1_000,
  onError: (error) => errors.push(error),
};

type Start = () => Promise<{ readonly port: number; close(): Promise<unknown> }>;

async function listening(server: Server): Promise<{ readonly port: number; close(): Promise<unknown> }> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

const FRAMEWORKS: readonly (readonly [string, Start])[] = [
  ["node:http", () => listening(createServer((request, response) => void nodeHandler(OPTIONS)(request, response)))],
  ["express", () => listening(createServer(express().post("/", expressHandler(OPTIONS))))],
  [
    "express with a parser",
    () =>
      listening(
        createServer(
          express()
            .use(express.json({ limit: 1_000 }))
            .post("/", expressHandler(OPTIONS)),
        ),
      ),
  ],
  [
    "fastify",
    async () => {
      const app = fastify();
      await app.register(fastifyService(OPTIONS));
      await app.listen({ host: "127.0.0.1", port: 0 });
      return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
    },
  ],
];

describe.each(FRAMEWORKS)("a service in %s", (name, start) => {
  let url = "";
  let close: () => Promise<unknown>;
  beforeAll(async () => {
    const server = await start();
    url = `http://127.0.0.1:${server.port}/`;
    close = () => server.close();
  });
  afterAll(() => close());

  async function post(
    headers: Readonly<Record<string, string>>,
    body = "",
  ): Promise<{ readonly status: number; readonly detail: unknown }> {
    const response = await fetch(url, { method: "POST", headers, body });
    const text = await response.text();
    const detail = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>)["detail"] : text;
    return { status: response.status, detail };
  }

  test("is called by the leader's own caller, step by step", async () => {
    const hotel = new HttpService("hotel", { url, kind: "tcc", deadlineMs: 5_000 }, 3, {
      clusterId: "test",
      connectionsMax: 2,
      answerBytesMax: 1_000,
      forgottenBelowMs: () => 512,
    });
    const ref = { gid: GID, branch: "b1" };
    expect(await hotel.prepare({ ...ref, epoch: 3, payload: Buffer.from('{"room":12}') })).toEqual({ vote: "yes", detail: "" });
    expect(await hotel.commit(ref)).toEqual({ kind: "done" });
    expect(await hotel.rollback(ref)).toEqual({ kind: "done" });
    const shared = {
      gid: GID,
      branch: "b1",
      attempt: 1,
      epoch: 3,
      cluster: "test",
      participant: "hotel",
      forgottenBelowMs: 512,
      traceparent: undefined,
    };
    expect(seen).toEqual([
      { ...shared, phase: "try", payload: { room: 12 } },
      { ...shared, phase: "confirm", payload: undefined },
      { ...shared, phase: "cancel", payload: undefined },
    ]);
    next = () => {
      throw new Refusal("no room left");
    };
    expect(await hotel.prepare({ ...ref, epoch: 3, payload: Buffer.from("[]") })).toEqual({ vote: "no", detail: "no room left" });
    next = () => {
      throw new NotYet("still starting");
    };
    await expect(hotel.commit(ref)).rejects.toThrow("answered 425 to confirm (still starting)");
    expect(errors).toEqual([]);
    await hotel.close();
  });

  test("answers 500 for what a handler throws, and the error reaches the log", async () => {
    const broken = new Error("out of disk");
    next = () => {
      throw broken;
    };
    expect(await post(HEADERS, "{}")).toEqual({ status: 500, detail: "out of disk" });
    next = () => Promise.reject(broken);
    expect(await post({ ...HEADERS, "quorate-phase": "confirm" })).toEqual({ status: 500, detail: "out of disk" });
    // A refusal of a decision is no refusal.
    next = () => {
      throw new Refusal("too late");
    };
    expect(await post({ ...HEADERS, "quorate-phase": "cancel" })).toEqual({ status: 500, detail: "too late" });
    // Whatever is returned that is no result: it must not pass for a yes.
    next = () => "no";
    expect((await post(HEADERS, "{}")).status).toBe(500);
    expect(errors.slice(0, 2)).toEqual([broken, broken]);
    expect(errors).toHaveLength(4);
  });

  test.each(Object.keys(HEADERS).filter((header) => header !== "content-type"))("without %s is a clear 400", async (header) => {
    const { [header]: _, ...others } = HEADERS;
    const { status, detail } = await post(others, "{}");
    expect(status).toBe(400);
    expect(detail).toContain(header);
    expect(seen).toEqual([]);
  });

  test.each([
    ["quorate-gid", "q-1", "gid"],
    ["quorate-branch", "Robert'); drop table", "quorate-branch"],
    ["quorate-phase", "do", "must be one of prepare, commit"],
    ["quorate-phase", "prepare", "but this service has try, confirm, cancel"],
    ["quorate-epoch", "-1", "whole number"],
    ["quorate-attempt", "99999999999", "whole number"],
    ["quorate-forgotten-below", "yesterday", "whole number"],
    ["quorate-participant", "motel", "but this service is hotel"],
    ["quorate-cluster", "other", "belongs to test"],
  ])("with %s %s is a clear 400", async (header, value, message) => {
    const { status, detail } = await post({ ...HEADERS, [header]: value }, "{}");
    expect(status).toBe(400);
    expect(detail).toContain(message);
    expect(seen).toEqual([]);
  });

  test("does nothing for a payload that is malformed, too long, or of another type", async () => {
    const malformed = await post(HEADERS, "{");
    // A parser before the handler answers in its own way; the transaction then ends at its timeout.
    expect(malformed.status).toBe(name === "express with a parser" ? 400 : 409);
    expect((await post(HEADERS, JSON.stringify("x".repeat(1_000)))).status).toBe(413);
    expect((await post({ ...HEADERS, "content-type": "text/plain" }, "{}")).status).toBe(415);
    expect(seen).toEqual([]);
  });

  test("takes POST only", async () => {
    const { status } = await fetch(url, { headers: HEADERS });
    expect([404, 405]).toContain(status);
  });
});

describe("with a barrier", () => {
  const key = { gid: GID, branch: "b1", phase: "prepare", epoch: 3, cluster: "test", participant: "hotel" };

  async function once(
    barrier: CallBarrier<{ readonly db: string }>,
    prepare: (handle: { readonly db: string }) => "read-only" | undefined,
  ): Promise<Response> {
    const handlers = {
      prepare: (_: ServiceCall, handle: { readonly db: string }) => prepare(handle),
      commit: () => undefined,
      rollback: () => undefined,
    };
    const server = await listening(
      createServer((request, response) => void nodeHandler<{ readonly db: string }>({ handlers, barrier })(request, response)),
    );
    try {
      return await fetch(`http://127.0.0.1:${server.port}/`, {
        method: "POST",
        headers: { ...HEADERS, "quorate-phase": "prepare" },
        body: "{}",
      });
    } finally {
      await server.close();
    }
  }

  test("the handler runs inside it, with its handle, and may vote read-only, again and again", async () => {
    let marked = false;
    const call = vi.fn<CallBarrier<{ readonly db: string }>["call"]>(async (_, run) => {
      if (marked) return { kind: "duplicate" };
      await run({ db: "open" });
      // Reached only when the function comes back: a barrier takes its mark back when it throws.
      marked = true;
      return { kind: "done" };
    });
    const handles: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      const response = await once({ call }, (handle) => {
        handles.push(handle);
        return "read-only";
      });
      expect([response.status, await response.json()]).toEqual([200, { vote: "read-only" }]);
    }
    expect(call.mock.calls[0]?.[0]).toEqual(key);
    expect(handles).toEqual([{ db: "open" }, { db: "open" }]);
  });

  test("a duplicate is done without the handler, a refusal is 409, an error is 500", async () => {
    const never = (): undefined => {
      throw new Error("ran");
    };
    expect((await once({ call: () => Promise.resolve({ kind: "duplicate" }) }, never)).status).toBe(200);
    const refused = await once({ call: () => Promise.resolve({ kind: "refused", detail: "cancelled before" }) }, never);
    expect([refused.status, await refused.json()]).toEqual([409, { detail: "cancelled before" }]);
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect((await once({ call: () => Promise.reject(new Error("no database")) }, never)).status).toBe(500);
    expect(console.error).toHaveBeenCalledOnce();
  });
});

describe("options", () => {
  test("without all handlers of a kind are refused", () => {
    const partial = { try: () => undefined, confirm: () => undefined } as unknown as HttpServiceOptions["handlers"];
    expect(() => nodeHandler({ handlers: partial })).toThrow(
      "handlers must have the functions prepare, commit and rollback, or try, confirm and cancel",
    );
    expect(() => nodeHandler({ ...OPTIONS, bodyBytesMax: 0 })).toThrow("bodyBytesMax");
  });
});
