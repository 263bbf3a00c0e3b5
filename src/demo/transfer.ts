/**
 * The transfer run: many clients move money between two banks while coordinators are killed, and every figure is measured here.
 */
import { performance } from "node:perf_hooks";
import { isQuorateError, messageOf, type NodeId } from "../base/index.js";
import type { Quorate } from "../client/index.js";
import type { Bank } from "./bank.js";
import type { InDoubtMeter } from "./in-doubt-meter.js";
import { judge } from "./verdict.js";

/** The cluster under the run; nodes are real processes. */
export interface Victims {
  readonly ids: readonly NodeId[];
  alive(id: NodeId): boolean;
  kill9(id: NodeId): Promise<void>;
  /** Resolves when the node serves again: only then may another be killed, for the promise is to a living majority. */
  restart(id: NodeId): Promise<void>;
}

export type KillMode = "leader" | "none" | "random";

export interface TransferOptions {
  /** How many transfers; ignored when `seconds` is given. */
  readonly transfers: number;
  readonly seconds: number | undefined;
  readonly concurrency: number;
  readonly kill: KillMode;
  readonly timeoutMs: number;
}

/** Documented in docs/status.md; the names are stable. */
export interface TransferReport {
  readonly transfers: number;
  readonly committed: number;
  readonly aborted: number;
  readonly abortsByReason: Readonly<Record<string, number>>;
  readonly unknown: number;
  readonly kills: number;
  readonly leaderKills: number;
  /** The last leader that was killed. */
  readonly leaderKilled: number | null;
  readonly newLeader: number | null;
  readonly epochBefore: number;
  readonly epochAfter: number;
  readonly inFlightAtKill: number;
  readonly preparedAtKill: number;
  readonly maxInDoubtMs: number;
  /** Longest silence between two acknowledged commits from the first kill on; 0 without a kill. */
  readonly commitGapMs: number;
  readonly seconds: number;
  readonly sumBefore: number;
  readonly sumAfter: number;
  readonly problems: readonly string[];
  readonly ok: boolean;
}

const IN_FLIGHT_AT_KILL_MIN = 8;
const RANDOM_KILL_EVERY_MS = 1_000;
const RESTART_AFTER_MS = 500;
const SETTLE_MS_MAX = 15_000;
const MONEY_PER_TRANSFER_MAX = 9;
/** Between two transfers of one client while nodes are killed at random: a node that boots on a saturated machine is away for longer. */
const THINK_MS = 150;

export class TransferRun {
  readonly #quorate: Quorate;
  readonly #banks: readonly [Bank, Bank];
  readonly #meter: InDoubtMeter;
  readonly #victims: Victims | undefined;
  readonly #options: TransferOptions;
  readonly #committed = new Set<string>();
  readonly #aborted = new Set<string>();
  readonly #unknown = new Set<string>();
  readonly #abortsByReason: Record<string, number> = {};
  readonly #otherErrors: string[] = [];
  #started = 0;
  #inFlight = 0;
  #kills = 0;
  #leaderKills = 0;
  #leaderKilled: NodeId | undefined;
  #inFlightAtKill = 0;
  #preparedAtKill = 0;
  #lastAckMs = 0;
  #firstKillMs: number | undefined;
  #gapMs = 0;

  constructor(quorate: Quorate, banks: readonly [Bank, Bank], meter: InDoubtMeter, victims: Victims | undefined, options: TransferOptions) {
    this.#quorate = quorate;
    this.#banks = banks;
    this.#meter = meter;
    this.#victims = victims;
    this.#options = options;
  }

  async run(): Promise<TransferReport> {
    const sumBefore = await this.#sum();
    const epochBefore = (await this.#leader()).epoch;
    const beganMs = performance.now();
    this.#lastAckMs = beganMs;
    const stop = new AbortController();
    const killing = this.#killLoop(stop.signal).catch((error: unknown) => {
      this.#otherErrors.push(`the killing ended: ${messageOf(error)}`);
    });
    const workers = Array.from({ length: this.#options.concurrency }, (_, slot) => this.#worker(slot, beganMs));
    await Promise.all(workers);
    stop.abort();
    await killing;
    const seconds = (performance.now() - beganMs) / 1000;
    const settled = await this.#settle();
    const after = await this.#leader();
    const [ledgers, sumAfter] = [await Promise.all(this.#banks.map((bank) => bank.ledger())), await this.#sum()];
    const problems = [
      ...judge(
        { committed: this.#committed, aborted: this.#aborted, unknown: this.#unknown },
        { ledgers, sumBefore, sumAfter, orphans: settled.orphans, locks: settled.locks },
      ),
      ...this.#otherErrors,
      // A run in which nothing happened proves nothing.
      ...(this.#committed.size === 0 ? ["no transfer was committed"] : []),
      ...(this.#options.kill === "random" && this.#kills === 0 ? ["nobody was killed"] : []),
      ...(this.#options.kill === "leader" && this.#kills === 0 ? ["the leader was never killed: too few transfers were in flight"] : []),
    ];
    return {
      transfers: this.#started,
      committed: this.#committed.size,
      aborted: this.#aborted.size,
      abortsByReason: this.#abortsByReason,
      unknown: this.#unknown.size,
      kills: this.#kills,
      leaderKills: this.#leaderKills,
      leaderKilled: this.#leaderKilled ?? null,
      newLeader: after.id ?? null,
      epochBefore,
      epochAfter: after.epoch,
      inFlightAtKill: this.#inFlightAtKill,
      preparedAtKill: this.#preparedAtKill,
      maxInDoubtMs: round(this.#meter.maxMs()),
      commitGapMs: round(this.#gapMs),
      seconds: round(seconds),
      sumBefore,
      sumAfter,
      problems,
      ok: problems.length === 0,
    };
  }

  // ---- transfers

  async #worker(slot: number, beganMs: number): Promise<void> {
    const { transfers, seconds } = this.#options;
    const more = (): boolean => (seconds === undefined ? this.#started < transfers : performance.now() - beganMs < seconds * 1000);
    while (more()) {
      this.#started += 1;
      this.#inFlight += 1;
      await this.#transfer(slot, 1 + (this.#started % MONEY_PER_TRANSFER_MAX), this.#started % 2 === 0);
      this.#inFlight -= 1;
      if (this.#options.kill === "random") await sleep(THINK_MS);
    }
  }

  /** A slot always uses its own account, so transfers never wait for each other's locks: what is measured is the coordinator. */
  async #transfer(slot: number, amount: number, forth: boolean): Promise<void> {
    const [from, to] = forth ? this.#banks : [this.#banks[1], this.#banks[0]];
    let gid = "";
    try {
      await this.#quorate.transaction(
        async (tx) => {
          gid = tx.gid;
          await Promise.all([from.move(tx, slot, -amount), to.move(tx, slot, amount)]);
        },
        { timeoutMs: this.#options.timeoutMs },
      );
      this.#committed.add(gid);
      this.#acknowledged();
    } catch (error) {
      if (!isQuorateError(error) || gid === "") this.#otherErrors.push(`${gid}: ${error instanceof Error ? error.message : String(error)}`);
      else if (error.outcome === "aborted") {
        this.#aborted.add(gid);
        const reason = error.reason ?? error.code;
        this.#abortsByReason[reason] = (this.#abortsByReason[reason] ?? 0) + 1;
      } else this.#unknown.add(gid);
    }
  }

  #acknowledged(): void {
    const now = performance.now();
    if (this.#firstKillMs !== undefined) this.#gapMs = Math.max(this.#gapMs, now - this.#lastAckMs);
    this.#lastAckMs = now;
  }

  // ---- kills

  async #killLoop(stop: AbortSignal): Promise<void> {
    if (this.#victims === undefined || this.#options.kill === "none") return;
    if (this.#options.kill === "leader") await this.#killLeaderOnce(this.#victims, stop);
    else await this.#killRandomly(this.#victims, stop);
  }

  /** Waits until the kill hurts: enough transfers in flight, and a branch that has voted yes and knows nothing yet. */
  async #killLeaderOnce(victims: Victims, stop: AbortSignal): Promise<void> {
    const { transfers, seconds } = this.#options;
    const due = (): boolean => (seconds === undefined ? this.#started >= transfers * 0.4 : performance.now() - this.#lastAckMs < 1000);
    const leader = (await this.#leader()).id;
    if (leader === undefined) return;
    while (!stop.aborted) {
      if (due() && this.#inFlight >= IN_FLIGHT_AT_KILL_MIN && this.#meter.open >= 1) {
        await this.#kill(victims, leader, true);
        return;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #killRandomly(victims: Victims, stop: AbortSignal): Promise<void> {
    let turn = 0;
    while (!stop.aborted) {
      const nextMs = performance.now() + RANDOM_KILL_EVERY_MS;
      const leader = (await this.#leader()).id;
      // Every third kill aims at the leader, the others at anybody: all roles die, and often enough.
      const candidates = victims.ids.filter((id) => victims.alive(id));
      const victim = turn++ % 3 === 0 && leader !== undefined ? leader : candidates[Math.floor(Math.random() * candidates.length)];
      if (victim !== undefined && candidates.length === victims.ids.length) {
        await this.#kill(victims, victim, victim === leader);
        await sleep(RESTART_AFTER_MS);
        await victims.restart(victim);
      }
      await sleep(Math.max(0, nextMs - performance.now()));
    }
  }

  async #kill(victims: Victims, id: NodeId, isLeader: boolean): Promise<void> {
    this.#inFlightAtKill = this.#inFlight;
    this.#preparedAtKill = this.#meter.open;
    this.#firstKillMs ??= performance.now();
    await victims.kill9(id);
    this.#kills += 1;
    if (isLeader) {
      this.#leaderKills += 1;
      this.#leaderKilled = id;
    }
  }

  // ---- after

  /** Waits, bounded, until nothing is prepared any more; what is left then is reported. */
  async #settle(): Promise<{ readonly orphans: number; readonly locks: number }> {
    const untilMs = performance.now() + SETTLE_MS_MAX;
    for (;;) {
      const orphans = await total(this.#banks.map((bank) => bank.orphans()));
      const locks = await total(this.#banks.map((bank) => bank.locks()));
      if ((orphans === 0 && locks === 0) || performance.now() > untilMs) return { orphans, locks };
      await sleep(50);
    }
  }

  #sum(): Promise<number> {
    return total(this.#banks.map((bank) => bank.total()));
  }

  async #leader(): Promise<{ readonly id: NodeId | undefined; readonly epoch: number }> {
    const view = this.#quorate.view();
    return Promise.resolve({ id: view?.leader, epoch: view?.epoch ?? 0 });
  }
}

async function total(parts: readonly Promise<number>[]): Promise<number> {
  return (await Promise.all(parts)).reduce((sum, part) => sum + part, 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
