import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import { startAdmin, type AdminHandlers, type AdminServer } from "../../src/server/admin.js";

const open: AdminServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

const HANDLERS: AdminHandlers = {
  readiness: () => ({ ready: false, role: "looking" }),
  version: () => ({ version: "1" }),
  metrics: () => "quorate_zab_epoch 4\n",
  failpoints: undefined,
};

async function serve(handlers: Partial<AdminHandlers>): Promise<string> {
  const server = await startAdmin({ host: "127.0.0.1", port: 0 }, { ...HANDLERS, ...handlers });
  open.push(server);
  return `http://127.0.0.1:${server.port}`;
}

describe("admin server", () => {
  test("is live while it is not ready, and says why it is not", async () => {
    const base = await serve({});
    expect((await fetch(`${base}/livez`)).status).toBe(200);
    const ready = await fetch(`${base}/readyz?verbose`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ ready: false, role: "looking" });
  });

  test("serves metrics as Prometheus text", async () => {
    const response = await fetch(`${await serve({})}/metrics`);
    expect(response.headers.get("content-type")).toContain("version=0.0.4");
    expect(await response.text()).toBe("quorate_zab_epoch 4\n");
  });

  test("has no failpoints unless they are enabled", async () => {
    const base = await serve({});
    expect((await fetch(`${base}/failpoints`, { method: "PUT", body: "establish=halt" })).status).toBe(404);
    expect((await fetch(`${base}/anything`)).status).toBe(404);
  });

  test("a bad rule is a 400 with the code and the words", async () => {
    const base = await serve({
      failpoints: () => {
        throw new QuorateError("QUORATE_CONFIG", "unknown failpoint");
      },
    });
    const response = await fetch(`${base}/failpoints`, { method: "PUT", body: "x=halt" });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: "unknown failpoint", code: "QUORATE_CONFIG" });
  });

  test("a taken port is a QUORATE_CONFIG error that names the fix", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = other.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await expect(startAdmin({ host: "127.0.0.1", port }, HANDLERS)).rejects.toMatchObject({
      code: "QUORATE_CONFIG",
      message: expect.stringContaining("--admin-listen"),
    });
    await new Promise((resolve) => other.close(resolve));
  });
});
