/**
 * A run with less in it: what is left out of a seed's swarm, and how that is written on a command line.
 *
 * What is left out does not change what the rest draws, so a reduced run is still about the same seed.
 */
import { BUGGIFY_POINTS } from "../base/index.js";
import { FAULT_KINDS } from "./faults.js";
import type { Swarm } from "./swarm.js";

export interface Reduction {
  /** Names of {@link PARTS}, or single faults as `kind#number`. */
  readonly without: readonly string[];
  readonly nodes?: 3 | undefined;
  readonly clients?: number | undefined;
  readonly lanes?: number | undefined;
  readonly resources?: number | undefined;
  readonly instances?: number | undefined;
  /** Length of the safety phase. */
  readonly safetySeconds?: number | undefined;
}

type Part = (swarm: Swarm) => Swarm;

const workload =
  (change: Partial<Swarm["workload"]>): Part =>
  (swarm) => ({ ...swarm, workload: { ...swarm.workload, ...change } });
const network =
  (change: Partial<Swarm["network"]>): Part =>
  (swarm) => ({ ...swarm, network: { ...swarm.network, ...change } });
const disk =
  (change: Partial<Swarm["disk"]>): Part =>
  (swarm) => ({ ...swarm, disk: { ...swarm.disk, ...change } });
const participant =
  (change: Partial<Swarm["participant"]>): Part =>
  (swarm) => ({ ...swarm, participant: { ...swarm.participant, ...change } });

/** Everything that can be left out of a run, by name. */
export const PARTS: ReadonlyMap<string, Part> = new Map<string, Part>([
  ...FAULT_KINDS.map((kind): [string, Part] => [
    kind,
    (swarm) => ({ ...swarm, faults: { ...swarm.faults, everyMs: { ...swarm.faults.everyMs, [kind]: Infinity } } }),
  ]),
  ["failpoints", (swarm) => ({ ...swarm, faults: { ...swarm.faults, failpointChance: 0 } })],
  ["promise-crashes", (swarm) => ({ ...swarm, faults: { ...swarm.faults, promiseCrashChance: 0 } })],
  ["loss", network({ loss: 0 })],
  ["duplicates", network({ duplicate: 0 })],
  ["reordering", network({ reorder: 0 })],
  ["resets", network({ resetChance: 0 })],
  ["silent-crashes", network({ silentCrashChance: 0 })],
  ["stalls", disk({ stallChance: 0 })],
  ["torn-writes", disk({ tornChance: 0 })],
  ["snapshot-failures", (swarm) => ({ ...swarm, snapshotFailChance: 0 })],
  ["tiny-frames", (swarm) => ({ ...swarm, tinyFrames: false })],
  ["refusals", participant({ refuseChance: 0 })],
  ["failed-calls", participant({ failChance: 0 })],
  ["lost-calls", participant({ hangChance: 0 })],
  ["brought", workload({ brought: 0 })],
  ["mixed", workload({ mixed: 0 })],
  ["enlisted", workload({ enlisted: 0 })],
  ["alone", workload({ alone: 0 })],
  [
    "tcc",
    (swarm) => ({
      ...swarm,
      tcc: { ...swarm.tcc, services: 0 },
      workload: { ...swarm.workload, tcc: 0 },
      participant: { ...swarm.participant, afterBeginChance: 0 },
    }),
  ],
  ["delegation", (swarm) => ({ ...swarm, delegation: false })],
  ["status", workload({ status: 0 })],
  ["registers", workload({ register: 0 })],
  ["client-aborts", workload({ clientAborts: 0 })],
  ["races", workload({ race: 0 })],
  ["repeats", workload({ repeat: 0 })],
  ["deaths", workload({ dies: 0 })],
  ["reckless", workload({ reckless: 0 })],
  ...BUGGIFY_POINTS.map((point): [string, Part] => [`rare-${point}`, (swarm) => ({ ...swarm, buggify: { ...swarm.buggify, [point]: 0 } })]),
]);

/** Throws RangeError for a name that means nothing. */
export function reduceSwarm(swarm: Swarm, reduction: Reduction): Swarm {
  let out: Swarm = {
    ...swarm,
    nodes: reduction.nodes ?? swarm.nodes,
    clients: Math.min(swarm.clients, reduction.clients ?? Infinity),
    lanes: Math.min(swarm.lanes, reduction.lanes ?? Infinity),
    resources: swarm.resources.slice(0, reduction.resources ?? swarm.resources.length),
    instances: Math.min(swarm.instances, reduction.instances ?? Infinity),
    safetyMs: reduction.safetySeconds === undefined ? swarm.safetyMs : reduction.safetySeconds * 1000,
  };
  const single = new Set<string>();
  for (const name of reduction.without) {
    const part = PARTS.get(name);
    if (part !== undefined) out = part(out);
    else if (isPart(name)) single.add(name);
    else throw new RangeError(`there is no part ${name} to leave out`);
  }
  return { ...out, without: single };
}

/** A name that may stand in `without`. */
export function isPart(name: string): boolean {
  if (PARTS.has(name)) return true;
  const [kind, number, ...more] = name.split("#");
  return more.length === 0 && FAULT_KINDS.some((known) => known === kind) && /^[1-9]\d*$/.test(number ?? "");
}

/** Names whose removal changes this swarm. */
export function partsOf(swarm: Swarm): readonly string[] {
  const whole = JSON.stringify(swarm);
  return [...PARTS].filter(([, part]) => JSON.stringify(part(swarm)) !== whole).map(([name]) => name);
}

/** The options that make `quorate sim` run exactly this. */
export function commandOf(seed: number, reduction: Reduction): string {
  const { without, nodes, clients, lanes, resources, instances, safetySeconds } = reduction;
  const option = (name: string, value: number | undefined): string => (value === undefined ? "" : ` --${name} ${value}`);
  return (
    `quorate sim --seed ${seed}` +
    option("safety-seconds", safetySeconds) +
    option("nodes", nodes) +
    option("clients", clients) +
    option("lanes", lanes) +
    option("resources", resources) +
    option("instances", instances) +
    (without.length === 0 ? "" : ` --without ${without.join(",")}`)
  );
}
