/**
 * Dropping outcome rows of gids that the cluster has forgotten.
 *
 * The floor is stored first. Asked branches insert their witness and read the floor after that, and InnoDB takes the snapshot for that read
 * at the read itself, in every isolation that is offered. So a late prepare that could insert its row because the old one was dropped reads
 * a floor that was committed before the drop, and is refused: no list of running transactions is needed, which a user could not read anyway.
 *
 * Rows are looked for without locks and dropped by their whole key: a range would wait for the witnesses of prepared branches below the
 * floor, which stay until their decision, and would keep new rows from gaps.
 */
import type { Context } from "./context.js";
import { Session } from "./session.js";

/** Rows per statement: bounds its locks. */
const DROP_SLICE = 100;

export class Forgetter {
  readonly #context: Context;
  #floorMs: number;
  #running: Promise<void> = Promise.resolve();

  constructor(context: Context, floorMs: number) {
    this.#context = context;
    this.#floorMs = floorMs;
  }

  /** The highest floor this process knows to be stored. */
  get floorMs(): number {
    return this.#floorMs;
  }

  /** Raises the floor, and drops what is below it. Calls run one after the other. */
  forgetBelow(floorMs: number): Promise<void> {
    const next = this.#running.then(() => Session.use(this.#context.pool, (session) => this.#forget(session, floorMs)));
    this.#running = next.catch(() => undefined);
    return next;
  }

  async #forget(session: Session, floorMs: number): Promise<void> {
    const { tables, participant } = this.#context;
    const floor = Math.max(floorMs, this.#floorMs);
    await session.runCommitted(
      `update ${tables.participants} set floor_ms = ${floor} where participant = '${participant}' and floor_ms < ${floor}`,
    );
    this.#floorMs = floor;
    for (;;) {
      const rows = await session.rows(
        `select cast(gid_ms as char) as ms, gid, branch from ${tables.outcomes} ` +
          `where gid_ms < ${floor} and participant = '${participant}' order by gid_ms, gid, branch limit ${DROP_SLICE}`,
      );
      if (rows.length > 0) {
        const keys = rows.map(
          (row) => `(gid_ms = ${String(row["ms"])} and gid = '${String(row["gid"])}' and branch = '${String(row["branch"])}')`,
        );
        await session.runCommitted(`delete from ${tables.outcomes} where ${keys.join(" or ")}`);
      }
      if (rows.length < DROP_SLICE) return;
    }
  }
}
