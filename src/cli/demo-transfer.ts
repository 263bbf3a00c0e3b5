/**
 * The demo's set-up and tear-down: a cluster of its own unless one is named, two banks, one client; everything is gone at the end.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Pg from "pg";
import { formatNodeId, QuorateError, type NodeId } from "../base/index.js";
import { connect, type Quorate } from "../client/index.js";
import type { AttachedBank } from "../demo/bank.js";
import { InDoubtMeter } from "../demo/in-doubt-meter.js";
import { fundKvBanks, openKvBank } from "../demo/kv-bank.js";
import { openMysqlBank } from "../demo/mysql-bank.js";
import { openPostgresBank } from "../demo/postgres-bank.js";
import { reportRows } from "../demo/report.js";
import type { KillMode, Victims } from "../demo/kills.js";
import { betweenTwo } from "../demo/plan.js";
import { TransferRun, type Field, type TransferReport } from "../demo/transfer.js";
import { startMariadb, startPostgres } from "../testing/index.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "./command.js";
import { mixedField, tccField, type Cleanup } from "./demo-processes.js";
import type { ExitCode } from "./exit-codes.js";
import { atInterrupt } from "./interrupt.js";
import { LocalCluster } from "./local-cluster.js";
import { mysqlPool } from "./mysql-participant.js";
import { note, printResult } from "./output.js";
import { formatTable } from "./table.js";
import { findPortBlock } from "./ports.js";

const KINDS = ["kv", "postgres", "mysql", "tcc", "mixed"] as const;
type Kind = (typeof KINDS)[number];
const KILLS: readonly KillMode[] = ["leader", "none", "random", "participant", "database"];
const BANKS = ["bank-a", "bank-b"] as const;
const BALANCE = 1_000_000;
const READY_TIMEOUT_MS = 30_000;
const CONCURRENCY: Readonly<Record<Kind, number>> = { kv: 64, postgres: 16, mysql: 16, tcc: 16, mixed: 16 };

export const command: Command = {
  usage: "transfer",
  summary: "move money between banks; exit 0 only if none is lost",
  build: (yargs) =>
    yargs
      .option("kind", {
        choices: KINDS,
        default: "kv" as Kind,
        describe: "what the banks are made of; mixed: PostgreSQL, MariaDB and one that reserves (tcc)",
      })
      .option("kill", {
        choices: KILLS,
        default: "leader" as KillMode,
        describe:
          "whom kill -9 hits; leader and random only in a cluster of the demo's own, participant and database only with kinds tcc and mixed",
      })
      .option("transfers", { type: "number", default: 1000, describe: "how many transfers" })
      .option("seconds", { type: "number", describe: "run for this long instead; with --kill random one node is killed each second" })
      .option("concurrency", {
        type: "number",
        describe: `transfers in flight; default ${CONCURRENCY.kv} for kv, ${CONCURRENCY.postgres} for the databases`,
      })
      .option("nodes", { type: "string", choices: ["3", "5"], default: "3", describe: "coordinators of the demo's own cluster" })
      .option("timeout-ms", { type: "number", default: 10_000, describe: "a transaction's time to decide" })
      .option("endpoints", { type: "string", describe: "use this cluster and kill none of its nodes" })
      .option("data-dir", {
        type: "string",
        describe: "keep the nodes' data and logs here; default: a temporary folder, removed at the end",
      })
      .option("dsn", {
        type: "string",
        array: true,
        describe: "twice: two databases of that kind; default: two servers of the demo's own",
      }),
  run,
};

async function run(args: CommandArgs): Promise<ExitCode> {
  const kind = (KINDS.find((each) => each === args["kind"]) ?? "kv") satisfies Kind;
  const endpoints = text(args, "endpoints");
  const asked = KILLS.find((each) => each === args["kill"]) ?? "leader";
  const kill = endpoints !== undefined && (asked === "leader" || asked === "random") ? "none" : asked;
  refuseContradictions(kind, kill, args);
  const seconds = positive(args, "seconds");
  const options = {
    transfers: positive(args, "transfers") ?? 1000,
    seconds,
    concurrency: positive(args, "concurrency") ?? CONCURRENCY[kind],
    kill,
    timeoutMs: positive(args, "timeout-ms") ?? 10_000,
  };
  const cleanup: Cleanup = { steps: [] };
  try {
    const cluster =
      endpoints === undefined ? await startCluster(Number(text(args, "nodes") ?? "3"), text(args, "data-dir"), cleanup) : undefined;
    const reached = endpoints ?? cluster?.endpoints ?? "";
    const quorate = await connect(reached);
    cleanup.steps.push(() => quorate.close());
    const meter = new InDoubtMeter();
    const field = await openField(kind, quorate, reached, meter, options, args, cleanup);
    const report = await new TransferRun(quorate, field, meter, cluster === undefined ? undefined : victims(cluster), options).run();
    print(args, report);
    return report.ok ? EXIT.ok : EXIT.failed;
  } finally {
    await clean(cleanup);
  }
}

/** Throws QUORATE_INVALID_ARGUMENT. */
function refuseContradictions(kind: Kind, kill: KillMode, args: CommandArgs): void {
  const ofItsOwn = kind === "tcc" || kind === "mixed";
  if (!ofItsOwn && (kill === "participant" || kill === "database"))
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `--kill ${kill} needs --kind tcc or mixed: with --kind ${kind} the participants live in the demo's own process, ` +
        "which cannot be killed and judge; use --kill leader, random or none",
    );
  if (ofItsOwn && args["dsn"] !== undefined)
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--kind ${kind} starts database servers of its own; leave --dsn out`);
}

function print(args: CommandArgs, report: TransferReport): void {
  printResult(outputOf(args), { json: report, table: () => formatTable(["", "RESULT"], reportRows(report)) });
}

function positive(args: CommandArgs, name: string): number | undefined {
  const given = text(args, name);
  if (given === undefined) return undefined;
  const value = Number(given);
  if (!Number.isFinite(value) || value <= 0)
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--${name} must be a number above 0, got ${JSON.stringify(given)}`);
  return value;
}

// ---- the cluster

async function startCluster(nodes: number, keep: string | undefined, cleanup: Cleanup): Promise<LocalCluster> {
  const dir = keep ?? mkdtempSync(join(tmpdir(), "quorate-demo-"));
  const block = await findPortBlock(nodes);
  if (block.shift > 0) note(`Port ${block.taken} is in use: all ports are shifted by ${block.shift}.`);
  const cluster = new LocalCluster({ clusterId: `demo-${process.pid}`, dir, ports: block.ports, args: [] });
  process.once("exit", () => cluster.killAll());
  const forget = (): void => {
    if (keep === undefined) rmSync(dir, { recursive: true, force: true });
  };
  atInterrupt(() => {
    cluster.killAll();
    forget();
  });
  cleanup.steps.push(async () => {
    await cluster.stopAll(0);
    forget();
  });
  cluster.startAll();
  const { leader, epoch } = await cluster.ready(READY_TIMEOUT_MS);
  note(`Cluster of ${nodes} nodes on ${cluster.endpoints}, leader ${formatNodeId(leader)}, epoch ${epoch}.`);
  return cluster;
}

function victims(cluster: LocalCluster): Victims {
  return {
    ids: cluster.nodes.map((node) => node.id),
    alive: (id) => cluster.pid(id) !== undefined,
    kill9: async (id: NodeId) => {
      cluster.signal(id, "SIGKILL");
      note(`Killed ${formatNodeId(id)}.`);
      await cluster.exited(id);
    },
    restart: async (id: NodeId) => {
      cluster.start(id);
      await cluster.ready(READY_TIMEOUT_MS);
    },
  };
}

// ---- the banks

async function openField(
  kind: Kind,
  quorate: Quorate,
  endpoints: string,
  meter: InDoubtMeter,
  { concurrency, kill }: { readonly concurrency: number; readonly kill: KillMode },
  args: CommandArgs,
  cleanup: Cleanup,
): Promise<Field> {
  const processes = {
    endpoints,
    meter,
    concurrency,
    balance: BALANCE,
    kill: kill === "participant" || kill === "database" ? kill : undefined,
    cleanup,
  };
  switch (kind) {
    case "kv":
      return attached(await kvBanks(quorate, meter, concurrency, cleanup));
    case "postgres":
      return attached(await postgresBanks(quorate, meter, concurrency, args, cleanup));
    case "mysql":
      return attached(await mysqlBanks(quorate, meter, concurrency, args, cleanup));
    case "tcc":
      return tccField(processes);
    case "mixed":
      return mixedField(processes);
  }
}

function attached(banks: readonly [AttachedBank, AttachedBank]): Field {
  return { banks, plan: betweenTwo(banks), targets: [] };
}

async function kvBanks(
  quorate: Quorate,
  meter: InDoubtMeter,
  accounts: number,
  cleanup: Cleanup,
): Promise<readonly [AttachedBank, AttachedBank]> {
  const banks = [await openKvBank(BANKS[0], meter), await openKvBank(BANKS[1], meter)] as const;
  for (const bank of banks) {
    cleanup.steps.push(() => bank.close());
    atInterrupt(() => bank.discard());
  }
  await quorate.attach(...banks.map((bank) => bank.participant));
  await fundKvBanks(quorate, banks, accounts, BALANCE);
  return banks;
}

async function postgresBanks(
  quorate: Quorate,
  meter: InDoubtMeter,
  accounts: number,
  args: CommandArgs,
  cleanup: Cleanup,
): Promise<readonly [AttachedBank, AttachedBank]> {
  const given = givenDsns(args);
  const pg = await loadPg();
  const dsns = given ?? (await ownServers(accounts, cleanup));
  const pools = dsns.map((connectionString) => new pg.Pool({ connectionString, max: accounts + 4 }));
  for (const pool of pools) {
    // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
    pool.on("error", () => undefined);
    cleanup.steps.push(() => pool.end());
  }
  const open = (i: 0 | 1): Promise<AttachedBank> =>
    openPostgresBank(BANKS[i], pools[i] as InstanceType<typeof pg.Pool>, meter, { accounts, balance: BALANCE });
  const banks = [await open(0), await open(1)] as const;
  await quorate.attach(...banks.map((bank) => bank.participant));
  return banks;
}

async function mysqlBanks(
  quorate: Quorate,
  meter: InDoubtMeter,
  accounts: number,
  args: CommandArgs,
  cleanup: Cleanup,
): Promise<readonly [AttachedBank, AttachedBank]> {
  const dsns = givenDsns(args) ?? (await ownMariadbServers(accounts, cleanup));
  const open = async (i: 0 | 1): Promise<AttachedBank> => {
    const pool = await mysqlPool(dsns[i] ?? "", accounts + 4);
    cleanup.steps.push(() => pool.end());
    return openMysqlBank(BANKS[i], pool, meter, { accounts, balance: BALANCE });
  };
  const banks = [await open(0), await open(1)] as const;
  await quorate.attach(...banks.map((bank) => bank.participant));
  return banks;
}

/** Two different databases, if any were named. Throws QUORATE_INVALID_ARGUMENT. */
function givenDsns(args: CommandArgs): readonly string[] | undefined {
  const given = Array.isArray(args["dsn"]) ? args["dsn"].map(String) : undefined;
  if (given !== undefined && given.length !== 2)
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--dsn must be given twice, once for each bank; got ${given.length}`);
  if (given !== undefined && given[0] === given[1])
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", "--dsn names the same database twice; the banks need one each");
  return given;
}

async function ownMariadbServers(concurrency: number, cleanup: Cleanup): Promise<readonly string[]> {
  // A prepared branch's connection is closed while the next one is opened: twice as many for a moment.
  const servers = await Promise.all(BANKS.map(() => startMariadb({ maxConnections: 2 * concurrency + 32 })));
  for (const server of servers) {
    cleanup.steps.push(() => server.stop());
    atInterrupt(() => server.stopSync());
  }
  note(`Two MariaDB servers on ports ${servers.map((server) => server.port).join(" and ")}.`);
  return servers.map((server) => server.dsn);
}

async function ownServers(concurrency: number, cleanup: Cleanup): Promise<readonly string[]> {
  const options = { maxPreparedTransactions: 4 * concurrency + 64, maxConnections: concurrency + 32 };
  const servers = await Promise.all(BANKS.map(() => startPostgres(options)));
  for (const server of servers) {
    cleanup.steps.push(() => server.stop());
    atInterrupt(() => server.stopSync());
  }
  note(`Two PostgreSQL servers on ports ${servers.map((server) => server.port).join(" and ")}.`);
  return servers.map((server) => server.dsn);
}

/** The driver is the user's own; the command line needs it only for this kind. */
async function loadPg(): Promise<typeof Pg> {
  try {
    const module = await import("pg");
    return module.default;
  } catch (error) {
    throw new QuorateError("QUORATE_PARTICIPANT_SETUP", "the package pg is not installed; run: npm install pg", { cause: error });
  }
}

async function clean(cleanup: Cleanup): Promise<void> {
  for (let step = cleanup.steps.pop(); step !== undefined; step = cleanup.steps.pop()) {
    try {
      await step();
    } catch (error) {
      note(`While cleaning up: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
