/**
 * What one run is made of: sizes, speeds, faults, rare branches, drawn from its seed.
 *
 * Every group draws from a generator of its own, so that a new option changes nothing of what the others draw.
 */
import { BUGGIFY_POINTS, type BuggifyPoint, type Prng } from "../base/index.js";
import { drawTunables, type Tunables } from "../config/index.js";
import type { ClientOptions } from "./client.js";
import type { DiskOptions } from "./disk.js";
import { drawFaults, type FaultOptions } from "./faults.js";
import type { NetworkOptions } from "./network.js";
import type { ParticipantOptions } from "./participant.js";
import type { ResourceKind } from "./resource-manager.js";
import type { SqlOptions } from "./sql-protocol.js";
import type { TccOptions } from "./tcc-resource.js";
import type { WorkloadOptions } from "./workload.js";

export interface Swarm {
  readonly nodes: 3 | 5;
  readonly safetyMs: number;
  readonly network: NetworkOptions;
  readonly disk: DiskOptions;
  readonly turnMs: number;
  /** Peers get each message in a frame of its own. */
  readonly tinyFrames: boolean;
  readonly snapshotMsMean: number;
  readonly snapshotFailChance: number;
  readonly tunables: Tunables;
  /** Leaders leave a transaction of one voter to it. */
  readonly delegation: boolean;
  readonly resources: readonly ResourceKind[];
  readonly accounts: number;
  readonly instances: number;
  readonly clients: number;
  readonly lanes: number;
  readonly registers: number;
  readonly participant: ParticipantOptions;
  readonly sql: SqlOptions;
  /** How many services reserve, and how. */
  readonly tcc: TccOptions & { readonly services: number };
  readonly client: ClientOptions;
  readonly workload: WorkloadOptions;
  readonly faults: FaultOptions;
  /** Chance of each rare branch of the product's own code, each time it is passed. */
  readonly buggify: Readonly<Record<BuggifyPoint, number>>;
  /** How soon a node's links to others tell that they are up or down: a prompt close, or a long silence. */
  readonly linkHintMsMean: number;
  /** Single faults that do not strike, as `kind#number`. */
  readonly without: ReadonlySet<string>;
}

type Fork = (label: string) => Prng;

const RESOURCES_MAX = 4;
/** A point is taken in one run of this many. */
const RUNS_PER_POINT = 4;
/** How often a point may be taken at most, where that is not one time in three. A rare branch that is taken all the time is another protocol. */
const BUGGIFY_CHANCE_MAX: Partial<Record<BuggifyPoint, number>> = {
  "needless-election": 0.001,
  "compact-at-once": 1,
  "early-conclusion": 1,
  "restore-one": 1,
  "checkpoint-now": 0.02,
  "view-now": 0.1,
};

/** `fork` gives the generator of one label. */
export function drawSwarm(fork: Fork, safetyMs: number): Swarm {
  const size = draws(fork("swarm/size"));
  const speed = draws(fork("swarm/speed"));
  const { between, sometimes, prng } = size;
  const encodeStreams = prng.chance(0.4);
  const tcc = drawTcc(draws(fork("swarm/tcc")));
  return {
    nodes: prng.chance(0.6) ? 3 : 5,
    safetyMs,
    clients: prng.int(3, 5),
    lanes: prng.int(1, 2),
    registers: prng.int(1, 3),
    accounts: prng.int(3, 12),
    instances: prng.chance(0.3) ? 2 : 1,
    resources: Array.from({ length: prng.int(2, RESOURCES_MAX) }, () => (prng.chance(0.5) ? "kv" : "sql")),
    tinyFrames: prng.chance(0.15),
    linkHintMsMean: prng.chance(0.7) ? between(0.5, 20) : between(200, 3000),
    turnMs: speed.sometimes(0.5, () => speed.between(0.4, 4), speed.between(0.02, 0.4)),
    snapshotMsMean: speed.between(5, 150),
    snapshotFailChance: sometimes(0.4, () => between(0.05, 0.5)),
    network: drawNetwork(draws(fork("swarm/network"))),
    disk: drawDisk(draws(fork("swarm/disk"))),
    tunables: tunables(fork),
    delegation: fork("swarm/delegation").chance(0.85),
    participant: { ...drawParticipant(draws(fork("swarm/participant")), encodeStreams), afterBeginChance: tcc.afterBeginChance },
    sql: drawSql(draws(fork("swarm/sql"))),
    tcc: tcc.options,
    client: {
      reconnectMsMean: speed.between(20, 300),
      attemptMs: speed.between(300, 1500),
      deadlineMs: speed.between(2500, 4500),
      encodeStreams,
      skewMs: 0,
    },
    workload: { ...drawWorkload(draws(fork("swarm/workload"))), tcc: tcc.weight },
    faults: drawFaults((label) => fork(`swarm/fault/${label}`)),
    buggify: drawBuggify(fork),
    without: new Set(),
  };
}

interface Draws {
  readonly prng: Prng;
  between(min: number, max: number): number;
  /** Zero, or `otherwise`, in many runs. */
  sometimes(chance: number, value: () => number, otherwise?: number): number;
}

function draws(prng: Prng): Draws {
  return {
    prng,
    between: (min, max) => min + prng.float() * (max - min),
    sometimes: (chance, value, otherwise = 0) => (prng.chance(chance) ? value() : otherwise),
  };
}

function drawNetwork({ between, sometimes }: Draws): NetworkOptions {
  return {
    delayMsMin: between(0.05, 2),
    delayMsMean: sometimes(0.3, () => between(3, 25), between(0.2, 3)),
    loss: sometimes(0.5, () => between(0.005, 0.2)),
    duplicate: sometimes(0.5, () => between(0.01, 0.2)),
    reorder: sometimes(0.5, () => between(0.01, 0.3)),
    keepaliveMs: between(300, 4000),
    resetChance: sometimes(0.5, () => between(0.2, 1)),
    silentCrashChance: sometimes(0.4, () => between(0.1, 0.8)),
  };
}

function drawDisk({ between, sometimes }: Draws): DiskOptions {
  return {
    syncMsMin: between(0.05, 1),
    syncMsMean: sometimes(0.3, () => between(3, 15), between(0.2, 3)),
    stallChance: sometimes(0.2, () => between(0.001, 0.01)),
    stallMs: between(100, 800),
    checkpointMsMean: between(1, 60),
    loseAllChance: between(0.2, 0.9),
    tornChance: sometimes(0.7, () => between(0.2, 1)),
  };
}

interface Tries {
  readonly options: Swarm["tcc"];
  readonly weight: number;
  readonly afterBeginChance: number;
}

/** Half of all runs have no service that reserves, and nothing else that comes with them. */
function drawTcc({ between, sometimes, prng }: Draws): Tries {
  const services = prng.chance(0.5) ? prng.int(1, 2) : 0;
  const weight = between(0.5, 2.5);
  const options = {
    services,
    syncMsMean: sometimes(0.5, () => between(5, 60), between(0.2, 3)),
    lateChance: sometimes(0.7, () => between(0.02, 0.2)),
    lateMsMean: between(300, 4000),
    asks: prng.chance(0.25),
  };
  const afterBeginChance = sometimes(0.4, () => between(0.3, 1));
  return services === 0 ? { options, weight: 0, afterBeginChance: 0 } : { options, weight, afterBeginChance };
}

function drawParticipant({ between, sometimes }: Draws, encodeStreams: boolean): Omit<ParticipantOptions, "afterBeginChance"> {
  return {
    workMsMean: between(0.3, 8),
    lockTimeoutMs: between(10, 200),
    refuseChance: sometimes(0.5, () => between(0.005, 0.08)),
    failChance: sometimes(0.4, () => between(0.005, 0.1)),
    hangChance: sometimes(0.3, () => between(0.002, 0.03)),
    inquiryDelayMs: between(200, 1000),
    reconnectMsMean: between(20, 300),
    encodeStreams,
    onePhaseChance: sometimes(0.2, () => between(0, 0.9), 1),
  };
}

function drawSql({ between, sometimes }: Draws): SqlOptions {
  return {
    roundTripMsMean: between(0.1, 2),
    syncMsMean: sometimes(0.3, () => between(5, 30), between(0.2, 3)),
    noticeMsMean: between(0.5, 50),
    lockTimeoutMs: between(10, 400),
  };
}

function drawWorkload({ between, sometimes, prng }: Draws): Omit<WorkloadOptions, "tcc"> {
  return {
    thinkMsMean: between(250, 700),
    asked: between(0.5, 2),
    brought: sometimes(0.7, () => between(0.2, 1.2)),
    mixed: sometimes(0.7, () => between(0.2, 1)),
    enlisted: sometimes(0.6, () => between(0.2, 0.8)),
    status: between(0.1, 0.5),
    register: between(0.2, 1),
    clientAborts: sometimes(0.6, () => between(0.01, 0.1)),
    race: sometimes(0.6, () => between(0.02, 0.25)),
    repeat: sometimes(0.7, () => between(0.05, 0.3)),
    dies: sometimes(0.4, () => between(0.002, 0.02)),
    reckless: sometimes(0.3, () => between(0.01, 0.06)),
    resourceMsMean: between(0.5, 8),
    lockTimeoutMs: between(10, 200),
    timeoutMs: prng.int(1200, 6000),
    alone: sometimes(0.7, () => between(0.3, 1.5)),
  };
}

/** No rare branch at all. */
export function noBuggify(): Record<BuggifyPoint, number> {
  return Object.fromEntries(BUGGIFY_POINTS.map((point) => [point, 0])) as Record<BuggifyPoint, number>;
}

function drawBuggify(fork: Fork): Record<BuggifyPoint, number> {
  return Object.fromEntries(
    BUGGIFY_POINTS.map((point) => {
      const prng = fork(`swarm/buggify/${point}`);
      const max = BUGGIFY_CHANCE_MAX[point] ?? 0.33;
      return [point, prng.int(1, RUNS_PER_POINT) === 1 ? max * (0.1 + 0.9 * prng.float()) : 0];
    }),
  ) as Record<BuggifyPoint, number>;
}

/** Settings from their simulation ranges, narrowed so that sixty seconds hold elections, checkpoints, retries and forgetting. */
function tunables(fork: Fork): Tunables {
  const drawn = drawTunables((min, max, key) => fork(`swarm/setting/${key}`).int(min, max));
  const prng = fork("swarm/settings");
  const silence = prng.int(150, 800);
  const few = prng.chance(0.15);
  const small = prng.chance(0.75);
  const short = prng.chance(0.5);
  return {
    ...drawn,
    pingIntervalMs: prng.int(20, Math.floor(silence / 4)),
    followerSilenceMsMin: silence,
    followerSilenceMsMax: silence + prng.int(0, 1000),
    quorumLossMs: silence + prng.int(0, 700),
    finalizeWaitMs: prng.int(20, 250),
    notifyResendMsMin: prng.int(10, 60),
    notifyResendMsMax: prng.int(100, 500),
    initLimitMs: prng.int(500, 3000),
    historyEntriesKeep: few ? 16 : small ? prng.int(16, 48) : drawn.historyEntriesKeep,
    checkpointEntries: few ? prng.int(1, 8) : small ? prng.int(16, 64) : drawn.checkpointEntries,
    retryDelayMsMin: prng.int(20, 200),
    retryDelayMsMax: prng.int(300, 1500),
    attemptsBeforePause: prng.int(3, 30),
    callTimeoutMs: prng.int(200, 1500),
    breakerOpenMs: prng.int(100, 800),
    transactionTimeoutMs: prng.int(1500, 6000),
    clientLostMs: prng.int(300, 2500),
    retentionMs: short ? prng.int(10_000, 15_000) : drawn.retentionMs,
    floorIntervalMs: short ? prng.int(500, 2_000) : drawn.floorIntervalMs,
    doneDelayMs: prng.int(0, 200),
    viewIntervalMs: prng.int(100, 2000),
  };
}
