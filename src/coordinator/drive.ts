/**
 * What the leader keeps in memory of a transaction under way: who waits, whose votes are in, what each branch was told.
 *
 * All of it can be lost at any time: the next leader makes it again from the replicated state. Nothing here is a decision.
 */
import type { Gid } from "../base/index.js";
import { kindOf, sameBranch } from "../txn/index.js";
import type { AbortReason, BranchKind, BranchMode, BranchSpec, Decision, Vote } from "../txn/index.js";
import type { BranchPhase, ClientSession, InstanceId } from "./api.js";
import { Timed } from "./timer-wheel.js";

/**
 * Where the call of a branch stands. `idle`: nothing to send. `unattached`: no instance of its participant is here, or only those that are asked once BEGIN is applied. `held`: the
 * participant's breaker is open. `sent`: waiting for the reply. `backing-off`: failed, will be sent again. `paused`: failed too
 * often. `settled`: the outcome is acknowledged, or was never owed.
 */
export type CallStatus = "idle" | "unattached" | "held" | "sent" | "backing-off" | "paused" | "settled";

export class BranchDrive extends Timed {
  readonly kind = "branch";
  readonly drive: Drive;
  readonly id: string;
  readonly participant: string;
  readonly mode: BranchMode;
  readonly payload: Uint8Array;
  /** What the phases mean to its participant. */
  readonly branchKind: BranchKind;
  /** In the list of the Commit under way: its vote counts. Otherwise left over from a refused one. */
  listed = false;
  vote: Vote | undefined = undefined;
  voteDetail = "";
  /** It voted read-only, and later a repeated prepare did the work again and voted yes: that copy must be rolled back. */
  duplicate = false;
  phase: BranchPhase = "prepare";
  status: CallStatus = "idle";
  /** The record owes it the outcome, so that its acknowledgement is logged as DONE. */
  owed = false;
  /** Calls sent in this phase. */
  attempt = 0;
  /** No instance of its participant takes its kind, so nobody was asked: see {@link Drive.begunHere}. */
  unsuited = false;
  /** Calls that failed or timed out in a row. */
  failures = 0;
  /** In this phase it was sent once before its back-off ended, because its participant was seen to be there. */
  hurried = false;
  lastError: string | undefined = undefined;
  instance: InstanceId | undefined = undefined;
  list: BranchList | undefined = undefined;
  listNext: BranchDrive | undefined = undefined;
  listPrevious: BranchDrive | undefined = undefined;

  constructor(drive: Drive, spec: BranchSpec) {
    super();
    this.drive = drive;
    this.id = spec.id;
    this.participant = spec.participant;
    this.mode = spec.mode;
    this.payload = spec.payload;
    this.branchKind = kindOf(spec);
  }

  /** The branch as it was given. */
  get spec(): BranchSpec {
    const { id, participant, mode, payload, branchKind: kind } = this;
    return { id, participant, mode, payload, kind };
  }
}

/** Branches in the order they came; each is in at most one list, so that leaving one needs no search. */
export class BranchList {
  #head: BranchDrive | undefined = undefined;
  #tail: BranchDrive | undefined = undefined;

  get first(): BranchDrive | undefined {
    return this.#head;
  }

  /** Moves `branch` here from the list it is in. */
  add(branch: BranchDrive): void {
    branch.list?.remove(branch);
    branch.list = this;
    branch.listPrevious = this.#tail;
    branch.listNext = undefined;
    if (this.#tail === undefined) this.#head = branch;
    else this.#tail.listNext = branch;
    this.#tail = branch;
  }

  remove(branch: BranchDrive): void {
    if (branch.list !== this) return;
    if (branch.listPrevious === undefined) this.#head = branch.listNext;
    else branch.listPrevious.listNext = branch.listNext;
    if (branch.listNext === undefined) this.#tail = branch.listPrevious;
    else branch.listNext.listPrevious = branch.listPrevious;
    branch.list = branch.listNext = branch.listPrevious = undefined;
  }

  toArray(): BranchDrive[] {
    const out: BranchDrive[] = [];
    for (let branch = this.#head; branch !== undefined; branch = branch.listNext) out.push(branch);
    return out;
  }
}

/** `late-commit`: a Commit outside its window, answered when the abort that fences it is decided. */
export type WaiterKind = "open" | "enlist" | "commit" | "late-commit" | "abort" | "outcome";

export interface Waiter {
  readonly kind: WaiterKind;
  readonly session: ClientSession;
  readonly request: number;
  /** The branch of an enlist. */
  readonly branch: string;
}

/**
 * `opening`, `sealing`: OPEN or BEGIN is proposed. `open`, `sealed`: it is applied. `unrecorded`: there is no record, and none is on
 * its way: a refused Commit or an abort of an unknown gid. `decided`: a decision is applied.
 */
export type Stage = "unrecorded" | "opening" | "open" | "sealing" | "sealed" | "decided";

export class Drive extends Timed {
  readonly kind = "drive";
  readonly gid: Gid;
  readonly client: string;
  readonly timeoutMs: number;
  stage: Stage;
  branches: BranchDrive[] = [];
  /** Listed branches without a vote. */
  missing = 0;
  /**
   * Its sole voter commits in one phase, once this BEGIN is applied: of the BEGIN that is proposed while sealing, of the record once
   * sealed. Then only the participant's refusal aborts it.
   */
  delegated = false;
  /** This leader proposed the BEGIN that is recorded: no other one asked anybody for what is asked only after it. */
  begunHere = false;
  /** The DECIDE that is on its way. */
  deciding: Decision | undefined = undefined;
  /** Why it is to be aborted, kept so that a refused proposal can be repeated. */
  abortWanted: { readonly reason: AbortReason; readonly detail: string } | undefined = undefined;
  /** Branches that were told the outcome and have not acknowledged it. */
  unsettled = 0;
  waiters: Waiter[] = [];

  constructor(gid: Gid, client: string, timeoutMs: number, stage: Stage) {
    super();
    this.gid = gid;
    this.client = client;
    this.timeoutMs = timeoutMs;
    this.stage = stage;
  }

  /** A branch by id and participant: a refused Commit may have used the same id for another participant. */
  find(id: string, participant: string): BranchDrive | undefined {
    for (const branch of this.branches) if (branch.id === id && branch.participant === participant) return branch;
    return undefined;
  }

  /** Of a delegated transaction: the branch that commits in one phase. */
  get delegate(): BranchDrive | undefined {
    return this.delegated ? this.branches.find((branch) => branch.listed && branch.mode === "asked") : undefined;
  }

  /** A listed branch of kind `tcc` has not said yes: nothing is prepared before. */
  get triesMissing(): boolean {
    return this.branches.some((branch) => branch.listed && branch.branchKind === "tcc" && branch.vote !== "yes");
  }

  /** The first listed branch without a vote; one that is tried, before those that wait for it. */
  get awaited(): BranchDrive | undefined {
    const awaited = this.branches.filter((branch) => branch.listed && branch.vote === undefined);
    return awaited.find((branch) => branch.branchKind === "tcc") ?? awaited[0];
  }

  /** A branch that was asked under this id with other contents: its participant may hold that other work. */
  contradicts(spec: BranchSpec): boolean {
    return this.branches.some((branch) => branch.id === spec.id && branch.attempt > 0 && !sameBranch(branch.spec, spec));
  }

  /** Takes out the branches that `specs` names with other contents; nobody was asked for them (see {@link contradicts}). */
  replaced(specs: readonly BranchSpec[]): BranchDrive[] {
    const out = this.branches.filter((branch) => specs.some((spec) => spec.id === branch.id && !sameBranch(branch.spec, spec)));
    if (out.length > 0) this.branches = this.branches.filter((branch) => !out.includes(branch));
    return out;
  }

  /** Makes `specs` the list whose votes count. Votes of branches that were asked before are kept. */
  list(specs: readonly BranchSpec[]): void {
    for (const branch of this.branches) branch.listed = false;
    this.missing = 0;
    for (const spec of specs) {
      let branch = this.find(spec.id, spec.participant);
      if (branch === undefined || !sameBranch(branch.spec, spec)) {
        branch = new BranchDrive(this, spec);
        this.branches.push(branch);
      }
      branch.listed = true;
      if (branch.vote === undefined) this.missing++;
    }
  }
}
