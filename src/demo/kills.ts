/**
 * Whom kill -9 hits during a run, and when: never before it hurts.
 */
import { performance } from "node:perf_hooks";
import type { NodeId } from "../base/index.js";
import type { InDoubtMeter } from "./in-doubt-meter.js";

/** The cluster under the run; nodes are real processes. */
export interface Victims {
  readonly ids: readonly NodeId[];
  alive(id: NodeId): boolean;
  kill9(id: NodeId): Promise<void>;
  /** Resolves when the node serves again: only then may another be killed, for the promise is to a living majority. */
  restart(id: NodeId): Promise<void>;
}

/** A process that is no coordinator: a participant's, or a database server. */
export interface Target {
  readonly name: string;
  kill9(): Promise<void>;
  /** Resolves when it serves again, on the data it had. */
  restart(): Promise<void>;
}

export type KillMode = "leader" | "none" | "random" | "participant" | "database";

/** The run as it stands. */
export interface Moment {
  /** How much of it is over, 0 to 1. */
  progress(): number;
  inFlight(): number;
  leader(): NodeId | undefined;
  stopped(): boolean;
}

const IN_FLIGHT_AT_KILL_MIN = 8;
const LEADER_KILL_AT = 0.4;
const RANDOM_KILL_EVERY_MS = 1_000;
const RESTART_AFTER_MS = 500;

export class Kills {
  readonly #mode: KillMode;
  readonly #victims: Victims | undefined;
  readonly #targets: readonly Target[];
  readonly #meter: InDoubtMeter;
  readonly #moment: Moment;
  kills = 0;
  leaderKills = 0;
  leaderKilled: NodeId | undefined;
  readonly targetsKilled: string[] = [];
  inFlightAtKill = 0;
  preparedAtKill = 0;
  firstKillMs: number | undefined;

  /** `targets`: killed one after another, each once, where the mode is participant or database. */
  constructor(mode: KillMode, victims: Victims | undefined, targets: readonly Target[], meter: InDoubtMeter, moment: Moment) {
    this.#mode = mode;
    this.#victims = victims;
    this.#targets = targets;
    this.#meter = meter;
    this.#moment = moment;
  }

  /** Resolves when there is nobody left to kill, or the run is over and whoever was killed is back. */
  async loop(): Promise<void> {
    if (this.#mode === "participant" || this.#mode === "database") return this.#killTargets();
    if (this.#victims === undefined || this.#mode === "none") return;
    if (this.#mode === "leader") await this.#killLeaderOnce(this.#victims);
    else await this.#killRandomly(this.#victims);
  }

  /** Why the kills of this run show too little, in words. */
  problems(): readonly string[] {
    switch (this.#mode) {
      case "none":
        return [];
      case "random":
        return this.kills === 0 ? ["nobody was killed"] : [];
      case "leader":
        return this.kills === 0 ? ["the leader was never killed: too few transfers were in flight"] : [];
      case "participant":
      case "database":
        return this.targetsKilled.length < this.#targets.length || this.#targets.length === 0
          ? [`only ${this.targetsKilled.length} of ${this.#targets.length} were killed: too few transfers were in flight`]
          : [];
    }
  }

  /** Enough transfers are in flight, and a branch has voted yes and knows nothing yet. */
  #hurts(): boolean {
    return this.#moment.inFlight() >= IN_FLIGHT_AT_KILL_MIN && this.#meter.open >= 1;
  }

  /** Whether it hurts now, waiting until `progress`; false when the run is over before. */
  async #until(progress: number): Promise<boolean> {
    while (!this.#moment.stopped()) {
      const due = this.#moment.progress() >= progress;
      if (due && this.#hurts()) return true;
      await (due ? new Promise((resolve) => setImmediate(resolve)) : sleep(1));
    }
    return false;
  }

  async #killLeaderOnce(victims: Victims): Promise<void> {
    const leader = this.#moment.leader();
    if (leader !== undefined && (await this.#until(LEADER_KILL_AT))) await this.#killNode(victims, leader, true);
  }

  async #killTargets(): Promise<void> {
    for (const [i, target] of this.#targets.entries()) {
      if (!(await this.#until((i + 1) / (this.#targets.length + 1)))) return;
      this.#note();
      await target.kill9();
      this.kills += 1;
      this.targetsKilled.push(target.name);
      await sleep(RESTART_AFTER_MS);
      await target.restart();
    }
  }

  async #killRandomly(victims: Victims): Promise<void> {
    let turn = 0;
    while (!this.#moment.stopped()) {
      const nextMs = performance.now() + RANDOM_KILL_EVERY_MS;
      const leader = this.#moment.leader();
      // Every third kill aims at the leader, the others at anybody: all roles die, and often enough.
      const candidates = victims.ids.filter((id) => victims.alive(id));
      const victim = turn++ % 3 === 0 && leader !== undefined ? leader : candidates[Math.floor(Math.random() * candidates.length)];
      if (victim !== undefined && candidates.length === victims.ids.length) {
        await this.#killNode(victims, victim, victim === leader);
        await sleep(RESTART_AFTER_MS);
        await victims.restart(victim);
      }
      await sleep(Math.max(0, nextMs - performance.now()));
    }
  }

  async #killNode(victims: Victims, id: NodeId, isLeader: boolean): Promise<void> {
    this.#note();
    await victims.kill9(id);
    this.kills += 1;
    if (isLeader) {
      this.leaderKills += 1;
      this.leaderKilled = id;
    }
  }

  #note(): void {
    this.inFlightAtKill = this.#moment.inFlight();
    this.preparedAtKill = this.#meter.open;
    this.firstKillMs ??= performance.now();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
