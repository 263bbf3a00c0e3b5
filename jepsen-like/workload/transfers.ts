/**
 * The workload: transfers between two banks, some of which must abort, some raced by an abort from another client, and status reads.
 *
 * Every branch appends one mark to a ledger row named by its transaction, inside its own resource: an effect that happened twice shows
 * as two marks.
 */
import { isQuorateError, type BranchSpec, type Quorate } from "../../src/index.js";
import { kvPayload } from "../../src/participant/kv/index.js";
import { BANKS, type TestCluster } from "../cluster/test-cluster.js";
import type { HistoryWriter } from "../history-writer.js";

export const ACCOUNTS = 64;
export const BALANCE = 1_000_000;
export const LEDGER = "ledger/";
export const ACCOUNT = "acct/";

const TIMEOUT_MS = 8_000;
const STATUS_TIMEOUT_MS = 3_000;

/** Opens the accounts, and waits until both stores show them: the promise resolves with the decision, the participants follow. */
export async function fund(test: TestCluster): Promise<void> {
  const [quorate] = test.clients;
  await quorate?.transaction((tx) => {
    for (const bank of BANKS)
      tx.ask(bank, kvPayload(Array.from({ length: ACCOUNTS }, (_, n) => ({ op: "put" as const, key: `${ACCOUNT}${n}`, value: BALANCE }))));
  });
  while (test.banks.some((bank) => bank.stats().held > 0)) await new Promise((resolve) => setTimeout(resolve, 5));
}

export class TransferWorkload {
  readonly #test: TestCluster;
  readonly #history: HistoryWriter;
  #n = 0;

  constructor(test: TestCluster, history: HistoryWriter) {
    this.#test = test;
    this.#history = history;
  }

  /** Runs `workers` clients until `stop` fires; each finishes what it has begun. */
  async run(workers: number, stop: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: workers }, (_, slot) => this.#worker(slot, stop)));
  }

  async #worker(slot: number, stop: AbortSignal): Promise<void> {
    const clients = this.#test.clients;
    const client = clients[slot % clients.length] as Quorate;
    const other = clients[(slot + 1) % clients.length] as Quorate;
    let process = this.#history.newProcess();
    const racer = this.#history.newProcess();
    let racing = racer;
    while (!stop.aborted) {
      const n = this.#n++;
      const gid = client.newGid();
      const commit = this.#decide(client, process, gid, "commit", () =>
        client.commit(gid, transfer(gid, slot, n), [], { timeoutMs: TIMEOUT_MS }),
      );
      const race =
        n % 7 === 0 ? this.#decide(other, racing, gid, "abort", () => other.abort(gid, { timeoutMs: TIMEOUT_MS })) : Promise.resolve(true);
      const [known, raceKnown] = await Promise.all([commit, race]);
      if (!known) process = this.#history.newProcess();
      if (!raceKnown) racing = this.#history.newProcess();
      if (n % 5 === 0) await this.#status(other, racing, gid).then((ok) => (ok ? undefined : (racing = this.#history.newProcess())));
    }
  }

  /** False when the outcome stayed unknown: that process number is not used again. */
  async #decide(
    client: Quorate,
    process: number,
    gid: string,
    want: "commit" | "abort",
    call: () => ReturnType<Quorate["commit"]>,
  ): Promise<boolean> {
    const base = { process, f: "decide", key: gid, client: client.client };
    this.#history.add({ ...base, type: "invoke", value: want });
    try {
      const { decision, zxid } = await call();
      this.#history.add({ ...base, type: "ok", value: decision, zxid: `${zxid.epoch}:${zxid.counter}` });
      return true;
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      // Only an error that promises that nothing was done is a failure; all else may still happen.
      const nothing = error.retry === "safe" && error.outcome !== "unknown";
      const type = error.outcome === "committed" || error.outcome === "aborted" ? "ok" : nothing ? "fail" : "info";
      const value = error.outcome === "committed" ? "commit" : error.outcome === "aborted" ? "abort" : want;
      this.#history.add({ ...base, type, value, error: error.code });
      return type !== "info";
    }
  }

  async #status(client: Quorate, process: number, gid: string): Promise<boolean> {
    const base = { process, f: "status", key: gid, client: client.client };
    this.#history.add({ ...base, type: "invoke", value: null });
    try {
      const view = await client.outcome(gid, { timeoutMs: STATUS_TIMEOUT_MS });
      this.#history.add({ ...base, type: "ok", value: view.decision ?? view.state });
      return true;
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      this.#history.add({ ...base, type: "info", value: null, error: error.code });
      return false;
    }
  }
}

/** Two branches; every sixth transfer asks for something that the second bank must refuse. */
function transfer(gid: string, slot: number, n: number): readonly BranchSpec[] {
  const amount = 1 + (n % 9);
  const account = `${ACCOUNT}${slot % ACCOUNTS}`;
  const doomed = n % 6 === 5;
  return BANKS.map((bank, side): BranchSpec => {
    const delta = side === 0 ? -amount : amount;
    return {
      id: bank,
      participant: bank,
      mode: "asked",
      payload: kvPayload([
        { op: "add", key: account, delta, min: 0 },
        { op: "append", key: `${LEDGER}${gid}`, value: "x" },
        ...(doomed && side === 1 ? [{ op: "require" as const, key: "no-such-key", exists: true }] : []),
      ]),
    };
  });
}
