/**
 * Dropping outcome rows of gids that the cluster has forgotten.
 *
 * The floor is stored first, and a row is dropped only when no transaction is left that might not have seen that floor. Asked
 * branches insert their witness, which gives them a transaction id, and read the floor after that; so a branch that missed the floor
 * has an id below one taken after the floor was committed. Once every id below that is finished, prepared ones included, no late
 * prepare can still slip in under the dropped row. Until then rows stay; the next call looks again. In the stricter isolation levels
 * the floor is read with a snapshot taken just before that id, in the same message; so a floor is never used by the call that stored it.
 */
import type { Context } from "./context.js";
import { Session } from "./session.js";

/** Rows per statement: bounds its locks and its share of the write-ahead log. */
const DROP_SLICE = 5000;

/** A floor that is stored, and the first transaction id given out after that. */
interface Fence {
  readonly floorMs: number;
  readonly xact: bigint;
}

export class Forgetter {
  readonly #context: Context;
  #fences: Fence[] = [];
  #floorMs: number;
  /** No row of this participant is left below this, as far as this process dropped them. */
  #droppedMs = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(context: Context, floorMs: number) {
    this.#context = context;
    this.#floorMs = floorMs;
  }

  /** The highest floor this process knows to be stored. */
  get floorMs(): number {
    return this.#floorMs;
  }

  /** Raises the floor, and drops what may be dropped by now. Calls run one after the other. */
  forgetBelow(floorMs: number): Promise<void> {
    const next = this.#running.then(() => Session.use(this.#context.pool, (session) => this.#forget(session, floorMs)));
    this.#running = next.catch(() => undefined);
    return next;
  }

  async #forget(session: Session, floorMs: number): Promise<void> {
    const { tables, participant } = this.#context;
    const floor = Math.max(floorMs, this.#floorMs);
    await this.#drop(session);
    if (this.#fences.at(-1)?.floorMs !== floor && floor > this.#droppedMs) {
      // Durability: waited for whatever the role's default; the floor must not fall back after rows below it are gone.
      await session.run(
        `set local synchronous_commit = on; update ${tables.participants} set floor_ms = ${floor} where participant = '${participant}' and floor_ms < ${floor}`,
      );
      this.#floorMs = floor;
      const { rows } = await session.query("select pg_current_xact_id()::text as xact");
      this.#fences.push({ floorMs: floor, xact: BigInt((rows[0] as { xact: string }).xact) });
    }
  }

  /** Drops below the newest floor that everybody has seen. */
  async #drop(session: Session): Promise<void> {
    const { tables, participant } = this.#context;
    if (this.#fences.length === 0) return;
    const { rows } = await session.query("select pg_snapshot_xmin(pg_current_snapshot())::text as oldest");
    const oldest = BigInt((rows[0] as { oldest: string }).oldest);
    const passed = this.#fences.filter((fence) => fence.xact < oldest).at(-1);
    if (passed === undefined) return;
    this.#fences = this.#fences.filter((fence) => fence.xact >= oldest);
    for (;;) {
      const { rowCount } = await session.query(
        `delete from ${tables.outcomes} where (gid_ms, gid, branch) in (select gid_ms, gid, branch from ${tables.outcomes} ` +
          `where gid_ms < ${passed.floorMs} and participant = '${participant}' order by gid_ms, gid, branch limit ${DROP_SLICE})`,
      );
      if ((rowCount ?? 0) < DROP_SLICE) break;
    }
    this.#droppedMs = passed.floorMs;
  }
}
