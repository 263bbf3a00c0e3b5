/**
 * Watches a run from outside and writes what it sees into the history: each node's role and epoch when they change, whether a majority
 * of coordinators is up and connected, how many branches are in doubt, how long coordinators waited for a processor, and every few
 * seconds each node's digest and footprint.
 *
 * It only looks. Its figures are as fine as its steps: 25 ms for nodes and majorities.
 */
import { readFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { NodeId } from "../src/index.js";
import type { ClusterUnderTest } from "./cluster/cluster-under-test.js";
import type { DoubtProbe } from "./doubt-probe.js";
import type { HistoryWriter } from "./history-writer.js";
import { sleep } from "./nemesis/composition.js";
import type { Resource } from "./participants/resource.js";

export const WATCH_STEP_MS = 25;
const SAMPLE_STEPS = 8;
const DIGEST_EVERY_MS = 5_000;
/** Nodes under load seldom stand at the same entry when they are asked: several looks close together find some that do. */
const DIGEST_LOOKS = 4;
const MB = 1024 * 1024;

export class Watch {
  readonly #test: ClusterUnderTest;
  readonly #history: HistoryWriter;
  readonly #probe: DoubtProbe;
  readonly #stop = new AbortController();
  readonly #participants: readonly Resource[];
  readonly #waited = new Map<string, { readonly pid: number; readonly waitedNs: number }>();
  #loops: Promise<unknown> = Promise.resolve();

  constructor(test: ClusterUnderTest, participants: readonly Resource[], history: HistoryWriter, probe: DoubtProbe) {
    this.#test = test;
    this.#participants = participants;
    this.#history = history;
    this.#probe = probe;
  }

  start(): void {
    this.#loops = Promise.all([...this.#test.nodes.map((id) => this.#node(id)), this.#majority(), this.#states()]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loops;
  }

  /** A loop for each node: one that is frozen does not hold up the sight of the others. */
  async #node(id: NodeId): Promise<void> {
    let before = "";
    while (!this.#stop.signal.aborted) {
      const pid = this.#test.pid(id);
      const seen = await this.#test.sight(id);
      if (seen !== undefined && pid !== undefined && pid === this.#test.pid(id)) this.#test.sawAnswer(id);
      const value =
        seen === undefined
          ? { role: "silent" }
          : { role: seen.role, phase: seen.phase, epoch: seen.epoch, leader: seen.leader, established: seen.established };
      const now = JSON.stringify(value);
      if (now !== before) this.#history.add({ process: -1, type: "info", f: "node", key: `n${id}`, value });
      before = now;
      await sleep(WATCH_STEP_MS, this.#stop.signal);
    }
  }

  async #majority(): Promise<void> {
    let before: boolean | undefined;
    for (let step = 0; !this.#stop.signal.aborted; step++) {
      const connected = this.#test.majorityConnected();
      if (connected !== undefined && connected !== before)
        this.#history.add({ process: -1, type: "info", f: "majority", key: "", value: connected });
      before = connected;
      if (step % SAMPLE_STEPS === 0)
        this.#history.add({
          process: -1,
          type: "info",
          f: "sample",
          key: "",
          value: { inDoubt: this.#probe.open, starvedMs: Math.round(this.#starvedMs()) },
        });
      await sleep(WATCH_STEP_MS, this.#stop.signal);
    }
  }

  async #states(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await sleep(DIGEST_EVERY_MS, this.#stop.signal);
      for (let look = 0; look < DIGEST_LOOKS && !this.#stop.signal.aborted; look++) await this.states(look === 0);
    }
  }

  /** Asks every node at once for its digest, and for its footprint when that is wanted too. */
  async states(footprint: boolean): Promise<void> {
    const [client] = this.#test.clients;
    for (const { status } of (await client?.status()) ?? []) {
      if (status === undefined) continue;
      const base = { process: -1, type: "info", key: `n${status.id}` } as const;
      const { applied, digest } = status;
      this.#history.add({ ...base, f: "digest", value: { at: `${applied.epoch}:${applied.counter}`, digest } });
      if (!footprint) continue;
      const folder = this.#test.dataDir(status.id);
      const diskMb = folder === undefined ? null : megabytes(await bytesIn(folder));
      const value = { rssMb: megabytes(status.rssBytes), logMb: megabytes(status.logBytes), diskMb, outcomes: status.finishedOutcomes };
      this.#history.add({ ...base, f: "footprint", value });
    }
  }

  /** Since the last call: how long the coordinator or participant that waited longest was ready to run and was not let. */
  #starvedMs(): number {
    let longest = 0;
    const processes = [
      ...this.#test.nodes.map((id) => [`n${id}`, this.#test.pid(id)] as const),
      ...this.#participants.map(({ name, process }) => [name, process.pid] as const),
    ];
    for (const [name, pid] of processes) {
      const waitedNs = pid === undefined ? undefined : runQueueWaitNs(pid);
      const before = this.#waited.get(name);
      if (pid === undefined || waitedNs === undefined) this.#waited.delete(name);
      else {
        this.#waited.set(name, { pid, waitedNs });
        // A new process has waited only since it is there.
        longest = Math.max(longest, waitedNs - (before?.pid === pid ? before.waitedNs : 0));
      }
    }
    return longest / 1e6;
  }
}

function megabytes(bytes: number): number {
  return Math.round((bytes * 10) / MB) / 10;
}

/** What the folder's files take up; those that vanish while we look count as nothing. */
async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const sizes = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return bytesIn(path);
      // Allocated, not apparent: segments are made in advance.
      return stat(path).then(
        ({ blocks }) => blocks * 512,
        () => 0,
      );
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Of the process's main thread, by the kernel's own count; undefined where there is none. */
function runQueueWaitNs(pid: number): number | undefined {
  try {
    const waited = Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]);
    return Number.isFinite(waited) ? waited : undefined;
  } catch {
    return undefined;
  }
}
