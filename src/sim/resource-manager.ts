/**
 * What a run needs of a simulated database that takes part in transactions, whatever kind it is.
 *
 * A process reaches it by an attachment of its own. Nothing here decides an outcome.
 */
import type { Gid, Prng } from "../base/index.js";
import type { Vote } from "../txn/index.js";
import type { Task } from "./task.js";

/** Changes to accounts, or a question about one. */
export interface Work {
  readonly deltas: readonly (readonly [account: string, amount: number])[];
  readonly reads: readonly string[];
}

export type ResourceKind = "kv" | "sql" | "tcc";

export interface BranchName {
  readonly gid: Gid;
  readonly branch: string;
}

export interface EffectRow extends BranchName {
  readonly effects: number;
}

export interface Voted {
  readonly vote: Vote;
  readonly detail: string;
}

/** What came of a one-phase commit: it is durable here, or never will be. */
export type OnePhaseEnd = { readonly kind: "done" } | { readonly kind: "refused"; readonly detail: string };

/** Told about what happens to branches, for the run's oracles. */
export interface ResourceWatcher {
  committed(resource: ResourceManager, gid: Gid, branch: string): void;
  /** A prepared branch was rolled back. */
  rolledBack(resource: ResourceManager, gid: Gid, branch: string): void;
  votedNo(resource: ResourceManager, gid: Gid, branch: string): void;
  /** It says, or said before, that it refused a one-phase commit for ever. */
  refused(resource: ResourceManager, gid: Gid, branch: string): void;
}

/** One process's way to the resource. Its tasks end with the process. */
export interface Attachment {
  /** The coordinator asks for a vote. `work` undefined: the client brought the branch. Undefined: could not tell, ask again. */
  prepare(name: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<Voted | undefined>;
  /** The outcome is left to this resource. Undefined: could not tell, ask again. */
  onePhase(name: BranchName, work: Work | undefined, epoch: number, refuse: boolean): Task<OnePhaseEnd | undefined>;
  /** True when the commit is durable; false: could not be done now. */
  commit(name: BranchName): Task<boolean>;
  rollback(name: BranchName): Task<boolean>;
  /** A client runs its own work and prepares it. `pauseMs` is how long it thinks between two steps. */
  bring(name: BranchName, work: Work, pauseMs: () => number): Task<Vote>;
  /** What is prepared and does not know its outcome; empty when nobody can tell. */
  inDoubt(): readonly BranchName[];
  /** The branches to ask about now: none before it waited for `firstDelayMs`, then ever more rarely. */
  due(firstDelayMs: number): readonly BranchName[];
  /** The cluster has forgotten every gid older than this. */
  forgetBelow(floorMs: number): Task<void>;
}

export interface ResourceManager {
  readonly name: string;
  readonly kind: ResourceKind;
  readonly accounts: readonly string[];
  readonly up: boolean;
  readonly preparedCount: number;
  readonly lockCount: number;
  readonly total: number;
  effects(): readonly EffectRow[];
  prepared(): readonly BranchName[];
  attach(owner: string, prng: Prng, lockTimeoutMs: number): Attachment;
  /** The process is gone: its connections are closed, and what it had not prepared is rolled back. */
  ownerGone(owner: string): void;
  /** Breaks one connection of some process to it. False when there is none. */
  breakSession(prng: Prng): boolean;
  crash(): void;
  restart(): void;
}

/** No balance goes below minus this: a branch that would votes no. */
export const OVERDRAFT = 300;
const ASK_DELAY_MS_MAX = 2_000;

/** When each branch in doubt is asked about again: the delay doubles. */
export class AskTimes {
  readonly #next = new Map<string, { at: number; delayMs: number }>();

  /** Of these, the ones whose time has come. The others that were known are forgotten: they are settled. */
  due<B extends BranchName & { readonly preparedAt: number }>(branches: readonly B[], now: number, firstDelayMs: number): readonly B[] {
    if (branches.length === 0) {
      this.#next.clear();
      return [];
    }
    const settled = new Set(this.#next.keys());
    const out: B[] = [];
    for (const branch of branches) {
      const key = keyOf(branch.gid, branch.branch);
      settled.delete(key);
      const known = this.#next.get(key);
      const at = known?.at ?? branch.preparedAt + firstDelayMs;
      if (at > now) continue;
      const delayMs = Math.min(ASK_DELAY_MS_MAX, Math.max(firstDelayMs, (known?.delayMs ?? 0) * 2));
      this.#next.set(key, { at: now + delayMs, delayMs });
      out.push(branch);
    }
    for (const key of settled) this.#next.delete(key);
    return out;
  }
}

export function keyOf(gid: Gid, branch: string): string {
  return `${gid}/${branch}`;
}

export function gidOf(key: string): Gid {
  return key.slice(0, key.indexOf("/")) as Gid;
}
