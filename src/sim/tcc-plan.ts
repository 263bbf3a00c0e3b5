/**
 * Transactions with branches that are tried: alone, or beside branches that prepare.
 */
import type { Prng } from "../base/index.js";
import type { BranchKind } from "../txn/index.js";
import { encodeWork } from "./participant.js";
import type { Work } from "./resource-manager.js";
import type { Planned, Shared } from "./workload.js";

const MIXED_CHANCE = 0.5;
/** Chance that a client tries, or prepares, a branch itself. */
const BROUGHT_CHANCE = 0.35;

/** Moves money between services, and between them and what locks; the amounts add up to nothing. */
export function planTries(prng: Prng, { resources, services }: Shared): readonly Planned[] {
  const tried = prng.shuffle(services).slice(0, prng.int(1, services.length));
  const locking = prng.chance(MIXED_CHANCE) ? prng.shuffle(resources).slice(0, prng.int(1, 2)) : [];
  const parts = [
    ...tried.map((resource) => ({ resource, kind: "tcc" as BranchKind })),
    ...locking.map((resource) => ({ resource, kind: "2pc" as BranchKind })),
  ];
  let rest = 0;
  return prng.shuffle(parts).map(({ resource, kind }, index): Planned => {
    const last = index === parts.length - 1;
    const amount = last ? -rest : prng.int(-20, 20);
    rest += amount;
    const work: Work = {
      deltas: parts.length === 1 ? within(prng, resource.accounts) : [[prng.pick(resource.accounts), amount]],
      reads: [],
    };
    const mode = prng.chance(BROUGHT_CHANCE) ? "brought" : "asked";
    const payload = mode === "asked" ? encodeWork(work) : new Uint8Array(0);
    const spec = { id: `b${index + 1}`, participant: resource.name, mode, payload } as const;
    return { spec: kind === "tcc" ? { ...spec, kind } : spec, resource, work };
  });
}

function within(prng: Prng, accounts: readonly string[]): Work["deltas"] {
  const [from, to] = [prng.pick(accounts), prng.pick(accounts)];
  const amount = prng.int(1, 20);
  if (from === to) return [[from, 0]];
  return [
    [from, -amount],
    [to, amount],
  ];
}
