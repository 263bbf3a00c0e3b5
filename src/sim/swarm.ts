/**
 * What one run is made of: sizes, speeds, and which faults occur how often, drawn from its seed.
 *
 * Each fault is left out of many runs ("swarm testing"): a fault that is always there hides what only happens without it.
 */
import { type Prng } from "../base/index.js";
import { drawTunables, type Tunables } from "../config/index.js";
import type { ClientOptions } from "./client.js";
import type { DiskOptions } from "./disk.js";
import type { NetworkOptions } from "./network.js";
import type { ParticipantOptions } from "./participant.js";
import type { WorkloadOptions } from "./workload.js";

/** Mean time between two faults of a kind, ms; Infinity: never in this run. */
export interface FaultOptions {
  readonly crashNode: number;
  readonly crashLeader: number;
  readonly pauseNode: number;
  readonly pauseLeader: number;
  readonly partition: number;
  readonly isolateLeader: number;
  readonly breakStream: number;
  readonly slowDisk: number;
  readonly clockJump: number;
  readonly handOver: number;
  readonly crashInstance: number;
  readonly crashResource: number;
  readonly killClient: number;
  /** Every node at once. */
  readonly powerCut: number;
  readonly rot: number;
  readonly wipe: number;
  /** Chance that a process dies at a failpoint it passes. */
  readonly failpointChance: number;
  /** Chance that a process dies while it writes a promise. */
  readonly promiseCrashChance: number;
  readonly downMsMean: number;
  readonly pauseMsMean: number;
  readonly partitionMsMean: number;
}

export interface Swarm {
  readonly nodes: 3 | 5;
  readonly safetyMs: number;
  readonly network: NetworkOptions;
  readonly disk: DiskOptions;
  readonly turnMs: number;
  readonly snapshotMsMean: number;
  readonly snapshotFailChance: number;
  readonly tunables: Tunables;
  readonly resources: number;
  readonly accounts: number;
  readonly instances: number;
  readonly clients: number;
  readonly lanes: number;
  readonly registers: number;
  readonly participant: ParticipantOptions;
  readonly client: ClientOptions;
  readonly workload: WorkloadOptions;
  readonly faults: FaultOptions;
  /** How soon a node's links to others tell that they are up or down: a prompt close, or a long silence. */
  readonly linkHintMsMean: number;
}

export function drawSwarm(prng: Prng, safetyMs: number): Swarm {
  const sometimes = (chance: number, value: () => number, otherwise = 0): number => (prng.chance(chance) ? value() : otherwise);
  const between = (min: number, max: number): number => min + prng.float() * (max - min);
  const encodeStreams = prng.chance(0.4);
  const nodes = prng.chance(0.6) ? 3 : 5;
  return {
    nodes,
    safetyMs,
    network: {
      delayMsMin: between(0.05, 2),
      delayMsMean: sometimes(0.3, () => between(3, 25), between(0.2, 3)),
      loss: sometimes(0.5, () => between(0.005, 0.2)),
      duplicate: sometimes(0.5, () => between(0.01, 0.2)),
      reorder: sometimes(0.5, () => between(0.01, 0.3)),
      keepaliveMs: between(300, 4000),
      resetChance: sometimes(0.5, () => between(0.2, 1)),
      silentCrashChance: sometimes(0.4, () => between(0.1, 0.8)),
    },
    disk: {
      syncMsMin: between(0.05, 1),
      syncMsMean: sometimes(0.3, () => between(3, 15), between(0.2, 3)),
      stallChance: sometimes(0.2, () => between(0.001, 0.01)),
      stallMs: between(100, 800),
      checkpointMsMean: between(1, 60),
      loseAllChance: between(0.2, 0.9),
      tornChance: sometimes(0.7, () => between(0.2, 1)),
    },
    turnMs: between(0.02, 0.4),
    snapshotMsMean: between(5, 150),
    snapshotFailChance: sometimes(0.4, () => between(0.05, 0.5)),
    tunables: tunables(prng),
    resources: prng.int(2, 4),
    accounts: prng.int(3, 12),
    instances: prng.chance(0.3) ? 2 : 1,
    clients: prng.int(3, 5),
    lanes: prng.int(1, 2),
    registers: prng.int(1, 3),
    participant: {
      workMsMean: between(0.3, 8),
      lockTimeoutMs: between(10, 200),
      refuseChance: sometimes(0.5, () => between(0.005, 0.08)),
      failChance: sometimes(0.4, () => between(0.005, 0.1)),
      hangChance: sometimes(0.3, () => between(0.002, 0.03)),
      inquiryDelayMs: between(200, 1000),
      reconnectMsMean: between(20, 300),
      encodeStreams,
    },
    client: {
      reconnectMsMean: between(20, 300),
      attemptMs: between(300, 1500),
      deadlineMs: between(2500, 4500),
      encodeStreams,
      skewMs: 0,
    },
    workload: {
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
      timeoutMs: prng.int(1200, 6000),
    },
    faults: faults(prng),
    linkHintMsMean: prng.chance(0.7) ? between(0.5, 20) : between(200, 3000),
  };
}

function faults(prng: Prng): FaultOptions {
  const rate = (chance: number, min: number, max: number): number => (prng.chance(chance) ? prng.int(min, max) : Infinity);
  return {
    crashNode: rate(0.5, 6_000, 40_000),
    crashLeader: rate(0.5, 8_000, 40_000),
    pauseNode: rate(0.35, 6_000, 40_000),
    pauseLeader: rate(0.35, 8_000, 40_000),
    partition: rate(0.45, 6_000, 30_000),
    isolateLeader: rate(0.35, 8_000, 40_000),
    breakStream: rate(0.5, 500, 10_000),
    slowDisk: rate(0.3, 5_000, 30_000),
    clockJump: rate(0.3, 3_000, 20_000),
    handOver: rate(0.35, 6_000, 30_000),
    crashInstance: rate(0.5, 4_000, 30_000),
    crashResource: rate(0.4, 6_000, 30_000),
    killClient: rate(0.4, 4_000, 30_000),
    powerCut: rate(0.2, 10_000, 40_000),
    rot: rate(0.25, 10_000, 40_000),
    wipe: rate(0.12, 20_000, 60_000),
    promiseCrashChance: prng.chance(0.3) ? prng.float() * 0.1 : 0,
    failpointChance: prng.chance(0.5) ? prng.float() * 0.004 : 0,
    downMsMean: prng.int(100, 4000),
    pauseMsMean: prng.int(100, 3000),
    partitionMsMean: prng.int(300, 5000),
  };
}

/** Settings from their simulation ranges, narrowed so that sixty seconds hold elections, checkpoints, retries and forgetting. */
function tunables(prng: Prng): Tunables {
  const drawn = drawTunables((min, max) => prng.int(min, max));
  const silence = prng.int(150, 800);
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
    historyEntriesKeep: small ? prng.int(16, 48) : drawn.historyEntriesKeep,
    checkpointEntries: small ? prng.int(16, 64) : drawn.checkpointEntries,
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
