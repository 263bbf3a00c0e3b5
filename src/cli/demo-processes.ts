/**
 * The demo's kinds whose banks are processes of their own: their database servers, their tables, their processes.
 */
import { openAskedMysqlBank, openAskedPostgresBank } from "../demo/asked-banks.js";
import type { InDoubtMeter } from "../demo/in-doubt-meter.js";
import type { Target } from "../demo/kills.js";
import { withFee, withRefusals } from "../demo/plan.js";
import { openTccBank } from "../demo/tcc-bank.js";
import type { Field } from "../demo/transfer.js";
import { startMariadb, startPostgres, type MariadbServer, type PostgresServer } from "../testing/index.js";
import { BankProcess } from "./bank-process.js";
import type { BankKind } from "./demo-bank.js";
import { atInterrupt } from "./interrupt.js";
import { openMysqlPool } from "./mysql-participant.js";
import { note } from "./output.js";
import { openPostgresPool } from "./postgres-participant.js";

export interface Cleanup {
  /** Run last first. */
  readonly steps: (() => Promise<void> | void)[];
}

export interface ProcessesOptions {
  readonly endpoints: string;
  readonly meter: InDoubtMeter;
  readonly concurrency: number;
  readonly balance: number;
  /** Which of them are killed. */
  readonly kill: "participant" | "database" | undefined;
  readonly cleanup: Cleanup;
}

/** More than an account ever holds. */
const UNAFFORDABLE_FACTOR = 1000;
/** Of every call; enough for hundreds of repetitions in a thousand transfers. */
const REPEAT = "0.1";
const LOSE = "0.05";
const READER_CONNECTIONS = 4;

/** Two banks that reserve: two schemas of one PostgreSQL, two processes. */
export async function tccField(options: ProcessesOptions): Promise<Field> {
  const { concurrency, balance, cleanup } = options;
  const server = await ownPostgres(options);
  const pool = await openPostgresPool(server.dsn, READER_CONNECTIONS);
  cleanup.steps.push(() => pool.end());
  const names = ["bank-a", "bank-b"] as const;
  const schemaOf = (name: string): string => name.replace("-", "_");
  const open = (name: string): ReturnType<typeof openTccBank> =>
    openTccBank(name, pool, schemaOf(name), { accounts: concurrency, balance });
  const banks = [await open(names[0]), await open(names[1])] as const;
  const processes = names.map((name) => bankProcess(options, "tcc", name, server.dsn, schemaOf(name)));
  await startAll(processes);
  return {
    banks,
    plan: withRefusals(banks, balance * UNAFFORDABLE_FACTOR),
    targets: targetsOf(options, processes, [asTarget("PostgreSQL", server)]),
  };
}

/** A bank in PostgreSQL and one in MariaDB, asked, and one that reserves and takes a fee of each transfer: three processes. */
export async function mixedField(options: ProcessesOptions): Promise<Field> {
  const { concurrency, balance, cleanup } = options;
  const [postgres, mariadb] = [await ownPostgres(options), await ownMariadb(options)];
  const pgPool = await openPostgresPool(postgres.dsn, READER_CONNECTIONS);
  cleanup.steps.push(() => pgPool.end());
  const mysqlPool = await openMysqlPool(mariadb.dsn, READER_CONNECTIONS);
  cleanup.steps.push(() => mysqlPool.end());
  const accounts = { accounts: concurrency, balance };
  const banks = [
    await openAskedPostgresBank("bank-pg", pgPool, accounts),
    await openAskedMysqlBank("bank-mdb", mysqlPool, accounts),
  ] as const;
  const fees = await openTccBank("bank-fees", pgPool, "bank_fees", accounts);
  const processes = [
    bankProcess(options, "postgres", "bank-pg", postgres.dsn),
    bankProcess(options, "mysql", "bank-mdb", mariadb.dsn),
    bankProcess(options, "tcc", "bank-fees", postgres.dsn, "bank_fees"),
  ];
  await startAll(processes);
  const servers = [asTarget("PostgreSQL", postgres), asTarget("MariaDB", mariadb)];
  return {
    banks: [...banks, fees],
    plan: withFee(banks, fees, balance * UNAFFORDABLE_FACTOR),
    targets: targetsOf(options, processes, servers),
  };
}

function targetsOf({ kill }: ProcessesOptions, processes: readonly Target[], servers: readonly Target[]): readonly Target[] {
  return kill === "participant" ? processes : kill === "database" ? servers : [];
}

async function ownPostgres({ concurrency, cleanup }: ProcessesOptions): Promise<PostgresServer> {
  const server = await startPostgres({ maxPreparedTransactions: 4 * concurrency + 64, maxConnections: 2 * connections(concurrency) + 32 });
  cleanup.steps.push(() => server.stop());
  atInterrupt(() => server.stopSync());
  note(`A PostgreSQL server on port ${server.port}.`);
  return server;
}

async function ownMariadb({ concurrency, cleanup }: ProcessesOptions): Promise<MariadbServer> {
  // A prepared branch's connection is closed while the next one is opened: twice as many for a moment.
  const server = await startMariadb({ maxConnections: 2 * connections(concurrency) + 32 });
  cleanup.steps.push(() => server.stop());
  atInterrupt(() => server.stopSync());
  note(`A MariaDB server on port ${server.port}.`);
  return server;
}

/** For each branch under way one, and one for what is noted of it, also when a call comes twice at once. */
function connections(concurrency: number): number {
  return 3 * concurrency + 8;
}

function bankProcess(options: ProcessesOptions, kind: BankKind, name: string, dsn: string, schema?: string): BankProcess {
  const args = ["--kind", kind, "--dsn", dsn, "--endpoints", options.endpoints, "--connections", String(connections(options.concurrency))];
  args.push("--repeat", REPEAT, "--lose", LOSE, ...(schema === undefined ? [] : ["--schema", schema]));
  const bank = new BankProcess(name, args, options.meter);
  options.cleanup.steps.push(() => bank.stop());
  atInterrupt(() => bank.killNow());
  process.once("exit", () => bank.killNow());
  return bank;
}

async function startAll(banks: readonly BankProcess[]): Promise<void> {
  await Promise.all(banks.map((bank) => bank.start()));
  note(`Processes of their own for ${banks.map(({ name }) => name).join(", ")}; calls are repeated and answers lost on purpose.`);
}

function asTarget(name: string, server: Pick<PostgresServer, "kill9" | "restart">): Target {
  return {
    name,
    kill9: async () => {
      await server.kill9();
      note(`Killed ${name}.`);
    },
    restart: () => server.restart(),
  };
}
