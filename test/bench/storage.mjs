/**
 * The log's append rate against the disk's own floor, and the state store's checkpoint and load, from dist:
 * `npm run build && node test/bench/storage.mjs`. One JSON line per measurement; BENCH_SECONDS sets the length of each.
 *
 * `floor` writes the same bytes into a preallocated file with one write and one fdatasync per batch, nothing else. `batch` is the number
 * of 256-byte records submitted together; the next batch is submitted when the one before it is durable, so one sync per batch.
 */
import { closeSync, fdatasync, mkdtempSync, openSync, rmSync, write, writeSync, fdatasyncSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeId, ZXID_ZERO } from "../../dist/src/base/index.js";
import { openStorage } from "../../dist/src/storage/index.js";

const seconds = Number(process.env["BENCH_SECONDS"] ?? 2);
const PAYLOAD = Buffer.alloc(256, 0x61);
const configuration = { current: { version: ZXID_ZERO, members: [] }, next: undefined };

function report(name, fields, operations, startedMs, cpu, latencies) {
  const elapsed = (performance.now() - startedMs) / 1000;
  const used = process.cpuUsage(cpu);
  const sorted = latencies.sort((a, b) => a - b);
  const at = (share) => Number((sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(3));
  console.log(
    JSON.stringify({
      bench: name,
      ...fields,
      operationsPerSecond: Math.round(operations / elapsed),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      cpuMicrosPerOperation: Number(((used.user + used.system) / operations).toFixed(2)),
    }),
  );
}

async function open(dir, callbacks) {
  const ignore = () => undefined;
  return openStorage({
    dir,
    clusterId: "bench",
    nodeId: nodeId(1),
    configuration,
    bootstrap: true,
    fetchSnapshot: () => [],
    onPersisted: ignore,
    onCheckpointed: ignore,
    onInstalled: ignore,
    onDamaged: ignore,
    onFatal: (error) => {
      throw error;
    },
    ...callbacks,
  });
}

function floor(batch) {
  const dir = mkdtempSync(join(tmpdir(), "quorate-bench-floor-"));
  const fd = openSync(join(dir, "file"), "w+");
  const size = 64 * 1024 * 1024;
  for (let at = 0; at < size; at += 1 << 20) writeSync(fd, Buffer.alloc(1 << 20), 0, 1 << 20, at);
  fdatasyncSync(fd);
  const bytes = Buffer.alloc(batch * 312, 0x61);
  return new Promise((resolve, reject) => {
    const latencies = [];
    let at = 0;
    let operations = 0;
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    const next = () => {
      const now = performance.now();
      if (now - startedMs > seconds * 1000) {
        report("floor", { batch }, operations, startedMs, cpu, latencies);
        closeSync(fd);
        rmSync(dir, { recursive: true });
        return resolve();
      }
      if (at + bytes.length > size) at = 0;
      write(fd, bytes, 0, bytes.length, at, (writeError) => {
        if (writeError !== null) return reject(writeError);
        fdatasync(fd, (syncError) => {
          if (syncError !== null) return reject(syncError);
          at += bytes.length;
          operations += batch;
          latencies.push(performance.now() - now);
          next();
        });
      });
    };
    next();
  });
}

async function log(batch) {
  const dir = mkdtempSync(join(tmpdir(), "quorate-bench-log-"));
  let persisted = () => undefined;
  const storage = await open(dir, { onPersisted: (seq) => persisted(seq) });
  await new Promise((resolve) => {
    const latencies = [];
    let counter = 0;
    let seq = 0;
    let compacted = 0;
    let sentMs = 0;
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    const at = (n) => (n === 0 ? ZXID_ZERO : { epoch: 1, counter: n });
    const next = () => {
      sentMs = performance.now();
      if (sentMs - startedMs > seconds * 1000) {
        report("log", { batch }, counter, startedMs, cpu, latencies);
        return resolve();
      }
      const entries = [];
      for (let i = 1; i <= batch; i++) entries.push({ zxid: { epoch: 1, counter: counter + i }, payload: PAYLOAD });
      const requests = [{ seq: ++seq, op: { kind: "append", previous: at(counter), entries } }];
      counter += batch;
      if (counter - compacted > 200_000) {
        // Segments are freed as they would be in a running node, or the disk's free space would be measured.
        compacted = counter - 100_000;
        requests.push({ seq: ++seq, op: { kind: "compact", upTo: at(compacted) } });
      }
      storage.log.submit(requests);
    };
    persisted = (done) => {
      if (done < seq) return;
      latencies.push(performance.now() - sentMs);
      next();
    };
    next();
  });
  const { log: metrics } = storage.metrics();
  await storage.close();
  console.log(
    JSON.stringify({
      bench: "log-sync",
      batch,
      syncs: metrics.batches,
      p50Ms: metrics.syncLatency.p50Ms,
      p99Ms: metrics.syncLatency.p99Ms,
    }),
  );
  rmSync(dir, { recursive: true });
}

/** Largest gap between two turns of the event loop while `work` runs. */
async function withLag(work) {
  let worst = 0;
  let last = performance.now();
  let running = true;
  const turn = () => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  running = false;
  return Number(worst.toFixed(1));
}

async function state(keys) {
  const dir = mkdtempSync(join(tmpdir(), "quorate-bench-state-"));
  let finished = () => undefined;
  const storage = await open(dir, { onCheckpointed: () => finished() });
  const value = Buffer.alloc(100, 0x62);
  function* writes() {
    for (let i = 0; i < keys; i++) yield { key: `q-${i.toString(16).padStart(32, "0")}`, value };
  }
  await new Promise((resolve) => {
    storage.log.submit([
      { seq: 1, op: { kind: "append", previous: ZXID_ZERO, entries: [{ zxid: { epoch: 1, counter: 1 }, payload: PAYLOAD }] } },
    ]);
    setTimeout(resolve, 200);
  });
  let startedMs = performance.now();
  const checkpointLagMs = await withLag(
    () =>
      new Promise((resolve) => {
        finished = resolve;
        storage.state.checkpoint({ epoch: 1, counter: 1 }, writes());
      }),
  );
  const checkpointMs = Math.round(performance.now() - startedMs);
  const { lastCheckpointSlices } = storage.metrics().state;
  await storage.close();
  startedMs = performance.now();
  let again;
  const loadLagMs = await withLag(async () => {
    again = await open(dir, {});
  });
  const loadMs = Math.round(performance.now() - startedMs);
  let count = 0;
  for (const _ of again.recovered.state) count++;
  console.log(
    JSON.stringify({
      bench: "state",
      keys: count,
      checkpointMs,
      lastCheckpointSlices,
      checkpointLagMs,
      loadMs,
      loadLagMs,
      rssMiB: Math.round(process.memoryUsage().rss / 1048576),
    }),
  );
  await again.close();
  rmSync(dir, { recursive: true });
}

for (const batch of [1, 100, 1000]) {
  await floor(batch);
  await log(batch);
}
await state(100_000);
await state(1_000_000);
