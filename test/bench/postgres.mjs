/**
 * What the adapter costs: brought branches on one PostgreSQL, against the same SQL with PREPARE TRANSACTION and COMMIT PREPARED
 * driven by hand on the same pool. From dist: `npm run build && node test/bench/postgres.mjs`. The two take turns in short slices,
 * because the machine is shared; the CPU per operation (this process and the server's, from /proc) is steadier than the rate.
 */
import { readdirSync, readFileSync } from "node:fs";
import pg from "pg";
import { newGid, Prng } from "../../dist/src/base/index.js";
import { postgres } from "../../dist/src/participant/postgres/index.js";
import { startPostgres } from "../../dist/src/testing/index.js";

const connections = 16;
const seconds = Number(process.env["BENCH_SECONDS"] ?? 10);
const sliceMs = 250;
const random = new Prng("bench").uint32;
const sql = "update account set n = n + 1 where id = $1";

const server = await startPostgres();
const pool = new pg.Pool({ connectionString: server.dsn, max: connections + 4 });
try {
  await pool.query("create table account as select id, 0 as n from generate_series(0, 15) as id");
  await pool.query("alter table account add primary key (id)");
  const bank = postgres({ name: "bank", pool });
  await bank.start("bench");

  let n = 0;
  const byHand = async (id) => {
    const client = await pool.connect();
    const xid = `hand-${++n}`;
    try {
      await client.query("begin");
      await client.query(sql, [id]);
      await client.query(`prepare transaction '${xid}'`);
    } finally {
      client.release();
    }
    await pool.query(`commit prepared '${xid}'`);
  };
  const byAdapter = async (id) => {
    const ref = { gid: newGid(Date.now(), random), branch: "b" };
    const branch = await bank.begin(ref);
    await branch.handle.query(sql, [id]);
    const { vote, detail } = await branch.prepare();
    if (vote !== "yes") throw new Error(`voted ${vote}: ${detail}`);
    const settled = await bank.commit(ref);
    if (settled.kind !== "done") throw new Error(JSON.stringify(settled));
  };
  const slice = async (one, total) => {
    const cpu = cpuUs();
    const start = performance.now();
    await Promise.all(
      Array.from({ length: connections }, async (_, id) => {
        while (performance.now() < start + sliceMs) {
          await one(id);
          total.operations++;
        }
      }),
    );
    total.ms += performance.now() - start;
    total.cpuUs += cpuUs() - cpu;
  };
  const hand = { operations: 0, ms: 0, cpuUs: 0 };
  const adapter = { operations: 0, ms: 0, cpuUs: 0 };
  while (hand.ms + adapter.ms < seconds * 1000) {
    await slice(byHand, hand);
    await slice(byAdapter, adapter);
  }
  const figures = ({ operations, ms, cpuUs }) => ({
    perSecond: Math.round((operations * 1000) / ms),
    cpuUs: Math.round(cpuUs / operations),
  });
  const ratio = (adapter.operations / adapter.ms) * (hand.ms / hand.operations);
  console.log(
    JSON.stringify({
      bench: "postgres-brought",
      connections,
      byHand: figures(hand),
      adapter: figures(adapter),
      ratio: Number(ratio.toFixed(3)),
    }),
  );
} finally {
  await pool.end();
  await server.stop();
}

/** Of this process and of the server's processes, where /proc tells. */
function cpuUs() {
  const { user, system } = process.cpuUsage();
  let ticks = 0;
  for (const entry of process.platform === "linux" ? readdirSync("/proc") : []) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(entry) === server.pid || Number(fields[1]) === server.pid) ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It ended while we looked.
    }
  }
  return user + system + ticks * 10_000;
}
