/**
 * Was it right? Judged from what the clients were told and what stands in the stores.
 */
export interface Told {
  /** Gids whose commit was acknowledged. */
  readonly committed: ReadonlySet<string>;
  readonly aborted: ReadonlySet<string>;
  /** Gids whose outcome the client could not learn in time: either is right, but the same on all sides. */
  readonly unknown: ReadonlySet<string>;
}

export interface Stores {
  readonly ledgers: readonly ReadonlyMap<string, number>[];
  readonly sumBefore: number;
  readonly sumAfter: number;
  readonly orphans: number;
  readonly locks: number;
}

/** What is wrong, in words; empty when nothing is. */
export function judge(told: Told, stores: Stores): readonly string[] {
  const problems: string[] = [];
  const gids = new Set(stores.ledgers.flatMap((ledger) => [...ledger.keys()]));
  for (const gid of gids) {
    const rows = stores.ledgers.filter((ledger) => ledger.has(gid)).length;
    if (rows !== stores.ledgers.length) problems.push(`${gid} has a ledger row in ${rows} of ${stores.ledgers.length} banks`);
    if (told.aborted.has(gid)) problems.push(`${gid} was reported aborted, yet its ledger rows are there`);
    if (!told.committed.has(gid) && !told.aborted.has(gid) && !told.unknown.has(gid))
      problems.push(`${gid} has a ledger row, yet no client sent it`);
    const sum = stores.ledgers.reduce((total, ledger) => total + (ledger.get(gid) ?? 0), 0);
    if (rows === stores.ledgers.length && sum !== 0) problems.push(`${gid} moved ${sum} out of nothing`);
  }
  for (const gid of told.committed) if (!gids.has(gid)) problems.push(`${gid} was reported committed, yet no bank has its ledger row`);
  if (stores.sumBefore !== stores.sumAfter) problems.push(`the sum over all accounts was ${stores.sumBefore} and is ${stores.sumAfter}`);
  if (stores.orphans > 0) problems.push(`${stores.orphans} prepared branches were left behind`);
  if (stores.locks > 0) problems.push(`${stores.locks} locks were left behind`);
  return problems;
}
