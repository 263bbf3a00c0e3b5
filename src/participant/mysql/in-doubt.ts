/**
 * Prepared branches of this participant, and for how long they have been.
 *
 * XA RECOVER tells no time. So a scan for old ones counts from the first list on which this process saw a branch: it never calls one
 * older than it is.
 */
import type { BranchRef } from "../contract.js";
import type { Context } from "./context.js";
import { Session } from "./session.js";
import { literalOf, recover } from "./xa.js";
import { parseXid } from "./xid.js";

export class InDoubt {
  readonly #context: Context;
  /** When each branch was seen first, by this process's monotonic clock, ms. */
  #seen = new Map<string, number>();

  constructor(context: Context) {
    this.#context = context;
  }

  async list(olderThanMs: number): Promise<readonly BranchRef[]> {
    const { pool, scope } = this.#context;
    const all = await Session.use(pool, recover);
    const now = performance.now();
    const seen = new Map<string, number>();
    const refs: BranchRef[] = [];
    for (const raw of all) {
      const parsed = parseXid(raw);
      if (parsed?.tag !== scope.tag || parsed.participant !== scope.participant) continue;
      const key = literalOf(raw);
      const first = this.#seen.get(key) ?? now;
      seen.set(key, first);
      if (now - first >= olderThanMs) refs.push(parsed.ref);
    }
    this.#seen = seen;
    return refs;
  }
}
