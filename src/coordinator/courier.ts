/**
 * Calls to participants: which instance, when again, when to stop trying.
 *
 * Decides routing, back-off, the breaker of each participant and pauses. Does not decide what a branch is told: it repeats the phase
 * it was given until a reply settles it. Calls may be repeated and reordered; participants are idempotent.
 */
import { must } from "../base/index.js";
import type { Gid } from "../base/index.js";
import type { BranchKind } from "../txn/index.js";
import type { Abilities, BranchCall, BranchPhase, InstanceId } from "./api.js";
import { PLAIN_ABILITIES } from "./api.js";
import { clip } from "./clip.js";
import type { Context } from "./context.js";
import { BranchList } from "./drive.js";
import type { BranchDrive } from "./drive.js";
import { phaseName } from "./phase-name.js";
import { Timed } from "./timer-wheel.js";

const NO_PAYLOAD = new Uint8Array(0);
const ERROR_CHARS_MAX = 500;
/** Waiting branches sent in one drain once their participant can take them, so that a million of them do not stall the loop. */
const RESUME_SLICE = 2_000;
/** Branches that back off and are sent at once when a call succeeds after failures: each once, so few are looked at. */
const HURRIED_MAX = 100;
/** A participant that cannot yet is asked again after at most so many doublings of the shortest delay. */
const NOT_YET_DOUBLINGS = 3;

interface Instance {
  readonly id: InstanceId;
  readonly line: ParticipantLine;
  readonly abilities: Abilities;
  /** Branches whose call to this instance has no reply yet. */
  readonly outstanding: BranchList;
}

/** One participant: its attached instances, and the branches that wait for it. */
export class ParticipantLine extends Timed {
  readonly kind = "line";
  readonly name: string;
  readonly instances: Instance[] = [];
  /** Not sent now: unattached, held, backing off or paused. */
  waiting = new BranchList();
  /** Waited when the participant came back, and are sent slice by slice, in order; paused ones too. */
  resuming = new BranchList();
  /** The next instance for a branch that has none yet. */
  turn = 0;
  /** Failures of this participant in a row. */
  failures = 0;
  breaker: "closed" | "open" | "half-open" = "closed";

  constructor(name: string) {
    super();
    this.name = name;
  }
}

/** Who decides what a call that cannot be made comes to. */
export interface Desk {
  /** No attached instance of its participant takes branches of its kind. */
  unsuited(branch: BranchDrive): void;
}

export class Courier {
  readonly #context: Context;
  readonly #lines = new Map<string, ParticipantLine>();
  readonly #instances = new Map<InstanceId, Instance>();
  /** Those with branches to resume, in the order they came back. */
  readonly #resuming = new Set<ParticipantLine>();
  #desk: Desk | undefined;
  #epoch = 0;
  #active = false;
  #paused = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  reportTo(desk: Desk): void {
    this.#desk = desk;
  }

  get paused(): number {
    return this.#paused;
  }

  get instances(): number {
    return this.#instances.size;
  }

  /** Participants with an attached instance or a waiting branch. */
  get lines(): number {
    return this.#lines.size;
  }

  /** Some waiting branches are still to be sent: {@link resume}. */
  get resuming(): boolean {
    return this.#resuming.size > 0;
  }

  start(epoch: number): void {
    this.#epoch = epoch;
    this.#active = true;
  }

  /** Forgets every call; instances stay attached. */
  stop(): void {
    this.#active = false;
    this.#paused = 0;
    this.#resuming.clear();
    for (const line of this.#lines.values()) {
      for (const list of [line.waiting, line.resuming]) for (const branch of list.toArray()) list.remove(branch);
      line.failures = 0;
      line.breaker = "closed";
      this.#dropUnused(line);
    }
    for (const { outstanding } of this.#instances.values()) {
      for (const branch of outstanding.toArray()) outstanding.remove(branch);
    }
  }

  participantOf(instance: InstanceId): string | undefined {
    return this.#instances.get(instance)?.line.name;
  }

  /** What this instance holds has a record until it has acknowledged the end of it: it is tried, or asked, only after BEGIN. */
  isAlwaysTold(instance: InstanceId): boolean {
    const abilities = this.#instances.get(instance)?.abilities;
    return abilities !== undefined && (abilities.afterBegin || !abilities.kinds.includes("2pc"));
  }

  /** Some attached instance of it knows one-phase commit. */
  knowsOnePhase(participant: string): boolean {
    return this.#lines.get(participant)?.instances.some(({ abilities }) => abilities.onePhase) === true;
  }

  /** Instances of it are attached, and none of them takes branches of this kind. */
  lacks(participant: string, kind: BranchKind): boolean {
    const instances = this.#lines.get(participant)?.instances ?? [];
    return instances.length > 0 && !instances.some(({ abilities }) => abilities.kinds.includes(kind));
  }

  /** A new instance takes everything that waits for its participant, the paused branches too. */
  instanceUp(id: InstanceId, participant: string, abilities: Partial<Abilities> = {}): void {
    const line = this.#line(participant);
    const instance: Instance = { id, line, abilities: { ...PLAIN_ABILITIES, ...abilities }, outstanding: new BranchList() };
    this.#instances.set(id, instance);
    line.instances.push(instance);
    if (!this.#active) return;
    this.#closeBreaker(line);
    if (line.resuming.first === undefined) [line.waiting, line.resuming] = [line.resuming, line.waiting];
    else for (const branch of line.waiting.toArray()) line.resuming.add(branch);
    if (line.resuming.first !== undefined) this.#resuming.add(line);
  }

  /** Sends the next slice of what waited, in the order it waited. */
  resume(nowMs: number): void {
    let left = RESUME_SLICE;
    for (const line of this.#resuming) {
      for (let branch = line.resuming.first; branch !== undefined; branch = line.resuming.first) {
        if (left-- === 0) return;
        // Only a new instance takes paused branches along.
        if (branch.status === "paused") this.#unpause(branch, `participant "${line.name}" attached again`);
        this.#dispatch(branch, nowMs);
      }
      this.#resuming.delete(line);
    }
  }

  /** What the instance had not answered goes to another one at once, or waits. That is no failure of the participant. */
  instanceDown(id: InstanceId, nowMs: number): void {
    const instance = this.#instances.get(id);
    if (instance === undefined) return;
    this.#instances.delete(id);
    instance.line.instances.splice(instance.line.instances.indexOf(instance), 1);
    for (const branch of instance.outstanding.toArray()) this.#dispatch(branch, nowMs);
    this.#dropUnused(instance.line);
  }

  /** Starts a phase of a branch, whatever it was doing before. */
  send(branch: BranchDrive, phase: BranchPhase, nowMs: number): void {
    if (branch.status === "paused") this.#paused--;
    branch.phase = phase;
    branch.attempt = 0;
    branch.failures = 0;
    branch.hurried = false;
    this.#dispatch(branch, nowMs);
  }

  /** BEGIN is committed and applied: what waited for that is asked now. */
  begun(branch: BranchDrive, nowMs: number): void {
    if (branch.status === "unattached" && branch.phase === "prepare") this.#dispatch(branch, nowMs);
  }

  /** Sends again now what is not settled, paused or not. */
  retry(branch: BranchDrive, nowMs: number): void {
    if (branch.status === "paused") this.#unpause(branch, "an operator asked for a retry");
    if (branch.status === "settled" || branch.status === "idle") return;
    this.#dispatch(branch, nowMs);
  }

  /**
   * One call outside of any drive, sent once: the participant asks by itself when it is lost. `kind` undefined: the branch has no record
   * any more, and is taken for one of a kind that the instance knows.
   */
  sendOnce(instance: InstanceId, phase: "commit" | "rollback", gid: Gid, branch: string, kind: BranchKind | undefined): void {
    const known = kind ?? this.#instances.get(instance)?.abilities.kinds[0] ?? "2pc";
    this.#context.outbox.call({ instance, phase, kind: known, gid, branch, epoch: this.#epoch, attempt: 1, payload: NO_PAYLOAD });
  }

  /** The reply came: nothing more is sent for this phase. */
  replied(branch: BranchDrive, status: "idle" | "settled"): void {
    if (branch.status === "paused") this.#paused--;
    this.#park(branch, status);
    const line = this.#lines.get(branch.participant);
    if (line === undefined) return;
    this.#answered(line);
    this.#dropUnused(line);
  }

  /** It is there, and says that it cannot yet: asked again soon, for as long as it says so. That is no failure. */
  notYet(branch: BranchDrive, detail: string, nowMs: number): void {
    const line = this.#line(branch.participant);
    branch.failures = 0;
    branch.lastError = clip(detail, ERROR_CHARS_MAX);
    this.#park(branch, "backing-off");
    this.#answered(line);
    line.waiting.add(branch);
    this.#context.wheel.set(branch, nowMs + this.#delayMs(Math.min(branch.attempt, NOT_YET_DOUBLINGS)));
  }

  /** The participant is there: what waits for it because it was not goes out at once. */
  #answered(line: ParticipantLine): void {
    const failed = line.failures > 0;
    line.failures = 0;
    if (line.breaker !== "closed") {
      this.#closeBreaker(line);
      for (const waiting of line.waiting.toArray()) if (waiting.status !== "paused") line.resuming.add(waiting);
    } else if (failed) this.#hurry(line);
    if (line.resuming.first !== undefined) this.#resuming.add(line);
  }

  /** A branch that fails while others succeed is hurried once, not at each of their successes. */
  #hurry(line: ParticipantLine): void {
    let branch = line.waiting.first;
    for (let looked = 0; branch !== undefined && looked < HURRIED_MAX; looked++) {
      const next = branch.listNext;
      if (branch.status === "backing-off" && !branch.hurried) {
        branch.hurried = true;
        line.resuming.add(branch);
      }
      branch = next;
    }
  }

  /** Nothing is sent for this branch any more. */
  settle(branch: BranchDrive): void {
    if (branch.status === "paused") this.#paused--;
    this.#park(branch, "settled");
    const line = this.#lines.get(branch.participant);
    if (line !== undefined) this.#dropUnused(line);
  }

  /** The instance could not do it now. Returns true when an unrecorded branch is given up: nobody but its participant needs it. */
  failed(branch: BranchDrive, detail: string, nowMs: number): boolean {
    const { options, outbox, wheel, buggify } = this.#context;
    const line = this.#line(branch.participant);
    branch.failures++;
    branch.lastError = clip(detail, ERROR_CHARS_MAX);
    line.failures++;
    const full = line.failures >= options.breakerFailures || buggify?.("breaker-opens-early") === true;
    if (line.breaker === "half-open" || (line.breaker === "closed" && full)) {
      line.breaker = "open";
      wheel.set(line, nowMs + options.breakerOpenMs);
    }
    if (branch.phase !== "prepare" && branch.failures >= options.attemptsBeforePause) {
      // The outcome of a one-phase commit is owed to the log: it is asked for until it is known.
      if (!branch.owed && branch.phase !== "one-phase") return true;
      this.#park(branch, "paused");
      line.waiting.add(branch);
      this.#paused++;
      outbox.alarm(
        "branch-paused",
        branch.drive.gid,
        branch.id,
        `branch "${branch.id}" of participant "${branch.participant}" is paused after ${branch.failures} failed attempts to ${phaseName(branch.branchKind, branch.phase)}: ${branch.lastError}`,
      );
      return false;
    }
    this.#park(branch, "backing-off");
    line.waiting.add(branch);
    wheel.set(branch, nowMs + this.#delayMs(branch.failures));
    return false;
  }

  /** A call stayed unanswered: the next one goes to another instance, if there is one. */
  timedOut(branch: BranchDrive, nowMs: number): boolean {
    if (branch.status === "backing-off") {
      this.#dispatch(branch, nowMs);
      return false;
    }
    const timeoutMs = this.#callTimeoutMs(branch.instance === undefined ? undefined : this.#instances.get(branch.instance));
    branch.instance = undefined;
    return this.failed(branch, `no reply to ${phaseName(branch.branchKind, branch.phase)} within ${timeoutMs} ms`, nowMs);
  }

  /** The breaker was open long enough, or the last probe came to nothing: one waiting branch tries. */
  lineTimer(line: ParticipantLine, nowMs: number): void {
    if (line.breaker === "closed") return;
    line.breaker = "half-open";
    // When nobody waits the next call is the probe.
    let probe = line.waiting.first;
    while (probe !== undefined && (probe.status === "paused" || !canTake(line, probe))) probe = probe.listNext;
    if (probe !== undefined) this.#transmit(probe, line, nowMs);
  }

  #dispatch(branch: BranchDrive, nowMs: number): void {
    const line = this.#line(branch.participant);
    // First out of the lists, so that a probe that changes its phase does not wait for itself.
    this.#park(branch, "held");
    if (!canTake(line, branch)) {
      branch.status = "unattached";
      line.waiting.add(branch);
      if (this.lacks(line.name, branch.branchKind)) this.#desk?.unsuited(branch);
    } else if (line.breaker === "open" || (line.breaker === "half-open" && this.#probing(line))) {
      line.waiting.add(branch);
    } else {
      this.#transmit(branch, line, nowMs);
    }
  }

  #probing(line: ParticipantLine): boolean {
    return line.instances.some((instance) => instance.outstanding.first !== undefined);
  }

  #transmit(branch: BranchDrive, line: ParticipantLine, nowMs: number): void {
    const { outbox, options, wheel, buggify } = this.#context;
    if (line.instances.length > 1 && buggify?.("other-instance") === true) branch.instance = undefined;
    let instance = branch.instance === undefined ? undefined : this.#instances.get(branch.instance);
    if (instance === undefined || !serves(instance, branch)) {
      do instance = must(line.instances[line.turn++ % line.instances.length], "attached instance");
      while (!serves(instance, branch));
      branch.instance = instance.id;
    }
    branch.status = "sent";
    branch.attempt++;
    instance.outstanding.add(branch);
    const early = buggify?.("call-times-out-early") === true;
    const timeoutMs = this.#callTimeoutMs(instance);
    wheel.set(branch, nowMs + (early ? 1 : timeoutMs));
    // The probe may be given up without a reply; then this timer sends the next one.
    if (line.breaker === "half-open") wheel.set(line, nowMs + timeoutMs + options.breakerOpenMs);
    const call: BranchCall = {
      instance: instance.id,
      phase: branch.phase,
      kind: branch.branchKind,
      gid: branch.drive.gid,
      branch: branch.id,
      epoch: this.#epoch,
      attempt: branch.attempt,
      payload: branch.phase === "prepare" || branch.phase === "one-phase" ? branch.payload : NO_PAYLOAD,
    };
    outbox.call(call);
    if (buggify?.("call-twice") === true) outbox.call(call);
  }

  #park(branch: BranchDrive, status: BranchDrive["status"]): void {
    branch.list?.remove(branch);
    this.#context.wheel.cancel(branch);
    branch.status = status;
  }

  #unpause(branch: BranchDrive, why: string): void {
    this.#paused--;
    branch.failures = 0;
    branch.status = "backing-off";
    this.#context.outbox.alarm("branch-unpaused", branch.drive.gid, branch.id, `branch "${branch.id}" is tried again: ${why}`);
  }

  #closeBreaker(line: ParticipantLine): void {
    line.failures = 0;
    line.breaker = "closed";
    this.#context.wheel.cancel(line);
  }

  #callTimeoutMs(instance: Instance | undefined): number {
    return instance?.abilities.callTimeoutMs ?? this.#context.options.callTimeoutMs;
  }

  /** Exponential with full jitter above the shortest delay. */
  #delayMs(failures: number): number {
    if (this.#context.buggify?.("retry-at-once") === true) return 0;
    const { retryDelayMsMin, retryDelayMsMax } = this.#context.options;
    const cap = Math.min(retryDelayMsMax, retryDelayMsMin * 2 ** Math.min(failures, 30));
    return retryDelayMsMin + (this.#context.random32() / 0x1_0000_0000) * Math.max(0, cap - retryDelayMsMin);
  }

  /** Without instances and branches a line says nothing, and names come without end: everybody may try to attach. */
  #dropUnused(line: ParticipantLine): void {
    if (line.instances.length > 0 || line.waiting.first !== undefined || line.resuming.first !== undefined) return;
    this.#context.wheel.cancel(line);
    this.#resuming.delete(line);
    this.#lines.delete(line.name);
  }

  #line(name: string): ParticipantLine {
    let line = this.#lines.get(name);
    if (line === undefined) {
      line = new ParticipantLine(name);
      this.#lines.set(name, line);
    }
    return line;
  }
}

/** An instance of an earlier version would end its stream at a phase that it does not know, and take a try for a prepare. */
function serves(instance: Instance, branch: BranchDrive): boolean {
  const { onePhase, afterBegin } = instance.abilities;
  if (branch.phase === "one-phase") return onePhase;
  if (!knowsKind(instance, branch)) return false;
  return branch.phase !== "prepare" || branch.drive.stage === "sealed" || !(afterBegin || branch.branchKind === "tcc");
}

function knowsKind(instance: Instance, branch: BranchDrive): boolean {
  return instance.abilities.kinds.includes(branch.branchKind);
}

function canTake(line: ParticipantLine, branch: BranchDrive): boolean {
  return line.instances.some((instance) => serves(instance, branch));
}
