/**
 * One seed: a safety phase under faults, then a liveness phase without, then every check.
 */
import { formatZxid } from "../base/index.js";
import {
  checkAcknowledged,
  checkAnswers,
  checkConfirms,
  checkConservation,
  checkLedger,
  checkRegisters,
  checkReserves,
  type HistoryEvent,
  type Violation,
} from "../check/index.js";
import { buildCluster, startCluster, type Cluster, type Plan } from "./cluster.js";
import { Nemesis } from "./nemesis.js";
import { reduceSwarm, type Reduction } from "./reduction.js";
import { drawSwarm, type Swarm } from "./swarm.js";
import { sleep, spawn, type Task } from "./task.js";
import { World } from "./world.js";

export interface SeedOptions {
  /** Length of the safety phase, simulated ms. Default 60 s. */
  readonly safetyMs?: number;
  /** Keep a readable trace. It changes nothing of what happens. */
  readonly trace?: boolean;
  /** Leaves things out of what was drawn. */
  readonly reduction?: Reduction;
  /** Changes what was drawn, for directed runs. */
  readonly adjust?: (swarm: Swarm) => Swarm;
}

export interface SeedResult {
  readonly seed: number;
  readonly ok: boolean;
  readonly violation: Violation | undefined;
  /** Equal for equal runs. */
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly decisions: number;
  readonly commits: number;
  readonly leaderChanges: number;
  readonly coverage: ReadonlyMap<string, number>;
  /** Registers whose history was too much work to judge. */
  readonly unjudged: number;
  readonly history: readonly HistoryEvent[];
  readonly swarm: Swarm;
  /** Every fault that struck, as `kind#number`, in order. */
  readonly struck: readonly string[];
  /** Readable, oldest first; empty unless asked for. */
  readonly trace: readonly string[];
}

export const SAFETY_MS = 60_000;
/** After everything is healed: a leader within this, new commits within the next, and rest within the last. */
const LEADER_MS_MAX = 20_000;
const COMMIT_MS_MAX = 20_000;
const REST_MS_MAX = 60_000;
const POLL_MS = 50;
const OPERATOR_MS = 2_000;
/** Tries that are still on their way when everything else is at rest arrive within this, most of them, and find their cancel. */
const LATE_MS = 5_000;
/** A run below these shows nothing. */
const DECISIONS_MIN = 50;
const COMMITS_MORE = 3;

export function runSeed(seed: number, options: SeedOptions = {}): SeedResult {
  const world = new World(seed, options.trace ?? false);
  const drawn = drawSwarm((label) => world.fork(label), options.safetyMs ?? SAFETY_MS);
  const adjusted = options.adjust === undefined ? drawn : options.adjust(drawn);
  const swarm = reduceSwarm(adjusted, options.reduction ?? { without: [] });
  world.mark("run", "swarm", () => JSON.stringify(swarm));
  const plan: Plan = { failpointChance: 0, buggify: true, onDied: () => undefined, onSubmitted: () => undefined };
  const cluster = buildCluster(world, swarm, plan);
  const nemesis = new Nemesis(cluster, plan);
  startCluster(cluster);
  nemesis.start();
  world.runUntil(swarm.safetyMs);
  world.guard(() => nemesis.stop());
  const { unjudged } = finish(cluster);
  countSituations(cluster);
  return {
    seed,
    ok: world.violation === undefined,
    violation: world.violation,
    traceHash: world.traceHash,
    simulatedMs: world.now,
    events: world.steps,
    decisions: cluster.oracle.decisions,
    commits: world.coverage.get("commit") ?? 0,
    leaderChanges: Math.max(0, cluster.oracle.serving.size - 1),
    coverage: world.coverage,
    unjudged,
    history: cluster.recorder.events,
    swarm,
    struck: nemesis.struck,
    trace: world.traceLines,
  };
}

function finish(cluster: Cluster): { readonly unjudged: number } {
  const { world, shared, oracle, recorder, resources, services } = cluster;
  const bound = (ms: number, what: string, done: () => boolean, problem: () => string): boolean => {
    const until = world.now + ms;
    while (world.violation === undefined && !done()) {
      if (world.now >= until) {
        world.fail({ invariant: "liveness", message: `${ms} ms after everything was healed ${what}: ${problem()}` });
        return false;
      }
      world.runUntil(world.now + POLL_MS);
    }
    return world.violation === undefined;
  };
  if (
    !bound(
      LEADER_MS_MAX,
      "there is no leader",
      () => cluster.leader() !== undefined,
      () => describe(cluster),
    )
  )
    return { unjudged: 0 };
  const enough = shared.committed + COMMITS_MORE;
  if (
    !bound(
      COMMIT_MS_MAX,
      "new transactions do not commit",
      () => shared.committed >= enough,
      () => describe(cluster),
    )
  )
    return { unjudged: 0 };
  shared.stopped = true;
  spawn(world, () => true, operator(cluster));
  const rests = (): boolean =>
    bound(
      REST_MS_MAX,
      "the cluster is not at rest",
      () => atRest(cluster),
      () => describe(cluster),
    );
  if (!rests()) return { unjudged: 0 };
  if (services.length > 0) {
    world.runUntil(world.now + LATE_MS);
    if (!rests()) return { unjudged: 0 };
  }
  const rows = resources.flatMap((resource) => resource.effects().map((row) => ({ participant: resource.name, ...row })));
  const totals = resources.map((resource) => ({ participant: resource.name, total: resource.total }));
  const registers = checkRegisters(recorder.events);
  const found = [
    ...checkReplicas(cluster),
    ...checkConfirms(oracle.decided, new Set(services.map(({ name }) => name)), rows),
    ...checkReserves(services.map(({ name, reserved }) => ({ participant: name, reserved }))),
    ...checkLedger(oracle.decided, rows),
    ...checkAnswers(recorder.events),
    ...checkAcknowledged(recorder.events, oracle.decided, rows),
    ...checkConservation(totals, 0),
    ...registers.violations,
  ];
  for (const violation of found.slice(0, 1)) world.fail(violation);
  if (oracle.decisions < DECISIONS_MIN) world.cover("few-decisions");
  return { unjudged: registers.unknown.length };
}

/** What an operator does after an outage: looks for branches that were paused, and has everything of them sent again. */
function* operator({ world, clients }: Cluster): Task<void> {
  const [client] = clients;
  if (client === undefined) return;
  for (;;) {
    yield* sleep(world, OPERATOR_MS);
    if (!client.up) continue;
    const { answer } = yield* client.ask({ kind: "list", state: "in-doubt", limit: 100 });
    if (answer?.kind !== "transactions") continue;
    for (const { gid, branches } of answer.transactions) {
      if (!branches.some(({ phase }) => phase === "paused")) continue;
      world.cover("operator-retry");
      yield* client.ask({ kind: "retry", gid });
    }
  }
}

/** Every replica at the same entry, nothing owed to any participant, nothing locked, no operation open. */
function atRest({ nodes, resources }: Cluster): boolean {
  if (resources.some((resource) => resource.preparedCount > 0 || resource.lockCount > 0)) return false;
  const applied = new Set<string>();
  for (const { replica, disk } of nodes) {
    if (replica === undefined || disk.damage !== undefined) return false;
    const { open, sealed, decidedUnfinished } = replica.state.counts();
    if (open + sealed + decidedUnfinished > 0) return false;
    applied.add(formatZxid(replica.applied));
  }
  return applied.size === 1;
}

/** I12: the whole state is equal everywhere, not only its digest. */
function checkReplicas({ nodes }: Cluster): readonly Violation[] {
  const states = new Map<string, string>();
  for (const { name, replica } of nodes) if (replica !== undefined) states.set(replica.state.canonical(), name);
  if (states.size <= 1) return [];
  const [[one, a], [other, b]] = [...states] as [[string, string], [string, string]];
  let at = 0;
  while (one[at] === other[at]) at += 1;
  const around = (text: string): string => text.slice(Math.max(0, at - 100), at + 100);
  return [{ invariant: "I12-replicas", message: `${a} and ${b} differ:\n${a}: …${around(one)}…\n${b}: …${around(other)}…` }];
}

/** Where everything stands, for a run that does not come to rest. */
function describe({ nodes, resources }: Cluster): string {
  const lines = nodes.map(({ name, replica, disk }) => {
    if (replica === undefined) return `${name} is down`;
    const { zab, applied, counts, driver } = replica.status();
    const damage = disk.damage === undefined ? "" : `, damage ${disk.damage}`;
    return (
      `${name} ${JSON.stringify(zab.role)} applied ${formatZxid(applied)} committed ${formatZxid(zab.committed)} ` +
      `durable ${formatZxid(zab.lastDurable)}${damage} ${JSON.stringify(counts)} ${JSON.stringify(driver)}`
    );
  });
  for (const resource of resources) {
    const doubts = resource.prepared().map(({ gid, branch }) => `${gid}/${branch}`);
    lines.push(`${resource.name} ${resource.preparedCount} prepared, ${resource.lockCount} locks ${doubts.slice(0, 5).join(" ")}`);
  }
  return `\n${lines.join("\n")}`;
}

/** How each node was brought up to date, and other situations that only the end of a run tells. */
function countSituations({ oracle, world }: Cluster): void {
  if (oracle.serving.size > 1) world.cover("leader-change", oracle.serving.size - 1);
}
