/**
 * Looks for the smallest run of a seed that still breaks the same invariant.
 *
 * Leaves out, in this order: whole parts (kinds of faults, rare branches, kinds of work), time, single faults, then nodes, clients,
 * lanes, resources and instances; and all again, until nothing more goes or the time is up. Each attempt is a run of its own: what
 * is left out was not needed, what is left may be.
 */
import { partsOf, type Reduction } from "./reduction.js";
import { runSeed, SAFETY_MS, type SeedResult } from "./run.js";

export interface ShrinkOptions {
  readonly start?: Reduction;
  /** Runs at most. Default 400. */
  readonly runsMax?: number;
  /** True when there is no more time. */
  readonly late?: () => boolean;
  readonly onStep?: (reduction: Reduction, runs: number) => void;
  /** How a seed is run; another one in tests. */
  readonly run?: (seed: number, reduction: Reduction) => SeedResult;
}

export interface Shrunk {
  readonly reduction: Reduction;
  readonly result: SeedResult;
  readonly runs: number;
}

/** Undefined when the seed holds. */
export function shrink(seed: number, options: ShrinkOptions = {}): Shrunk | undefined {
  const run = options.run ?? ((number, reduction) => runSeed(number, { reduction }));
  const start = options.start ?? { without: [] };
  const first = run(seed, start);
  if (first.ok) return undefined;
  const shrinker = new Shrinker(seed, start, first, options, run);
  shrinker.all();
  return { reduction: shrinker.reduction, result: shrinker.result, runs: shrinker.runs };
}

class Shrinker {
  reduction: Reduction;
  result: SeedResult;
  runs = 1;
  readonly #seed: number;
  readonly #invariant: string | undefined;
  readonly #options: ShrinkOptions;
  readonly #run: (seed: number, reduction: Reduction) => SeedResult;

  constructor(
    seed: number,
    reduction: Reduction,
    result: SeedResult,
    options: ShrinkOptions,
    run: (seed: number, reduction: Reduction) => SeedResult,
  ) {
    this.#seed = seed;
    this.reduction = reduction;
    this.result = result;
    this.#invariant = result.violation?.invariant;
    this.#options = options;
    this.#run = run;
  }

  all(): void {
    for (let before = -1; before !== this.#size();) {
      before = this.#size();
      this.#leaveOut(() => partsOf(this.result.swarm));
      this.#shorten();
      this.#leaveOut(() => this.result.struck);
      this.#fewer();
    }
  }

  /** Grows with everything that is left out. */
  #size(): number {
    const { without, nodes, clients, lanes, resources, instances, safetySeconds } = this.reduction;
    return [nodes, clients, lanes, resources, instances, safetySeconds].reduce<number>((sum, n) => sum - (n ?? 1000), without.length);
  }

  #try(change: Partial<Reduction>): boolean {
    if (this.runs >= (this.#options.runsMax ?? 400) || this.#options.late?.() === true) return false;
    const reduction = { ...this.reduction, ...change };
    this.runs += 1;
    const result = this.#run(this.#seed, reduction);
    if (result.violation?.invariant !== this.#invariant) return false;
    this.reduction = reduction;
    this.result = result;
    this.#options.onStep?.(reduction, this.runs);
    return true;
  }

  /** Delta debugging: all of the candidates at once, then halves, quarters, down to single ones. */
  #leaveOut(candidates: () => readonly string[]): void {
    let length = candidates().length;
    while (length >= 1) {
      let at = 0;
      for (;;) {
        const names = candidates();
        if (at >= names.length) break;
        const chunk = names.slice(at, at + length);
        const { without } = this.reduction;
        if (!this.#try({ without: [...without, ...chunk.filter((name) => !without.includes(name))] })) at += length;
      }
      length = length === 1 ? 0 : Math.ceil(length / 2);
    }
  }

  #shorten(): void {
    const whole = this.reduction.safetySeconds ?? SAFETY_MS / 1000;
    const failedAt = Math.ceil(this.result.simulatedMs / 1000);
    if (failedAt < whole) this.#try({ safetySeconds: failedAt });
    for (;;) {
      const now = this.reduction.safetySeconds ?? whole;
      const shorter = [Math.floor(now / 2), Math.floor(now * 0.8), now - 1].filter((seconds) => seconds >= 1 && seconds < now);
      if (!shorter.some((safetySeconds) => this.#try({ safetySeconds }))) return;
    }
  }

  #fewer(): void {
    const { swarm } = this.result;
    if (swarm.nodes === 5) this.#try({ nodes: 3 });
    for (const [name, has] of [
      ["clients", swarm.clients],
      ["lanes", swarm.lanes],
      ["resources", swarm.resources.length],
      ["instances", swarm.instances],
    ] as const) {
      for (let count = 1; count < has; count++) if (this.#try({ [name]: count })) break;
    }
  }
}
