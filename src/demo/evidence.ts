/**
 * What the store of a bank shows of single calls, and whether it is right: every effect once, and exactly those that were decided.
 */
import type { Told } from "./verdict.js";

export type EffectPhase = "try" | "confirm" | "cancel" | "commit";

/** Rows that one call has left in the store. */
export interface Effect {
  readonly gid: string;
  readonly phase: EffectPhase;
  /** How many rows: 1, unless a call took effect twice. */
  readonly count: number;
}

export interface Evidence {
  /** Calls that came again after they had been carried out, counted in the store. */
  readonly duplicates: number;
  /** Money still set aside: frozen and announced. */
  readonly reserved: number;
  readonly effects: readonly Effect[];
}

/** Fewer than this show nothing about repeated calls. */
export const DUPLICATES_MIN = 20;

/** What is wrong at one bank, in words; empty when nothing is. */
export function judgeEffects(told: Told, bank: string, evidence: Evidence): readonly string[] {
  const problems: string[] = [];
  const byGid = new Map<string, Map<EffectPhase, number>>();
  for (const { gid, phase, count } of evidence.effects) {
    const phases = byGid.get(gid) ?? new Map<EffectPhase, number>();
    byGid.set(gid, phases.set(phase, count));
    if (count !== 1) problems.push(`${gid}: ${phase} took effect ${count} times at ${bank}`);
  }
  const reserves = evidence.effects.some(({ phase }) => phase !== "commit");
  for (const [gid, phases] of byGid) {
    const kept = phases.has("confirm") || phases.has("commit");
    if (kept && told.aborted.has(gid)) problems.push(`${gid} was reported aborted, yet ${bank} carried it out`);
    if (phases.has("cancel") && told.committed.has(gid)) problems.push(`${gid} was reported committed, yet ${bank} cancelled it`);
    if (!reserves) continue;
    if (kept && phases.has("cancel")) problems.push(`${gid} was confirmed and cancelled at ${bank}`);
    if (!phases.has("try")) problems.push(`${gid} was settled at ${bank}, yet never tried`);
    if (!kept && !phases.has("cancel")) problems.push(`${gid} was tried at ${bank}, and neither confirmed nor cancelled`);
  }
  for (const gid of told.committed) {
    const phases = byGid.get(gid);
    if (phases?.has("confirm") !== true && phases?.has("commit") !== true)
      problems.push(`${gid} was reported committed, yet ${bank} did not carry it out`);
  }
  if (evidence.reserved !== 0) problems.push(`${evidence.reserved} is still set aside at ${bank}`);
  return problems;
}

/** What keeps a run whose calls are repeated from proving anything, in words. */
export function tooThin(told: Told, duplicates: number): readonly string[] {
  return [
    ...(duplicates < DUPLICATES_MIN
      ? [`only ${duplicates} repeated calls were seen, too few to show anything: ${DUPLICATES_MIN} are needed`]
      : []),
    ...(told.aborted.size === 0 ? ["no transfer was refused, so nothing was given back"] : []),
  ];
}
