/**
 * One run of one point: a fresh cluster, driven by processes of their own, everybody's CPU time accounted.
 */
import { fileURLToPath } from "node:url";
import { EtcdCluster } from "./etcd.mjs";
import { isUndisturbed, usageOf, watchMachine } from "./machine.mjs";
import { sleep } from "./workshop.mjs";
import { ZooKeeperCluster } from "./zookeeper.mjs";

export const CLUSTERS = { etcd: EtcdCluster, zookeeper: ZooKeeperCluster };
export const OPERATIONS = {
  etcd: { write: "put", txn: "create-if-absent txn" },
  zookeeper: { write: "setData", txn: "create" },
  quorate: { write: "write", txn: "2PC txn, 2 kv" },
};
const DRIVER = fileURLToPath(new URL("driver.mjs", import.meta.url));
const COMPILER_WARMUP_OUTSTANDING = 256;
const RESULT_PATIENCE_MS = 30_000;
let clusters = 0;

/** Starts a cluster of this system in a folder of its own. */
export async function openCluster(system, context) {
  const dir = context.workshop.folder(`${system}-${++clusters}`);
  const cluster = await CLUSTERS[system].create(context.workshop, dir, context.packages);
  await cluster.start();
  return cluster;
}

/** Returns the JSON line of the run. */
export async function measurePeer(system, kind, outstanding, context) {
  const { options } = context;
  const cluster = await openCluster(system, context);
  try {
    const job = { system, kind, valueBytes: options.valueBytes };
    if (system === "zookeeper" && options.compilerWarmup > 0) {
      const warm = await openDrivers(cluster, { ...job, outstanding: COMPILER_WARMUP_OUTSTANDING, tag: "warm", prepares: true }, context);
      warm.tell("start");
      await sleep(options.compilerWarmup * 1000);
      await warm.stop();
    }
    const drivers = await openDrivers(cluster, { ...job, outstanding, tag: "run", prepares: true }, context);
    drivers.tell("start");
    await sleep(options.warmup * 1000);
    const machine = watchMachine();
    const cpu = countCpu(cluster.pids, drivers.pids);
    drivers.tell("measure");
    await sleep(options.seconds * 1000);
    const used = cpu();
    const around = machine();
    const results = await drivers.results("stop");
    const rssMiB = cluster.rssMiB();
    await drivers.stop();
    return line({ system, kind, outstanding, options }, results, used, around, rssMiB);
  } finally {
    await cluster.stop();
  }
}

function line({ system, kind, outstanding, options }, results, used, around, rssMiB) {
  const latencies = Float64Array.from(results.flatMap((each) => [...each.latencies])).sort();
  const at = (q) => round(latencies.length === 0 ? 0 : latencies[Math.max(0, Math.ceil(q * latencies.length) - 1)], 3);
  const opsPerSec = results.reduce((sum, { ops, seconds }) => sum + ops / seconds, 0);
  const errors = {};
  for (const result of results) for (const [what, count] of Object.entries(result.errors)) errors[what] = (errors[what] ?? 0) + count;
  return {
    system,
    op: OPERATIONS[system][kind],
    kind,
    outstanding,
    valueBytes: options.valueBytes,
    ops: latencies.length,
    seconds: round(Math.max(...results.map(({ seconds }) => seconds)), 3),
    opsPerSec: round(opsPerSec, 1),
    opsPerCoreSec: round(opsPerSec / used.total, 1),
    p50ms: at(0.5),
    p99ms: at(0.99),
    p999ms: at(0.999),
    maxMs: at(1),
    longestSilenceMs: round(Math.max(...results.map(({ silenceMs }) => silenceMs)), 1),
    errors,
    cpu: used,
    rssMiB,
    machine: around,
    undisturbed: isUndisturbed(around),
  };
}

function countCpu(servers, drivers) {
  const read = (pids) => pids.map((pid) => usageOf(pid)?.cpuSeconds ?? 0);
  const before = { atMs: performance.now(), servers: read(servers), drivers: read(drivers) };
  return () => {
    const seconds = (performance.now() - before.atMs) / 1000;
    const cores = (pids, since) => read(pids).map((now, i) => round((now - since[i]) / seconds, 3));
    const used = { servers: cores(servers, before.servers), drivers: cores(drivers, before.drivers) };
    const total = [...used.servers, ...used.drivers].reduce((sum, each) => sum + each, 0);
    return { ...used, total: round(total, 3) };
  };
}

/** Starts the drivers of a run: the outstanding requests are shared among them. Resolves when all are connected. */
export async function openDrivers(cluster, job, { workshop, options }) {
  const leader = await cluster.leader();
  if (leader < 0) throw new Error(`${job.system} lost its leader before the run began`);
  // etcd's clients do best at the leader; ZooKeeper's sessions are spread over the nodes, the first at the leader.
  const rotated = cluster.endpoints.map((_, i) => cluster.endpoints[(leader + i) % cluster.endpoints.length]);
  const endpoints = job.system === "etcd" ? [rotated[0]] : rotated;
  const connections = job.system === "etcd" ? options.etcdConnections : options.zookeeperSessions;
  const count = Math.min(options.drivers, job.outstanding);
  const children = [];
  for (let number = 0; number < count; number++) {
    const outstanding = Math.floor(job.outstanding / count) + (number < job.outstanding % count ? 1 : 0);
    const own = { ...job, number, outstanding, connections, endpoints, prepares: job.prepares && number === 0 };
    const child = workshop.driver(DRIVER, [JSON.stringify(own)]);
    children.push(child);
    await answer(child, "ready");
  }
  return {
    pids: children.map(({ pid }) => pid),
    tell: (command) => children.forEach((child) => child.send(command)),
    results(command) {
      const all = Promise.all(children.map((child) => answer(child, "result", command === "stop" ? RESULT_PATIENCE_MS : undefined)));
      if (command !== undefined) this.tell(command);
      return all;
    },
    stop: () => Promise.all(children.map((child) => workshop.stop(child, "SIGKILL"))),
  };
}

function answer(child, kind, timeoutMs) {
  return new Promise((resolve, reject) => {
    const finish = (settle, value) => {
      clearTimeout(timer);
      child.removeListener("message", onMessage);
      child.removeListener("exit", onExit);
      settle(value);
    };
    const onMessage = (message) => message.kind === kind && finish(resolve, message);
    const onExit = (status) => finish(reject, new Error(`a driver ended with status ${status}`));
    const timer = timeoutMs && setTimeout(() => finish(reject, new Error(`a driver gave no ${kind} in ${timeoutMs} ms`)), timeoutMs);
    child.on("message", onMessage);
    child.once("exit", onExit);
  });
}

export function round(value, digits) {
  return Number(value.toFixed(digits));
}
