/**
 * What one transaction of a benchmark is.
 */
import { randomBytes } from "node:crypto";
import type { Quorate } from "../client/index.js";
import type { Answer } from "../coordinator/index.js";
import { kvPayload } from "../participant/kv/index.js";
import { postgresPayload } from "../participant/postgres/index.js";
import type { BranchSpec } from "../txn/index.js";
import type { End, Issue } from "./recorder.js";

export type ParticipantKind = "kv" | "null" | "postgres";

const REQUEST_TIMEOUT_MS = 30_000;
const KV_ROWS = 1_000_000;
/** Rows of the table of each PostgreSQL participant: many more than transactions in flight, so that no two wait for the same row. */
export const POSTGRES_ROWS = 10_000;
export const POSTGRES_TABLE_SQL = [
  "create table bench_row (id int primary key, value text not null)",
  `insert into bench_row select id, '' from generate_series(0, ${POSTGRES_ROWS - 1}) as id`,
];
export const POSTGRES_WORK_SQL = "update bench_row set value = $1 where id = $2";
/** An open transaction that nobody ends is the load of `openLoad`: the cluster aborts it after the longest time it grants. */
const OPEN_TIMEOUT_MS = 3_600_000;

export interface TransactionLoadOptions {
  readonly participants: readonly string[];
  readonly kind: ParticipantKind;
  readonly valueBytes: number;
  /** The fraction of transactions of which one branch votes no, 0 to 1; not for `null`, which always says yes. */
  readonly abortShare: number;
}

/** One whole transaction: every participant prepares and commits one branch. `null` participants get a payload they ignore. */
export function transactionLoad(quorate: Quorate, options: TransactionLoadOptions): Issue {
  const { participants, kind, abortShare } = options;
  const value = hexOf(options.valueBytes);
  let n = 0;
  return (done) => {
    const at = n++;
    const refused = isIntendedAbort(at, abortShare) ? at % participants.length : undefined;
    const payload = work(kind, at, value);
    const branches = participants.map((participant, i): BranchSpec => ({
      id: participant,
      participant,
      mode: "asked",
      payload: i === refused ? refusedWork(kind, at) : payload,
    }));
    quorate.submit(
      { kind: "commit", gid: quorate.newGid(), client: quorate.client, timeoutMs: REQUEST_TIMEOUT_MS, branches, votes: [] },
      (answer) => done(endOf(answer, refused !== undefined)),
      REQUEST_TIMEOUT_MS,
    );
  };
}

/** Opens a transaction with one recorded branch and leaves it open. The cluster aborts it when this client is gone. */
export function openLoad(quorate: Quorate, participant: string): Issue {
  const payload = Buffer.from("[]");
  return (done) =>
    quorate.submit(
      {
        kind: "open",
        gid: quorate.newGid(),
        client: quorate.client,
        timeoutMs: OPEN_TIMEOUT_MS,
        branches: [{ id: participant, participant, mode: "asked", payload }],
      },
      (answer) => done(answer.kind === "opened" ? "ok" : { error: answer.kind === "error" ? answer.code : answer.kind }),
      REQUEST_TIMEOUT_MS,
    );
}

/** Spreads the share evenly: of any 1 / share operations in a row one is meant. */
export function isIntendedAbort(n: number, share: number): boolean {
  return Math.floor((n + 1) * share) > Math.floor(n * share);
}

/** `meant`: one branch was to vote no. A commit all the same is an error of the worst kind. */
export function endOf(answer: Answer, meant: boolean): End {
  if (answer.kind === "error") return { error: answer.code };
  if (answer.kind !== "decided") return { error: answer.kind };
  if (answer.decision === "commit") return meant ? { error: "committed-against-a-no" } : "ok";
  return meant && answer.reason === "vote-no" ? "intended-abort" : { abort: answer.reason ?? "none" };
}

function work(kind: ParticipantKind, n: number, value: string): Uint8Array {
  switch (kind) {
    case "kv":
      return kvPayload([{ op: "put", key: `row/${n % KV_ROWS}`, value }]);
    case "postgres":
      return postgresPayload([{ sql: POSTGRES_WORK_SQL, params: [value, n % POSTGRES_ROWS], rows: 1 }]);
    case "null":
      return Buffer.from(value);
  }
}

/** Work that the participant itself refuses: a balance that would fall below its minimum, a row that is not there. */
function refusedWork(kind: ParticipantKind, n: number): Uint8Array {
  return kind === "postgres"
    ? postgresPayload([{ sql: POSTGRES_WORK_SQL, params: ["", -1], rows: 1 }])
    : kvPayload([{ op: "add", key: `refused/${n % KV_ROWS}`, delta: -1, min: 0 }]);
}

/** A text of this many bytes that does not compress to nothing. */
export function hexOf(bytes: number): string {
  return randomBytes(Math.ceil(bytes / 2))
    .toString("hex")
    .slice(0, bytes);
}
