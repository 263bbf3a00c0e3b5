/**
 * The transfer run: many clients move money between two banks while coordinators are killed, and every figure is measured here.
 */
import { performance } from "node:perf_hooks";
import { isQuorateError, messageOf, type NodeId } from "../base/index.js";
import type { Quorate } from "../client/index.js";
import type { Bank } from "./bank.js";
import { judgeEffects, tooThin, type Evidence } from "./evidence.js";
import type { InDoubtMeter } from "./in-doubt-meter.js";
import { Kills, type KillMode, type Target, type Victims } from "./kills.js";
import type { Plan } from "./plan.js";
import { judge, type Stores, type Told } from "./verdict.js";

/** What money is moved between, and what may be killed besides coordinators. */
export interface Field {
  readonly banks: readonly Bank[];
  readonly plan: Plan;
  /** Killed one after another with `kill` participant and database. */
  readonly targets: readonly Target[];
}

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
  /** Participants or database servers that were killed, in order. */
  readonly targetsKilled: readonly string[];
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
  /** Calls that came again and had no second effect, counted in the banks' own stores; null where calls are not repeated on purpose. */
  readonly duplicates: number | null;
  readonly problems: readonly string[];
  readonly ok: boolean;
}

const SETTLE_MS_MAX = 15_000;
/** Between two transfers of one client while nodes are killed at random: a node that boots on a saturated machine is away for longer. */
const THINK_MS = 150;

export class TransferRun {
  readonly #quorate: Quorate;
  readonly #field: Field;
  readonly #meter: InDoubtMeter;
  readonly #options: TransferOptions;
  readonly #kills: Kills;
  readonly #committed = new Set<string>();
  readonly #aborted = new Set<string>();
  readonly #unknown = new Set<string>();
  readonly #abortsByReason: Record<string, number> = {};
  readonly #otherErrors: string[] = [];
  #started = 0;
  #inFlight = 0;
  #beganMs = 0;
  #over = false;
  #lastAckMs = 0;
  #gapMs = 0;

  constructor(quorate: Quorate, field: Field, meter: InDoubtMeter, victims: Victims | undefined, options: TransferOptions) {
    this.#quorate = quorate;
    this.#field = field;
    this.#meter = meter;
    this.#options = options;
    this.#kills = new Kills(options.kill, victims, field.targets, meter, {
      progress: () => this.#progress(),
      inFlight: () => this.#inFlight,
      leader: () => this.#leader().id,
      stopped: () => this.#over,
    });
  }

  async run(): Promise<TransferReport> {
    const sumBefore = await this.#sum();
    const epochBefore = this.#leader().epoch;
    this.#lastAckMs = this.#beganMs = performance.now();
    const killing = this.#kills.loop().catch((error: unknown) => {
      this.#otherErrors.push(`the killing ended: ${messageOf(error)}`);
    });
    await Promise.all(Array.from({ length: this.#options.concurrency }, (_, slot) => this.#worker(slot)));
    this.#over = true;
    await killing;
    const seconds = (performance.now() - this.#beganMs) / 1000;
    const stores = { ...(await this.#settle()), sumBefore, sumAfter: await this.#sum() };
    const seen = await this.#evidence();
    const told: Told = { committed: this.#committed, aborted: this.#aborted, unknown: this.#unknown };
    const duplicates = seen.length === 0 ? null : seen.reduce((sum, [, { duplicates }]) => sum + duplicates, 0);
    const problems = [
      ...judge(told, stores),
      ...seen.flatMap(([bank, evidence]) => judgeEffects(told, bank, evidence)),
      ...this.#otherErrors,
      // A run in which nothing happened proves nothing.
      ...(this.#committed.size === 0 ? ["no transfer was committed"] : []),
      ...this.#kills.problems(),
      ...(duplicates === null ? [] : tooThin(told, duplicates)),
    ];
    return this.#report({ epochBefore, seconds: round(seconds), sumBefore, sumAfter: stores.sumAfter, duplicates, problems });
  }

  #report(found: Pick<TransferReport, "epochBefore" | "seconds" | "sumBefore" | "sumAfter" | "duplicates" | "problems">): TransferReport {
    const after = this.#leader();
    const { kills, leaderKills, leaderKilled, targetsKilled, inFlightAtKill, preparedAtKill } = this.#kills;
    return {
      transfers: this.#started,
      committed: this.#committed.size,
      aborted: this.#aborted.size,
      abortsByReason: this.#abortsByReason,
      unknown: this.#unknown.size,
      kills,
      leaderKills,
      leaderKilled: leaderKilled ?? null,
      targetsKilled,
      newLeader: after.id ?? null,
      epochAfter: after.epoch,
      inFlightAtKill,
      preparedAtKill,
      maxInDoubtMs: round(this.#meter.maxMs()),
      commitGapMs: round(this.#gapMs),
      ...found,
      ok: found.problems.length === 0,
    };
  }

  // ---- transfers

  #progress(): number {
    const { transfers, seconds } = this.#options;
    return seconds === undefined ? this.#started / transfers : (performance.now() - this.#beganMs) / (seconds * 1000);
  }

  async #worker(slot: number): Promise<void> {
    while (this.#progress() < 1) {
      this.#started += 1;
      this.#inFlight += 1;
      await this.#transfer(slot, this.#started);
      this.#inFlight -= 1;
      if (this.#options.kill === "random") await sleep(THINK_MS);
    }
  }

  /** A slot always uses its own account, so transfers never wait for each other's locks: what is measured is the coordinator. */
  async #transfer(slot: number, n: number): Promise<void> {
    const moves = this.#field.plan(n);
    let gid = "";
    try {
      await this.#quorate.transaction(
        async (tx) => {
          gid = tx.gid;
          await Promise.all(moves.map(({ bank, delta }) => bank.move(tx, slot, delta)));
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
    if (this.#kills.firstKillMs !== undefined) this.#gapMs = Math.max(this.#gapMs, now - this.#lastAckMs);
    this.#lastAckMs = now;
  }

  // ---- after

  /** Waits, bounded, until nothing is prepared or reserved any more; what is left then is reported. */
  async #settle(): Promise<Omit<Stores, "sumBefore" | "sumAfter">> {
    const untilMs = performance.now() + SETTLE_MS_MAX;
    for (;;) {
      const found = await this.#left().catch((error: unknown) => {
        // A connection from before a server's death is found out when it is used.
        if (performance.now() > untilMs) throw error;
        return undefined;
      });
      if (found !== undefined && ((found.orphans === 0 && found.locks === 0) || performance.now() > untilMs))
        return { ...found, ledgers: await Promise.all(this.#field.banks.map((bank) => bank.ledger())) };
      await sleep(50);
    }
  }

  async #left(): Promise<Pick<Stores, "orphans" | "locks">> {
    const { banks } = this.#field;
    return { orphans: await total(banks.map((bank) => bank.orphans())), locks: await total(banks.map((bank) => bank.locks())) };
  }

  /** Of the banks that have it, with their names. */
  async #evidence(): Promise<readonly (readonly [string, Evidence])[]> {
    const seen: [string, Evidence][] = [];
    for (const bank of this.#field.banks) if (bank.evidence !== undefined) seen.push([bank.name, await bank.evidence()]);
    return seen;
  }

  #sum(): Promise<number> {
    return total(this.#field.banks.map((bank) => bank.total()));
  }

  #leader(): { readonly id: NodeId | undefined; readonly epoch: number } {
    const view = this.#quorate.view();
    return { id: view?.leader, epoch: view?.epoch ?? 0 };
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
