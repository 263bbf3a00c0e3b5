/**
 * Two-phase commit by hand, as an application without a coordinator would write it: the same SQL on the same servers, PREPARE
 * TRANSACTION at each, then COMMIT PREPARED at each. It is what a coordinator is measured against; nobody finishes what it leaves behind
 * when it is killed in the middle.
 */
import { messageOf } from "../base/index.js";
import type { Pool } from "pg";
import { hexOf, POSTGRES_ROWS, POSTGRES_WORK_SQL } from "./loads.js";
import type { End, Issue } from "./recorder.js";

/** One pool for each server, each with at least as many connections as operations will be outstanding. */
export function handDrivenLoad(pools: readonly Pool[], valueBytes: number): Issue {
  const value = hexOf(valueBytes);
  let n = 0;
  return (done) => {
    const at = n++;
    void transfer(pools, at, value).then(done);
  };
}

/** Never rejects. */
async function transfer(pools: readonly Pool[], n: number, value: string): Promise<End> {
  const xid = `bench-hand-${n}`;
  const prepared = await Promise.allSettled(pools.map((pool) => prepare(pool, xid, value, n % POSTGRES_ROWS)));
  const failed = prepared.find((each) => each.status === "rejected");
  if (failed !== undefined) {
    const begun = pools.filter((_, i) => prepared[i]?.status === "fulfilled");
    await Promise.allSettled(begun.map((pool) => pool.query(`rollback prepared '${xid}'`)));
    return { error: messageOf(failed.reason) };
  }
  try {
    await Promise.all(pools.map((pool) => pool.query(`commit prepared '${xid}'`)));
    return "ok";
  } catch (error) {
    return { error: messageOf(error) };
  }
}

async function prepare(pool: Pool, xid: string, value: string, id: number): Promise<void> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query("begin");
    await client.query(POSTGRES_WORK_SQL, [value, id]);
    await client.query(`prepare transaction '${xid}'`);
  } catch (error) {
    failure = error instanceof Error ? error : new Error(messageOf(error));
    throw failure;
  } finally {
    // In an unknown state it is not given back: its transaction ends with it.
    client.release(failure);
  }
}
