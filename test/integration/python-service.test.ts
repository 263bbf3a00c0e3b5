/**
 * The example in Python against a real cluster: transfers between two such services while leaders are killed. Each transfer happens once
 * or not at all, no money appears or vanishes, and nothing stays reserved.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isQuorateError } from "../../src/base/index.js";
import { connect, servicePayload, type Quorate } from "../../src/client/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";

const PROGRAM = fileURLToPath(new URL("../../examples/python-service/service.py", import.meta.url));
const PYTHON = spawnSync("python3", ["-c", "import sqlite3"]).status === 0;
const PATIENCE_MS = 60_000;
const TRANSFERS = 60;
const ACCOUNTS = ["a0", "a1", "a2", "a3"];
const OPENING = 100;
/** One of each kind, so that every transfer is a mixed one. */
const KINDS = { left: "tcc", right: "2pc" } as const;
type Name = keyof typeof KINDS;

if (!PYTHON && process.env["CI"] !== undefined)
  throw new Error("python3 with sqlite3 is missing, and this test must run in CI: install python3");

interface Service {
  readonly name: string;
  readonly db: string;
  readonly url: string;
  readonly child: ChildProcess;
}

let dir: string;
let cluster: TestCluster;
let client: Quorate;
let services: Service[];

async function start(name: string, kind: "tcc" | "2pc"): Promise<Service> {
  const db = join(dir, `${name}.db`);
  const opened = ACCOUNTS.flatMap((account) => ["--open", `${account}=${OPENING}`]);
  const child = spawn("python3", ["-B", PROGRAM, "--db", db, ...opened, "--exit-with-parent"], { stdio: ["pipe", "pipe", "inherit"] });
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      const found = /listening on (\S+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once("exit", (code) => reject(new Error(`service ${name} ended with ${code}`)));
  });
  await client.registerService({ name, url, kind, deadlineMs: 10_000 });
  return { name, db, url, child };
}

/** Rows of one query, read by a process of its own. */
function rows(db: string, query: string): unknown[][] {
  const script = "import json, sqlite3, sys; print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))";
  return JSON.parse(execFileSync("python3", ["-c", script, db, query], { encoding: "utf8" })) as unknown[][];
}

describe.skipIf(!PYTHON)("services in Python (skipped where python3 with sqlite3 is missing)", () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "quorate-python-"));
    cluster = await startCluster();
    client = await connect(cluster.endpoints, { requestTimeoutMs: 30_000 });
    services = [await start("left", KINDS.left), await start("right", KINDS.right)];
  });

  afterAll(async () => {
    for (const { child } of services) child.kill("SIGKILL");
    await client.close({ drainMs: 0 });
    await cluster.dispose();
    rmSync(dir, { recursive: true, force: true });
  });

  test("keep every promise while the leader is killed", async () => {
    const outcome = new Map<string, "committed" | "aborted">();
    const transfer = async (i: number): Promise<void> => {
      const gid = client.newGid();
      const [from, to] = i % 2 === 0 ? ["left", "right"] : ["right", "left"];
      const account = ACCOUNTS[i % ACCOUNTS.length];
      // Some are more than the account holds.
      const amount = i % 7 === 6 ? 10 * OPENING : 3;
      const run = async (): Promise<void> => {
        await client.transaction(
          (tx) => {
            tx.ask(from as string, servicePayload({ account, delta: -amount }), { branch: "debit", kind: KINDS[from as Name] });
            tx.ask(to as string, servicePayload({ account, delta: amount }), { branch: "credit", kind: KINDS[to as Name] });
          },
          { gid, timeoutMs: 30_000 },
        );
      };
      await run().catch((error: unknown) => {
        if (!isQuorateError(error)) throw error;
      });
      const { decision } = await client.outcome(gid, { wait: true, timeoutMs: PATIENCE_MS });
      outcome.set(gid, decision === "commit" ? "committed" : "aborted");
    };
    const killed = (async () => {
      for (let round = 0; round < 2; round++) {
        await expect.poll(() => outcome.size, { timeout: PATIENCE_MS }).toBeGreaterThan((round * TRANSFERS) / 3);
        const leader = await cluster.leader();
        await cluster.kill9(leader);
        cluster.restart(leader);
      }
    })();
    for (let from = 0; from < TRANSFERS; from += 6) await Promise.all(Array.from({ length: 6 }, (_, i) => transfer(from + i)));
    await killed;
    await cluster.waitForLeader();
    const committed = [...outcome].filter(([, how]) => how === "committed").map(([gid]) => gid);
    expect(committed.length).toBeGreaterThan(TRANSFERS / 2);
    expect(outcome.size - committed.length).toBeGreaterThan(0);
    for (const gid of outcome.keys()) {
      const unfinished = async (): Promise<number> => (await client.outcome(gid)).branches.filter((branch) => !branch.done).length;
      await expect.poll(unfinished, { timeout: PATIENCE_MS }).toBe(0);
    }
    for (const { db } of services) {
      expect(rows(db, "select name from account where reserved <> 0 or balance < 0")).toEqual([]);
      expect(rows(db, "select gid, branch from branch where state = 'tried'")).toEqual([]);
      const booked = rows(db, "select gid from booked order by gid").map(([gid]) => gid);
      expect(booked).toEqual([...committed].sort());
    }
    const total = services.reduce((sum, { db }) => sum + Number(rows(db, "select sum(balance) from account")[0]?.[0]), 0);
    expect(total).toBe(services.length * ACCOUNTS.length * OPENING);
  });
});

test("the example answers what a service must, whatever order and however often calls come", { skip: !PYTHON }, async () => {
  const at = mkdtempSync(join(tmpdir(), "quorate-python-"));
  const child = spawn("python3", ["-B", PROGRAM, "--db", join(at, "x.db"), "--open", "alice=10", "--exit-with-parent"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    const said = await new Promise<string>((resolve) => child.stdout.setEncoding("utf8").once("data", resolve));
    const url = /http:\S+/.exec(said)?.[0] ?? "";
    const call = async (
      gid: number,
      phase: string,
      epoch = 1,
      body = '{"account":"alice","delta":-4}',
      headers: Record<string, string> = {},
    ): Promise<number> => {
      const named = {
        "quorate-gid": `q-${String(gid).padStart(32, "0")}`,
        "quorate-branch": "b",
        "quorate-phase": phase,
        "quorate-epoch": String(epoch),
        "quorate-forgotten-below": "0",
      };
      const response = await fetch(url, { method: "POST", headers: { ...named, ...headers }, body: phase === "try" ? body : "" });
      return response.status;
    };
    expect(await call(1, "cancel")).toBe(200);
    expect(await call(1, "try")).toBe(409);
    expect([await call(2, "try"), await call(2, "try"), await call(2, "confirm"), await call(2, "confirm"), await call(2, "try")]).toEqual([
      200, 200, 200, 200, 200,
    ]);
    expect([await call(3, "try"), await call(4, "try"), await call(3, "cancel"), await call(3, "cancel"), await call(4, "try")]).toEqual([
      200, 409, 200, 200, 200,
    ]);
    expect([await call(5, "try", 1, "{"), await call(6, "try", 1, '{"account":"bob","delta":1}'), await call(7, "confirm")]).toEqual([
      409, 409, 500,
    ]);
    expect([await call(8, "try", 9, '{"account":"alice","delta":1}'), await call(9, "try", 8), await call(8, "confirm", 8)]).toEqual([
      200, 409, 200,
    ]);
    expect(await call(10, "nonsense")).toBe(400);
    const row = "select count(*) from branch where state <> 'tried'";
    expect(rows(join(at, "x.db"), row)).not.toEqual([[0]]);
    // All gids above are of 1970: finished ones are forgotten, late ones refused, and what is tried obeys its decision.
    expect(await call(11, "try", 9, '{"account":"alice","delta":0}', { "quorate-forgotten-below": "1700000000000" })).toBe(409);
    expect(rows(join(at, "x.db"), row)).toEqual([[0]]);
    expect(rows(join(at, "x.db"), "select gid from branch")).toHaveLength(1);
    expect([await call(2, "try", 9), await call(4, "cancel", 9)]).toEqual([409, 200]);
    // 10 - 4 (gid 2) + 1 (gid 8).
    expect(rows(join(at, "x.db"), "select balance, reserved from account")).toEqual([[7, 0]]);
  } finally {
    child.kill("SIGKILL");
    rmSync(at, { recursive: true, force: true });
  }
});
