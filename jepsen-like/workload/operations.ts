/**
 * Operations of clients, as they go into the history: asked, answered, and what an error leaves known.
 */
import { isQuorateError, type Decided, type Quorate, type TransactionView } from "../../src/index.js";
import type { HistoryEvent, HistoryValue } from "../../src/check/index.js";
import type { HistoryWriter } from "../history-writer.js";
import type { NodeVoice } from "./node-voice.js";

export const TRANSACTION_TIMEOUT_MS = 5_000;
export const STATUS_TIMEOUT_MS = 3_000;

/** One client of the history: one operation at a time. Its number is given up after an operation whose outcome stayed unknown. */
export class Process {
  readonly #history: HistoryWriter;
  readonly #fixed: Pick<HistoryEvent, "client" | "node">;
  #number: number;

  constructor(history: HistoryWriter, fixed: Pick<HistoryEvent, "client" | "node">) {
    this.#history = history;
    this.#fixed = fixed;
    this.#number = history.newProcess();
  }

  /** The same history, as another client. */
  other(fixed: Pick<HistoryEvent, "client" | "node">): Process {
    return new Process(this.#history, fixed);
  }

  invoke(f: string, key: string, value: HistoryValue, branches?: readonly string[]): Open {
    const base = { process: this.#number, f, key, ...this.#fixed };
    this.#history.add({ ...base, type: "invoke", value, ...(branches === undefined ? {} : { branches }) });
    return {
      ok: (answer, zxid) => this.#history.add({ ...base, type: "ok", value: answer, ...(zxid === undefined ? {} : { zxid }) }),
      fail: (error) => this.#history.add({ ...base, type: "fail", value, error }),
      info: (error) => {
        this.#history.add({ ...base, type: "info", value, error });
        this.#number = this.#history.newProcess();
      },
    };
  }
}

/** An operation that was asked and is not answered. */
export interface Open {
  ok(answer: HistoryValue, zxid?: string): void;
  fail(error: string): void;
  info(error: string): void;
}

export function zxidText({ epoch, counter }: { readonly epoch: number; readonly counter: number }): string {
  return `${epoch}:${counter}`;
}

/**
 * A request for a decision. `ok` also for an error that tells the decision; `fail` only for one that promises that nothing was done.
 * Returns the decision told, if any.
 */
export async function decide(
  process: Process,
  gid: string,
  want: "commit" | "abort",
  branches: readonly string[] | undefined,
  call: () => Promise<Decided | void>,
): Promise<"commit" | "abort" | undefined> {
  const open = process.invoke("decide", gid, want, branches);
  try {
    const decided = await call();
    // A scope's own commit resolves without more words.
    const decision = decided?.decision ?? want;
    open.ok(decision, decided === undefined ? undefined : zxidText(decided.zxid));
    return decision;
  } catch (error) {
    return failed(open, error, want);
  }
}

/** Completes an operation by its error. */
export function failed(open: Open, error: unknown, want: "commit" | "abort"): "commit" | "abort" | undefined {
  if (!isQuorateError(error)) throw error;
  if (error.outcome === "committed" || error.code === "QUORATE_ABORTED") {
    const told = error.outcome === "committed" ? "commit" : "abort";
    open.ok(told);
    return told;
  }
  // Only an error that promises that nothing was done, or that nothing will be, is a failure; all else may still happen.
  if (error.outcome === "aborted" || (error.retry === "safe" && error.outcome !== "unknown")) open.fail(error.code);
  else open.info(`${error.code} (asked to ${want})`);
  return undefined;
}

/** A linearizable look at one transaction, through a client's stream or through one node. */
export async function status(process: Process, gid: string, from: Quorate | NodeVoice): Promise<string | undefined> {
  const open = process.invoke("status", gid, null);
  try {
    const view = "outcome" in from ? await from.outcome(gid, { timeoutMs: STATUS_TIMEOUT_MS }) : await viewFrom(from, gid);
    const value = view.decision ?? view.state;
    open.ok(value);
    return value;
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    open.info(error.code);
    return undefined;
  }
}

async function viewFrom(voice: NodeVoice, gid: string): Promise<TransactionView> {
  const { transaction } = await voice.ask(
    "transaction",
    { kind: "outcome", gid: gid as TransactionView["gid"], wait: false },
    STATUS_TIMEOUT_MS,
  );
  return transaction;
}
