/**
 * What one operation of a benchmark is.
 */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { RequestIds, type Quorate } from "../client/index.js";
import type { BranchSpec } from "../txn/index.js";
import { kvPayload } from "../participant/kv/index.js";
import type { Issue } from "./closed-loop.js";

const REQUEST_TIMEOUT_MS = 30_000;
/** Registers written round robin: small, so that the state stays small and only the path is measured. */
export const REGISTERS = 10_000;

export interface PutLoad {
  readonly issue: Issue;
  /** How many registers were written so far: the names with numbers below it. */
  registers(): number;
}

/**
 * One put of `valueBytes` into a register: fsynced by a majority, applied, deduplicated by its request id. The client's session is used
 * through its cheap form; request numbers below the oldest unanswered one are acknowledged as it goes.
 */
export function putLoad(quorate: Quorate, valueBytes: number): PutLoad {
  const value = randomBytes(valueBytes);
  // A request memory of its own, apart from the one behind quorate.put: a fresh UUID v7 of the cluster's clock.
  const ids = new RequestIds(
    () => quorate.newGid().slice("q-".length),
    () => performance.now(),
  );
  let n = 0;
  const issue: Issue = (done) => {
    const request = ids.next();
    quorate.submit(
      { kind: "put", request, name: registerName(n++), value, expect: undefined },
      (answer) => {
        ids.settled(request);
        done(answer);
      },
      REQUEST_TIMEOUT_MS,
    );
  };
  return { issue, registers: () => Math.min(n, REGISTERS) };
}

export function registerName(n: number): string {
  return `bench/${n % REGISTERS}`;
}

/** One whole transaction: every participant prepares and commits one branch. `null` participants get a payload they ignore. */
export function transactionLoad(quorate: Quorate, participants: readonly string[], kind: "kv" | "null", valueBytes: number): Issue {
  const value = randomBytes(Math.ceil(valueBytes / 2))
    .toString("hex")
    .slice(0, valueBytes);
  let n = 0;
  return (done) => {
    const key = `row/${n++ % 1_000_000}`;
    const payload = kind === "kv" ? kvPayload([{ op: "put", key, value }]) : Buffer.from(value);
    const branches = participants.map((participant): BranchSpec => ({ id: participant, participant, mode: "asked", payload }));
    quorate.submit(
      { kind: "commit", gid: quorate.newGid(), client: quorate.client, timeoutMs: REQUEST_TIMEOUT_MS, branches, votes: [] },
      done,
      REQUEST_TIMEOUT_MS,
    );
  };
}
