/**
 * What a benchmark's processes and the rest of the machine spent, measured second by second.
 */
import { performance } from "node:perf_hooks";
import type { Disturbance } from "./clean-seconds.js";
import { familyUsage, machineTimes, processUsage, type MachineTimes } from "./process-usage.js";

export interface Watched {
  readonly name: string;
  readonly pid: number;
  /** A coordinator or another server: counted apart from the driver. */
  readonly role: "node" | "participant" | "driver";
  /** Its children are its own: a database server. */
  readonly family: boolean;
}

/** In cores: CPU seconds in a second. */
export interface Usage extends Disturbance {
  readonly cores: Readonly<Record<string, number>>;
  /** Everything of ours together. */
  readonly total: number;
  readonly idle: number | undefined;
}

interface Snapshot {
  readonly atMs: number;
  readonly own: ReadonlyMap<string, number>;
  readonly machine: MachineTimes | undefined;
}

export class UsageMeter {
  readonly watched: readonly Watched[];
  /** False: there are processes of ours that cannot be seen from here, so nothing is known of the others. */
  readonly #complete: boolean;
  readonly #seconds: { readonly usage: Usage; readonly lengthMs: number }[] = [];
  #last: Snapshot | undefined;

  constructor(watched: readonly Watched[], complete: boolean) {
    this.watched = watched;
    this.#complete = complete;
  }

  /** A stretch of measured time begins. */
  begin(): void {
    this.#last = this.#snapshot();
  }

  /** A second of it has passed. */
  second(): void {
    const before = this.#last;
    const now = this.#snapshot();
    if (before !== undefined) this.#seconds.push({ usage: this.#between(before, now), lengthMs: now.atMs - before.atMs });
    this.#last = now;
  }

  get seconds(): readonly Usage[] {
    return this.#seconds.map((each) => each.usage);
  }

  /** The mean over the seconds that `counts`, all by default; undefined without one. */
  mean(counts: (second: number) => boolean = () => true): Usage | undefined {
    const chosen = this.#seconds.filter((_, second) => counts(second));
    const ms = chosen.reduce((sum, each) => sum + each.lengthMs, 0);
    if (ms === 0) return undefined;
    const mean = (of: (usage: Usage) => number): number => chosen.reduce((sum, each) => sum + of(each.usage) * each.lengthMs, 0) / ms;
    const known = (of: (usage: Usage) => number | undefined): number | undefined =>
      chosen.some((each) => of(each.usage) === undefined) ? undefined : mean((usage) => of(usage) ?? 0);
    return {
      cores: Object.fromEntries(this.watched.map(({ name }) => [name, mean((usage) => usage.cores[name] ?? 0)])),
      total: mean((usage) => usage.total),
      foreign: known((usage) => usage.foreign),
      steal: known((usage) => usage.steal),
      idle: known((usage) => usage.idle),
    };
  }

  /** Resident memory now, by process, MiB; a process that is gone has none. */
  rssMiB(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.watched.map((each) => [each.name, Math.round(usageOf(each)?.rssMiB ?? 0)]));
  }

  #snapshot(): Snapshot {
    return {
      atMs: performance.now(),
      own: new Map(this.watched.map((each) => [each.name, usageOf(each)?.cpuSeconds ?? 0])),
      machine: machineTimes(),
    };
  }

  #between(before: Snapshot, now: Snapshot): Usage {
    const seconds = (now.atMs - before.atMs) / 1000;
    const cores = Object.fromEntries(
      // A process that ended meanwhile reads as 0 and has spent nothing that can be known.
      [...now.own].map(([name, cpu]) => [name, Math.max(0, cpu - (before.own.get(name) ?? 0)) / seconds] as const),
    );
    const total = Object.values(cores).reduce((sum, each) => sum + each, 0);
    const machine = (of: keyof MachineTimes): number | undefined =>
      now.machine === undefined || before.machine === undefined ? undefined : (now.machine[of] - before.machine[of]) / seconds;
    const busy = machine("busySeconds");
    return {
      cores,
      total,
      foreign: busy === undefined || !this.#complete ? undefined : Math.max(0, busy - total),
      steal: machine("stealSeconds"),
      idle: machine("idleSeconds"),
    };
  }
}

function usageOf({ pid, family }: Watched): { readonly cpuSeconds: number; readonly rssMiB: number } | undefined {
  return family ? familyUsage(pid) : processUsage(pid);
}
