/**
 * Prepare plus commit on one embedded key-value participant, from dist: `npm run build && node test/bench/kv.mjs`.
 *
 * Each operation is one branch that adds to an account: prepared durably, then committed durably, `outstanding` at a time, on
 * different accounts, so what is measured is the store and not lock waits. One JSON line per level of concurrency.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newGid, Prng } from "../../dist/src/base/index.js";
import { kv, kvPayload } from "../../dist/src/participant/kv/index.js";

const seconds = Number(process.env["BENCH_SECONDS"] ?? 3);
const random = new Prng("bench").uint32;

async function measure(outstanding) {
  const dir = mkdtempSync(join(tmpdir(), "quorate-bench-kv-"));
  const bank = kv({ name: "bank", dir });
  try {
    await bank.start("bench");
    const payloads = Array.from({ length: outstanding }, (_, i) => kvPayload([{ op: "add", key: `account-${i}`, delta: 1, min: 0 }]));
    const latencies = [];
    let operations = 0;
    const cpu = process.cpuUsage();
    const start = performance.now();
    const end = start + seconds * 1000;
    const worker = async (payload) => {
      for (let now = performance.now(); now < end;) {
        const gid = newGid(Date.now(), random);
        const { vote, detail } = await bank.prepare({ gid, branch: "b", payload, epoch: 1 });
        if (vote !== "yes") throw new Error(`voted ${vote}: ${detail}`);
        const settled = await bank.commit({ gid, branch: "b" });
        if (settled.kind !== "done") throw new Error(`commit: ${JSON.stringify(settled)}`);
        operations++;
        const done = performance.now();
        latencies.push(done - now);
        now = done;
      }
    };
    await Promise.all(payloads.map(worker));
    const tookMs = performance.now() - start;
    const used = process.cpuUsage(cpu);
    let sum = 0;
    for await (const { value } of bank.scan()) sum += value;
    if (sum !== operations) throw new Error(`${operations} additions of 1 were acknowledged, the sum is ${sum}`);
    latencies.sort((a, b) => a - b);
    const at = (q) => Number((latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0).toFixed(2));
    return {
      bench: "kv-prepare-commit",
      outstanding,
      perSecond: Math.round((operations * 1000) / tookMs),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      cpuUsPerOperation: Number(((used.user + used.system) / operations).toFixed(1)),
      groups: bank.stats().groups,
    };
  } finally {
    await bank.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

for (const outstanding of [1, 128, 1024]) console.log(JSON.stringify(await measure(outstanding)));
