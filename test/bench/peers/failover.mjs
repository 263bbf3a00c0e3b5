/**
 * How long a peer acknowledges nothing when its leader is killed, and how long a killed follower takes to serve again.
 *
 * The client writes at a fixed rate whether or not earlier writes are answered, round the nodes it is connected to, and connects again 5 ms
 * after a connection closed: what a user waits for is the servers, not a library's back-off.
 */
import { randomBytes } from "node:crypto";
import { EtcdWriter } from "./etcd.mjs";
import { isUndisturbed, usageOf, watchMachine } from "./machine.mjs";
import { openCluster, openDrivers, round } from "./measure.mjs";
import { sleep, waitFor } from "./workshop.mjs";
import { ZooKeeperWriter } from "./zookeeper.mjs";

const WRITERS = { etcd: EtcdWriter, zookeeper: ZooKeeperWriter };
const RECONNECT_MS = 5;
const WARMUP_MS = 4_000;
const QUIET_MS = 1_500;
const AFTER_KILL_MS = 5_000;
/** A silence that lasts longer than AFTER_KILL_MS is waited for so long. */
const SILENCE_MAX_MS = 30_000;
const RESTARTS = 3;
const FILL_OUTSTANDING = 512;
const CATCH_UP_MAX_MS = 300_000;

/** Kills the leader again and again. Returns the JSON line. */
export async function failoverOfPeer(system, context) {
  const { kills, rate, valueBytes } = context.options;
  const cluster = await openCluster(system, context);
  const load = { kind: "write", prefix: "gap", value: randomBytes(valueBytes) };
  let client;
  try {
    await WRITERS[system].prepare(cluster.endpoints[0], load);
    const machine = watchMachine();
    client = new SteadyClient(WRITERS[system], cluster.endpoints, load, rate);
    await sleep(WARMUP_MS);
    const gaps = [];
    for (let kill = 1; kill <= kills; kill++) {
      const gapMs = await killLeader(cluster, client);
      console.error(`${system} ${kill}: ${gapMs.toFixed(0)} ms without an acknowledged write`);
      gaps.push(round(gapMs, 1));
    }
    const around = machine();
    const { acknowledged, lost, errors } = client;
    const counts = { acknowledged, lost, errors };
    return {
      system,
      op: "failover",
      kills,
      rate,
      gapMs: spread(gaps),
      gaps,
      ...counts,
      machine: around,
      undisturbed: isUndisturbed(around),
    };
  } finally {
    client?.stop();
    await cluster.stop();
  }
}

async function killLeader(cluster, client) {
  await sleep(QUIET_MS);
  const leader = await cluster.leader();
  if (leader < 0) throw new Error("there was no leader to kill");
  const killedMs = client.mark();
  await cluster.kill(leader);
  await sleep(AFTER_KILL_MS);
  await waitFor("a write is acknowledged after the kill", () => (client.lastMs > killedMs ? true : undefined), {
    timeoutMs: SILENCE_MAX_MS,
  });
  const gapMs = client.longestSilence(killedMs);
  cluster.launchNode(leader);
  await cluster.ready();
  return gapMs;
}

/** Nearest rank: the middle one of an odd number, the upper of the two middle ones of an even number, as `quorate bench failover` says it. */
function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { min: sorted[0], median: sorted[Math.floor(sorted.length / 2)], max: sorted[sorted.length - 1] };
}

class SteadyClient {
  acknowledged = 0;
  /** Writes whose connection closed before they were answered. */
  lost = 0;
  errors = {};
  #times = [];
  #lanes;
  #next = 0;
  #stopped = false;
  #timer;

  constructor(Writer, endpoints, load, rate) {
    this.#times = [performance.now()];
    this.#lanes = endpoints.map((endpoint) => ({ endpoint, writer: undefined, waiting: 0 }));
    for (const lane of this.#lanes) this.#open(Writer, lane, load);
    const beganMs = performance.now();
    let issued = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - beganMs) / 1000) * rate);
      for (; issued < due; issued++) this.#write(issued);
    }, 1);
  }

  get lastMs() {
    return this.#times.at(-1);
  }

  /** Forgets what was before the last acknowledgement; returns the time. */
  mark() {
    this.#times = [this.lastMs];
    return performance.now();
  }

  /** The longest silence that ends after `sinceMs`; one that has not ended counts as far as it goes. */
  longestSilence(sinceMs) {
    let longest = 0;
    let last = this.#times[0];
    for (const at of [...this.#times, performance.now()]) {
      if (at >= sinceMs) longest = Math.max(longest, at - last);
      last = at;
    }
    return longest;
  }

  stop() {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const { writer } of this.#lanes) writer?.destroy();
  }

  #open(Writer, lane, load) {
    if (this.#stopped) return;
    const writer = new Writer(lane.endpoint, load, {
      onUp: () => (lane.writer = writer),
      onDown: () => {
        this.lost += lane.waiting;
        lane.waiting = 0;
        lane.writer = undefined;
        setTimeout(() => this.#open(Writer, lane, load), RECONNECT_MS);
      },
    });
  }

  /** To the next node that is connected; when none is, this write has nobody to go to and is lost. */
  #write(n) {
    const up = this.#lanes.filter(({ writer }) => writer !== undefined);
    const lane = up[this.#next++ % Math.max(1, up.length)];
    if (lane === undefined) {
      this.lost += 1;
      return;
    }
    lane.waiting += 1;
    const done = (error) => {
      lane.waiting -= 1;
      if (error !== undefined) this.errors[error] = (this.errors[error] ?? 0) + 1;
      else {
        this.acknowledged += 1;
        this.#times.push(performance.now());
      }
    };
    lane.writer.write(n, lane.writer.callback(done));
  }
}

/** Kills a follower after many writes, three times. Returns a JSON line for each. */
export async function restartOfPeer(system, context) {
  const { options } = context;
  const cluster = await openCluster(system, context);
  try {
    const job = { system, kind: "write", valueBytes: options.valueBytes, outstanding: FILL_OUTSTANDING, tag: "fill", prepares: true };
    const drivers = await openDrivers(cluster, { ...job, count: Math.ceil(options.restart / options.drivers) }, context);
    const filled = drivers.results();
    drivers.tell("measure");
    drivers.tell("start");
    const timer = setTimeout(() => drivers.tell("stop"), options.fillSeconds * 1000);
    const writes = (await filled).reduce((sum, { ops }) => sum + ops, 0);
    clearTimeout(timer);
    await drivers.stop();
    const lines = [];
    for (let run = 1; run <= RESTARTS; run++) {
      await sleep(QUIET_MS);
      lines.push({ system, op: "restart of a killed follower", asked: options.restart, writes, run, ...(await restart(cluster)) });
    }
    return lines;
  } finally {
    await cluster.stop();
  }
}

async function restart(cluster) {
  const leader = await cluster.leader();
  const follower = (leader + 1) % cluster.endpoints.length;
  await cluster.kill(follower);
  await sleep(1_000);
  const goal = (await cluster.state(leader))?.applied ?? 0;
  const machine = watchMachine();
  const beganMs = performance.now();
  cluster.launchNode(follower);
  const caughtUp = async () => ((await cluster.state(follower))?.applied ?? -1) >= goal || undefined;
  await waitFor("the follower has caught up", caughtUp, { timeoutMs: CATCH_UP_MAX_MS, everyMs: 10 });
  const restartMs = round(performance.now() - beganMs, 0);
  const around = machine();
  return {
    restartMs,
    rssMiB: Math.round(usageOf(cluster.pids[follower])?.rssMiB ?? 0),
    machine: around,
    undisturbed: isUndisturbed(around),
  };
}
