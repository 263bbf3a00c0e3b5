/**
 * Watches a run from outside and writes what it sees into the history: each node's role and epoch when they change, whether a majority
 * of coordinators is up and connected, how many branches are in doubt, and how long coordinators waited for a processor.
 *
 * It only looks. Its figures are as fine as its steps: 25 ms for nodes and majorities.
 */
import { readFileSync } from "node:fs";
import type { NodeId } from "../src/index.js";
import type { TestCluster } from "./cluster/test-cluster.js";
import type { DoubtProbe } from "./doubt-probe.js";
import type { HistoryWriter } from "./history-writer.js";
import { sleep } from "./nemesis/composition.js";

export const WATCH_STEP_MS = 25;
const SAMPLE_STEPS = 8;

export class Watch {
  readonly #test: TestCluster;
  readonly #history: HistoryWriter;
  readonly #probe: DoubtProbe;
  readonly #stop = new AbortController();
  readonly #waited = new Map<NodeId, { readonly pid: number; readonly waitedNs: number }>();
  #loops: Promise<unknown> = Promise.resolve();

  constructor(test: TestCluster, history: HistoryWriter, probe: DoubtProbe) {
    this.#test = test;
    this.#history = history;
    this.#probe = probe;
  }

  start(): void {
    this.#loops = Promise.all([...this.#test.nodes.map((id) => this.#node(id)), this.#majority()]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loops;
  }

  /** A loop for each node: one that is frozen does not hold up the sight of the others. */
  async #node(id: NodeId): Promise<void> {
    let before = "";
    while (!this.#stop.signal.aborted) {
      const pid = this.#test.cluster.pid(id);
      const seen = await this.#test.cluster.readiness(id);
      if (seen !== undefined && pid !== undefined && pid === this.#test.cluster.pid(id)) this.#test.sawAnswer(id);
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
      if (connected !== before) this.#history.add({ process: -1, type: "info", f: "majority", key: "", value: connected });
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

  /** Since the last call: how long the coordinator that waited longest was ready to run and was not let. */
  #starvedMs(): number {
    let longest = 0;
    for (const id of this.#test.nodes) {
      const pid = this.#test.cluster.pid(id);
      const waitedNs = pid === undefined ? undefined : runQueueWaitNs(pid);
      const before = this.#waited.get(id);
      if (pid === undefined || waitedNs === undefined) this.#waited.delete(id);
      else {
        this.#waited.set(id, { pid, waitedNs });
        // A new process has waited only since it is there.
        longest = Math.max(longest, waitedNs - (before?.pid === pid ? before.waitedNs : 0));
      }
    }
    return longest / 1e6;
  }
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
