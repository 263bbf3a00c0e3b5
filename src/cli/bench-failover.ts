/**
 * `quorate bench failover`: transactions at a fixed rate over two key-value participants, the leader killed again and again.
 *
 * `gapMs`: the longest silence between two acknowledged commits that ends after the kill. `inDoubtMs`: the longest time any branch
 * knew that it had voted yes and not how it ended, measured at the participant.
 */
import { performance } from "node:perf_hooks";
import type { Answer } from "../coordinator/index.js";
import { formatNodeId } from "../base/index.js";
import { transactionLoad } from "../bench/loads.js";
import { InDoubtMeter } from "../demo/in-doubt-meter.js";
import { openKvBank } from "../demo/kv-bank.js";
import { BenchCluster } from "./bench-cluster.js";
import { EXIT } from "./command.js";
import type { ExitCode } from "./exit-codes.js";
import { atInterrupt } from "./interrupt.js";
import { note, printResult, type OutputFormat } from "./output.js";
import { formatTable } from "./table.js";

const QUIET_MS = 1_500;
const AFTER_KILL_MS = 2_500;
const READY_TIMEOUT_MS = 30_000;

interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export async function failover(format: OutputFormat, kills: number, rate: number, nodes: number): Promise<ExitCode> {
  const bench = await BenchCluster.open({ endpoints: undefined, nodes, nodeArgs: [] });
  const banks = [];
  try {
    const { cluster, quorate } = bench;
    if (cluster === undefined) return EXIT.failed;
    const meter = new InDoubtMeter();
    const doubts: number[] = [];
    for (const name of ["gap-a", "gap-b"]) banks.push(await openKvBank(name, meter));
    for (const bank of banks) atInterrupt(() => bank.discard());
    await quorate.attach(...banks.map((bank) => bank.participant));
    const stream = new PacedStream(
      transactionLoad(
        quorate,
        banks.map((bank) => bank.name),
        "kv",
        64,
      ),
      rate,
    );
    const gaps: number[] = [];
    for (let kill = 1; kill <= kills; kill++) {
      await sleep(QUIET_MS);
      meter.takeMaxMs();
      const leader = quorate.view()?.leader;
      if (leader === undefined) throw new Error("no leader before the kill");
      const killedMs = stream.mark();
      cluster.signal(leader, "SIGKILL");
      await cluster.exited(leader);
      await sleep(AFTER_KILL_MS);
      const gap = stream.longestSilence(killedMs);
      const doubt = meter.takeMaxMs();
      gaps.push(gap);
      doubts.push(doubt);
      note(`${kill}: killed ${formatNodeId(leader)}, ${gap.toFixed(0)} ms without a commit, in doubt at most ${doubt.toFixed(0)} ms`);
      cluster.start(leader);
      await cluster.ready(READY_TIMEOUT_MS);
    }
    await stream.stop();
    const json = {
      peer: "quorate",
      op: "failover",
      nodes,
      kills,
      rate,
      gapMs: spread(gaps),
      inDoubtMs: spread(doubts),
      committed: stream.committed,
      failed: stream.failed,
    };
    printResult(format, {
      json,
      table: () =>
        formatTable(
          ["", "MIN", "MEDIAN", "MAX"],
          [
            ["gap between commits, ms", json.gapMs.min, json.gapMs.median, json.gapMs.max],
            ["longest in doubt, ms", json.inDoubtMs.min, json.inDoubtMs.median, json.inDoubtMs.max],
          ],
        ),
    });
    return Object.keys(stream.failed).length === 0 ? EXIT.ok : EXIT.failed;
  } finally {
    await bench.close();
    for (const bank of banks) await bank.close();
  }
}

/** Starts an operation at a fixed rate, whether or not earlier ones are answered, and remembers when each was. */
class PacedStream {
  committed = 0;
  readonly failed: Record<string, number> = {};
  readonly #issue: (done: (answer: Answer) => void) => void;
  readonly #timer: NodeJS.Timeout;
  #acknowledged: number[] = [];
  #outstanding = 0;

  constructor(issue: (done: (answer: Answer) => void) => void, rate: number) {
    this.#issue = issue;
    const beganMs = performance.now();
    let issued = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - beganMs) / 1000) * rate);
      for (; issued < due; issued++) this.#one();
    }, 1);
  }

  /** Forgets what was before; returns the time of the last acknowledgement. */
  mark(): number {
    const last = this.#acknowledged.at(-1) ?? performance.now();
    this.#acknowledged = [last];
    return performance.now();
  }

  /** The longest silence that ends after `sinceMs`, ms; a silence that has not ended counts as far as it goes. */
  longestSilence(sinceMs: number): number {
    let longest = 0;
    let last = this.#acknowledged[0] ?? sinceMs;
    for (const at of [...this.#acknowledged, performance.now()]) {
      if (at >= sinceMs) longest = Math.max(longest, at - last);
      last = at;
    }
    return longest;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#outstanding > 0) await sleep(10);
  }

  #one(): void {
    this.#outstanding += 1;
    this.#issue((answer) => {
      this.#outstanding -= 1;
      if (answer.kind === "decided" && answer.decision === "commit") {
        this.committed += 1;
        this.#acknowledged.push(performance.now());
      } else {
        const why = answer.kind === "error" ? answer.code : answer.kind === "decided" ? `aborted: ${answer.reason ?? ""}` : answer.kind;
        this.failed[why] = (this.failed[why] ?? 0) + 1;
      }
    });
  }
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (i: number): number => Math.round((sorted[i] ?? 0) * 10) / 10;
  return { min: at(0), median: at(Math.floor(sorted.length / 2)), max: at(sorted.length - 1) };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
