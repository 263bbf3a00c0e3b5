/**
 * Transactions by hand, and everything that can be typed wrong: a clear message, a stable code and exit status, nothing left behind.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import { PROGRAM } from "../../src/cli/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { plainEnvironment, quorate, quorateJson, type CommandResult } from "../support/quorate.js";

const PATIENCE_MS = 20_000;

let cluster: TestCluster;
let dir: string;
const participants: ChildProcess[] = [];

beforeAll(async () => {
  cluster = await startCluster();
  dir = mkdtempSync(join(tmpdir(), "quorate-command-line-"));
  await Promise.all(["bank-a", "bank-b"].map(attach));
});

afterAll(async () => {
  for (const child of participants) child.kill("SIGKILL");
  await cluster.dispose();
  rmSync(dir, { recursive: true, force: true });
});

/** A key-value participant in a process of its own; resolves when it is attached. */
async function attach(name: string): Promise<ChildProcess> {
  const args = [
    "participant",
    "kv",
    "--name",
    name,
    "--dir",
    join(dir, name),
    "--endpoints",
    cluster.endpoints,
    "--exit-with-parent",
    "-o",
    "ndjson",
  ];
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["pipe", "pipe", "inherit"], env: plainEnvironment() });
  participants.push(child);
  await new Promise<void>((resolve, reject) => {
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      if (said.includes('"attached":true')) resolve();
    });
    child.once("exit", (code) => reject(new Error(`participant ${name} ended with ${code} before it was attached`)));
  });
  return child;
}

const run = (...args: readonly string[]): Promise<CommandResult> => quorate([...args, "--endpoints", cluster.endpoints]);
const json = (...args: readonly string[]): Promise<unknown> => quorateJson([...args, "--endpoints", cluster.endpoints]);

interface Txn {
  readonly gid: string;
  readonly state: string;
  readonly decision: string | null;
  readonly reason: string | null;
  readonly detail: string | null;
  readonly decidedAt: string | null;
  readonly branches: readonly { readonly id: string; readonly vote: string | null; readonly done: boolean }[];
}

async function begin(): Promise<string> {
  return ((await json("txn", "begin")) as { gid: string }).gid;
}

const work = (delta: number, more = ""): string => `[{"op":"add","key":"account","delta":${delta}${more}}]`;

describe("a transaction by hand", () => {
  test("begins, takes branches, commits with the recorded list, and every verb prints the same shape", async () => {
    const gid = await begin();
    await json("txn", "enlist", gid, "-p", "bank-a", "--payload", work(-5));
    await json("txn", "enlist", gid, "-p", "bank-b", "--payload", work(5));
    const open = (await json("txn", "get", gid)) as Txn;
    expect(open).toMatchObject({ gid, state: "open", decision: null, decidedAt: null });
    expect(open.branches.map((branch) => branch.id)).toEqual(["bank-a", "bank-b"]);
    const committed = (await json("txn", "commit", gid)) as Txn;
    expect(committed).toMatchObject({ gid, decision: "commit", reason: null });
    expect(committed.decidedAt).toMatch(/^\d+:\d+$/);
    await expect.poll(async () => ((await json("txn", "get", gid)) as Txn).state, { timeout: PATIENCE_MS }).toBe("committed");
    // Once decided, always decided the same.
    expect(await json("txn", "commit", gid)).toMatchObject({ decision: "commit", decidedAt: committed.decidedAt });
    const abort = await run("txn", "abort", gid);
    expect(abort).toMatchObject({ code: 5 });
    expect(abort.stderr).toContain("[QUORATE_ALREADY_DECIDED] (outcome committed");
  });

  test("a vote of no aborts everything, and says whose and why", async () => {
    const gid = await begin();
    await json("txn", "enlist", gid, "-p", "bank-a", "--payload", work(1));
    await json("txn", "enlist", gid, "-p", "bank-b", "--payload", work(-1_000_000, ',"min":0'));
    const commit = await run("txn", "commit", gid, "-o", "json");
    expect(commit.code).toBe(5);
    expect(JSON.parse(commit.stdout)).toMatchObject({ decision: "abort", reason: "vote-no" });
    expect((JSON.parse(commit.stdout) as Txn).detail).toContain("bank-b");
  });

  test("an open transaction is listed, aborts when it is told to, and is left alone by the end of the command that opened it", async () => {
    const gid = await begin();
    const listed = (await json("txn", "ls", "--state", "open")) as Txn[];
    expect(listed.map((each) => each.gid)).toContain(gid);
    expect(await json("txn", "abort", gid)).toMatchObject({ gid, decision: "abort", reason: "client" });
    const lines = (await run("txn", "ls", "-o", "ndjson")).stdout.trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as Txn).gid)).toContain(gid);
  });

  test("a branch that waits for its participant is finished when the participant is back", async () => {
    const [, bankB] = participants as [ChildProcess, ChildProcess];
    const gid = await begin();
    await json("txn", "enlist", gid, "-p", "bank-a", "--payload", work(-1));
    await json("txn", "enlist", gid, "-p", "bank-b", "--payload", work(1));
    bankB.kill("SIGKILL");
    const committing = run("txn", "commit", gid, "--timeout-ms", "15000");
    await expect.poll(async () => ((await json("txn", "get", gid)) as Txn).state, { timeout: PATIENCE_MS }).toBe("preparing");
    await attach("bank-b");
    expect(await committing).toMatchObject({ code: 0 });
    await expect.poll(async () => ((await json("txn", "get", gid)) as Txn).state, { timeout: PATIENCE_MS }).toBe("committed");
  });
});

describe("bad input to a cluster", () => {
  const random = new Prng("unheard").uint32;
  const unheard = newGid(Date.now(), random);
  const ancient = newGid(1_000_000_000_000, random);
  let known: number;

  const transactions = async (): Promise<number> => ((await json("txn", "ls", "--limit", "1000")) as Txn[]).length;

  beforeAll(async () => {
    known = await transactions();
    // The first floor is a record like any other; from then on old gids are known to be old.
    while (((await json("txn", "get", ancient).catch(() => undefined)) as Txn | undefined)?.state !== "expired") await json("health");
  });

  const cases: readonly (readonly [string, readonly string[], number, RegExp])[] = [
    [
      "a gid with illegal characters",
      ["txn", "get", "q-'; drop table"],
      2,
      /gid has the character "'" at position 2.*\[QUORATE_INVALID_ARGUMENT\]/,
    ],
    [
      "a gid that is too long",
      ["txn", "commit", `q-${"a".repeat(60)}`],
      2,
      /gid is 62 characters long; the limit is 48.*\[QUORATE_INVALID_ARGUMENT\]/,
    ],
    ["an unknown gid to get", ["txn", "get", unheard], 5, /no record of q-.*\[QUORATE_UNKNOWN_TRANSACTION\]/],
    ["an unknown gid to commit", ["txn", "commit", unheard], 5, /\[QUORATE_UNKNOWN_TRANSACTION\]/],
    [
      "an unknown gid to enlist into",
      ["txn", "enlist", unheard, "-p", "bank-a", "--payload", work(1)],
      5,
      /\[QUORATE_UNKNOWN_TRANSACTION\] \(outcome unknown/,
    ],
    ["an unknown gid to retry", ["txn", "retry", unheard], 5, /\[QUORATE_UNKNOWN_TRANSACTION\]/],
    [
      "a gid from before the cluster's memory",
      ["txn", "commit", ancient],
      5,
      /below the cluster's floor.*\[QUORATE_EXPIRED\] \(outcome unknown/,
    ],
    ["a node that is no member", ["leader", "move", "77"], 2, /node 77 is not a member; members are 1, 2, 3/],
    ["a limit out of bounds", ["txn", "ls", "--limit", "0"], 2, /--limit is "0", but must be an integer from 1 to 1000/],
    ["a timeout that is no number", ["health", "--timeout-ms", "soon"], 2, /--timeout-ms is "soon"/],
    ["an unknown option", ["status", "--verbos"], 2, /Unknown argument: verbos/],
    ["an unknown output format", ["status", "-o", "xml"], 2, /xml/],
  ];

  // All at once: each is a process of its own that asks and ends.
  const results = new Map<string, CommandResult>();
  beforeAll(async () => {
    await Promise.all(cases.map(async ([name, args]) => results.set(name, await run(...args))));
  });

  test.each(cases)("%s", (name, _args, code, message) => {
    const result = results.get(name);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result?.stderr).toMatch(message);
  });

  test("an open transaction refuses what it cannot take, and takes what it can afterwards", async () => {
    const gid = await begin();
    const big = join(dir, "big");
    writeFileSync(big, Buffer.alloc(10 * 1024 * 1024));
    const refused: readonly (readonly [readonly string[], number, RegExp])[] = [
      [["commit", gid], 2, /branches is empty.*\[QUORATE_INVALID_ARGUMENT\]/],
      [
        ["enlist", gid, "-p", "nobody"],
        5,
        /"nobody", which has never attached; known participants: bank-a, bank-b \[QUORATE_UNKNOWN_PARTICIPANT\]/,
      ],
      [["enlist", gid, "-p", "Bank A"], 2, /participant "Bank A" must start with a-z.*\[QUORATE_INVALID_ARGUMENT\]/],
      [["enlist", gid, "-p", "bank-a", "--payload", "not json"], 2, /payload: .*JSON.*\[QUORATE_INVALID_ARGUMENT\]/],
      [
        ["enlist", gid, "-p", "bank-a", "--payload-file", big],
        5,
        /the payload is 10485760 bytes; the limit payloadBytesMax is 65536 \[QUORATE_TOO_LARGE\]/,
      ],
      [["enlist", gid, "-p", "bank-a", "--payload-file", join(dir, "missing")], 2, /cannot be read.*\[QUORATE_INVALID_ARGUMENT\]/],
      [["resolve", gid, "--branch", "bank-a", "--outcome", "committed", "--by", "me"], 5, /\[QUORATE_/],
    ];
    for (const [args, code, message] of refused) {
      const result = await run("txn", ...args);
      expect(result.stderr).toMatch(message);
      expect(result).toMatchObject({ code, stdout: "" });
    }
    await json("txn", "enlist", gid, "-p", "bank-a", "--payload", work(0));
    const other = await run("txn", "enlist", gid, "-p", "bank-a", "--payload", work(1));
    expect(other).toMatchObject({ code: 2 });
    expect(other.stderr).toMatch(/bank-a.*\[QUORATE_INVALID_ARGUMENT\]/);
    expect(await json("txn", "commit", gid)).toMatchObject({ decision: "commit" });
    const late = await run("txn", "enlist", gid, "-p", "bank-b", "--payload", work(1));
    expect(late).toMatchObject({ code: 5 });
    expect(late.stderr).toContain("(outcome committed");
  });

  test("leaves no phantom transaction, and every node alive", async () => {
    expect(await transactions()).toBe(known + 1);
    expect(cluster.exits).toEqual([]);
    expect((await run("health")).code).toBe(0);
  });
});

describe("bad input to no cluster", () => {
  test("an endpoint where nobody listens", async () => {
    const result = await quorate(["status", "--endpoints", "127.0.0.1:9", "--timeout-ms", "500"]);
    expect(result).toMatchObject({ code: 3, stdout: "" });
    expect(result.stderr).toMatch(/127\.0\.0\.1:9 refused the connection.*\[QUORATE_UNREACHABLE\]/);
  });

  test("an endpoint that is no address, and one that speaks something else", async () => {
    const malformed = await quorate(["status", "--endpoints", "http://127.0.0.1"]);
    expect(malformed).toMatchObject({ code: 2 });
    expect(malformed.stderr).toContain("must start with quorate://");
    const http = await quorate(["health", "--endpoints", cluster.node(1).adminAddress, "--timeout-ms", "700"]);
    expect(http).toMatchObject({ code: 3 });
    expect(http.stderr).toContain("QUORATE_UNREACHABLE");
  });

  test("without any endpoint the default is used, and said", async () => {
    const result = await quorate(["health", "--timeout-ms", "300", "-o", "json"]);
    expect(result.stderr).toContain("using 127.0.0.1:7400,127.0.0.1:7401,127.0.0.1:7402");
  });

  test("an error with -o json is one JSON line", async () => {
    const result = await quorate(["txn", "get", "nonsense", "--endpoints", cluster.endpoints, "-o", "json"]);
    expect(JSON.parse(result.stderr)).toMatchObject({
      error: { code: "QUORATE_INVALID_ARGUMENT", outcome: null, retry: "never", gid: null },
    });
  });

  test("no command and an unknown command are usage errors that name the help", async () => {
    expect(await quorate([])).toMatchObject({ code: 2 });
    const result = await quorate(["sttus"]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('Run "quorate --help"');
  });
});

describe("bad input to a node", () => {
  const start = (...args: readonly string[]): Promise<CommandResult> => quorate(["start", ...args]);

  test("an unknown key in the file is refused with its line and a guess, before anything is touched", async () => {
    const file = join(dir, "quorate.yaml");
    writeFileSync(file, "# node 1\nid: 1\npingIntervallMs: 50\n");
    const result = await start("--config", file);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toBe(`quorate: ${file}:3: unknown setting "pingIntervallMs"; did you mean pingIntervalMs? [QUORATE_CONFIG]\n`);
  });

  test("a value out of bounds names the key, the value, the bounds and its origin", async () => {
    const result = await quorate(["start"], { QUORATE_PING_INTERVAL_MS: "1" });
    expect(result.stderr).toContain("pingIntervalMs is 1, outside its bounds 5 to 10000 ms (QUORATE_PING_INTERVAL_MS) [QUORATE_CONFIG]");
  });

  test("two nodes on one folder: the second names the process that has it", async () => {
    const node = cluster.node(1);
    const result = await start("--id", "1", "--cluster-id", "test", "--data-dir", node.dataDir, "--members", cluster.processes.members);
    expect(result).toMatchObject({ code: 5 });
    expect(result.stderr).toContain(`is in use by process ${cluster.pid(1)}`);
    expect(result.stderr).toContain("[QUORATE_DATA_FOLDER]");
  });

  test("a second process with a node id that is in use never joins, and the first goes on", async () => {
    const [first] = cluster.processes.nodes;
    const child = spawn(
      process.execPath,
      [
        ...[
          PROGRAM,
          "start",
          "--id",
          "1",
          "--cluster-id",
          "test",
          "--data-dir",
          join(dir, "twin"),
          "--members",
          cluster.processes.members,
          "--exit-with-parent",
        ],
        ...["--peer-listen", "127.0.0.1:0", "--client-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
      ],
      { stdio: ["pipe", "pipe", "pipe"], env: plainEnvironment() },
    );
    let log = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (log += chunk));
    await expect.poll(() => log, { timeout: PATIENCE_MS }).toContain("node id n1 is in use by another live process");
    child.kill("SIGKILL");
    const status = (await json("status")) as { nodes: { id: number; reachable: boolean; pid: number }[] };
    expect(status.nodes.find((node) => node.id === 1)).toMatchObject({ reachable: true, pid: cluster.pid(first?.id ?? 0) });
    expect((await run("health")).code).toBe(0);
  });

  test("the folder of another cluster or node is refused, and left as it is", async () => {
    const stopped = cluster.node(3);
    await cluster.stop(3);
    const members = cluster.processes.members;
    const otherCluster = await start("--id", "3", "--cluster-id", "other", "--data-dir", stopped.dataDir, "--members", members);
    expect(otherCluster).toMatchObject({ code: 5 });
    expect(otherCluster.stderr).toContain('belongs to cluster "test", but this node is configured for cluster "other"');
    const otherNode = await start("--id", "2", "--cluster-id", "test", "--data-dir", stopped.dataDir, "--members", members);
    expect(otherNode.stderr).toContain("belongs to node n3, but this node is configured as n2");
    const otherMembers = await start(
      "--id",
      "3",
      "--cluster-id",
      "test",
      "--data-dir",
      stopped.dataDir,
      "--members",
      `${members},4=127.0.0.1:9/127.0.0.1:10`,
    );
    expect(otherMembers.stderr).toContain("members names nodes 1, 2, 3, 4, but the data folder");
    cluster.restart(3);
    await cluster.waitForLeader(cluster.ids);
  });

  test("a port that is taken names the setting", async () => {
    const { clientAddress } = cluster.node(1);
    const result = await start("--id", "1", "--data-dir", join(dir, "port"), "--bootstrap", "--members", `1=127.0.0.1:0/${clientAddress}`);
    expect(result).toMatchObject({ code: 2 });
    expect(result.stderr).toMatch(/address is in use.*\[QUORATE_CONFIG\]/);
  });
});
