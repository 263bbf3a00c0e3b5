/**
 * A process that loads a peer system: a fixed number of writes is always outstanding, the next is issued when one is answered.
 *
 * Told by its parent when to start, measure and stop, so that several of them measure the same time. Every latency is kept and handed back.
 */
import { randomBytes } from "node:crypto";
import { EtcdWriter } from "./etcd.mjs";
import { ZooKeeperWriter } from "./zookeeper.mjs";

const WRITERS = { etcd: EtcdWriter, zookeeper: ZooKeeperWriter };
/** A refusal is answered at once: without a pause the driver would only count refusals. */
const AFTER_ERROR_MS = 10;

const job = JSON.parse(process.argv[2] ?? "{}");
const Writer = WRITERS[job.system];
const load = { kind: job.kind, prefix: `${job.tag}-${job.number}`, value: randomBytes(job.valueBytes) };

let next = 0;
let measuring = false;
let beganMs = 0;
let lastMs = 0;
let silenceMs = 0;
let ops = 0;
let latencies = new Float64Array(1 << 16);
const errors = {};
let stopping = false;

function openWriter(endpoint) {
  return new Promise((resolve, reject) => {
    const writer = new Writer(endpoint, load, {
      onUp: () => resolve(writer),
      onDown(reason) {
        reject(new Error(reason));
        if (stopping) return;
        console.error(`driver: a connection to ${job.system} was lost: ${reason}`);
        process.exit(1);
      },
    });
  });
}

function record(now, tookMs) {
  if (ops === latencies.length) {
    const grown = new Float64Array(latencies.length * 2);
    grown.set(latencies);
    latencies = grown;
  }
  latencies[ops++] = tookMs;
  silenceMs = Math.max(silenceMs, now - lastMs);
  lastMs = now;
}

/** One outstanding write at a time, for ever. Nothing is made per write but its bytes. */
function openSlot(writer) {
  let startedMs = 0;
  const issue = () => {
    if (stopping || next >= job.count) return;
    startedMs = performance.now();
    writer.write(next++, callback);
  };
  const callback = writer.callback((error) => {
    if (error === undefined) {
      if (measuring) {
        const now = performance.now();
        record(now, now - startedMs);
        if (ops >= job.count) return report();
      }
      return issue();
    }
    if (measuring) errors[error] = (errors[error] ?? 0) + 1;
    return setTimeout(issue, AFTER_ERROR_MS);
  });
  return issue;
}

function report() {
  if (!measuring) return;
  measuring = false;
  stopping = true;
  const seconds = (performance.now() - beganMs) / 1000;
  process.send({ kind: "result", ops, seconds, latencies: latencies.slice(0, ops), errors, silenceMs });
}

const COMMANDS = {
  start() {
    for (const issue of slots) issue();
  },
  measure() {
    beganMs = lastMs = performance.now();
    measuring = true;
  },
  stop: report,
};

// Infinity does not travel as JSON: no count is no limit.
job.count ??= Infinity;
if (job.prepares) await Writer.prepare(job.endpoints[0], load);
const writers = await Promise.all(
  Array.from({ length: Math.min(job.connections, job.outstanding) }, (_, i) => openWriter(job.endpoints[i % job.endpoints.length])),
);
const slots = Array.from({ length: job.outstanding }, (_, i) => openSlot(writers[i % writers.length]));
process.on("message", (command) => COMMANDS[command]());
process.once("disconnect", () => process.exit(0));
process.send({ kind: "ready" });
