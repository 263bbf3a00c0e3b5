/**
 * One leader at a desk: a real state machine and driver, whose proposals the test applies when it wants, and whose calls it answers.
 */
import { newGid, Prng } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import { createCoordinator } from "../../src/coordinator/index.js";
import type {
  Alarm,
  Answer,
  BranchCall,
  BranchReply,
  Coordinator,
  CoordinatorOptions,
  InquiryAnswer,
  Request,
} from "../../src/coordinator/index.js";
import { createStateMachine } from "../../src/txn/index.js";
import type { BranchSpec, Command, StateMachine, Vote } from "../../src/txn/index.js";

export const START_MS = 1_700_000_000_000;

export const OPTIONS: CoordinatorOptions = {
  transactionTimeoutMs: 10_000,
  clientLostMs: 2_000,
  inquiryMarginMs: 1_000,
  retryDelayMsMin: 100,
  retryDelayMsMax: 30_000,
  attemptsBeforePause: 5,
  callTimeoutMs: 5_000,
  breakerFailures: 100,
  breakerOpenMs: 2_000,
  retentionMs: 600_000,
  floorIntervalMs: 5_000,
  doneBatchMax: 100,
  doneDelayMs: 20,
  forgetBatchMax: 100,
  openTransactionsMax: 1_000,
  delegation: true,
};

export class Desk {
  readonly state: StateMachine = createStateMachine();
  readonly coordinator: Coordinator;
  readonly random = new Prng("desk").uint32;
  nowMs = 1_000;
  epoch = 0;
  #counter = 0;
  /** Proposed and not applied yet. */
  proposed: Command[] = [];
  calls: BranchCall[] = [];
  answers: { readonly session: number; readonly request: number; readonly answer: Answer }[] = [];
  inquiryAnswers: (InquiryAnswer & { readonly instance: number })[] = [];
  alarms: Alarm[] = [];
  wakeAtMs = Infinity;

  /**
   * `orders` is attached as instance 1 and `stock` as 2; the leader is established and both names are in the log. `onePhase`: these
   * instances know one-phase commit, so that transactions of one asked branch are delegated.
   */
  constructor(options: Partial<CoordinatorOptions> = {}, onePhase = false) {
    this.coordinator = createCoordinator(this.state, { ...OPTIONS, ...options }, this.random, () => this.stampMs);
    this.coordinator.instanceUp(1, "orders", "kv", this.nowMs, { onePhase });
    this.coordinator.instanceUp(2, "stock", "kv", this.nowMs, { onePhase });
    this.establish();
    this.commitAll();
  }

  get stampMs(): number {
    return Math.max(this.state.meta().stampMs, START_MS + this.nowMs);
  }

  gid(): Gid {
    return newGid(this.stampMs, this.random);
  }

  establish(): void {
    this.epoch++;
    this.#counter = 0;
    this.proposed = [];
    this.coordinator.establish(this.epoch, this.nowMs);
    this.drain();
  }

  resign(): void {
    this.coordinator.resign(this.nowMs);
    this.drain();
  }

  drain(): void {
    const ready = this.coordinator.drain(this.nowMs);
    this.proposed.push(...ready.propose);
    this.calls.push(...ready.calls);
    this.answers.push(...ready.answers);
    for (const { instance, answers } of ready.inquiryAnswers)
      this.inquiryAnswers.push(...answers.map((answer) => ({ ...answer, instance })));
    this.alarms.push(...ready.alarms);
    this.wakeAtMs = ready.wakeAtMs;
  }

  /** The oldest proposal is committed and applied. */
  commitOne(): void {
    const command = this.proposed.shift();
    if (command !== undefined) this.inject(command);
  }

  /** Every proposal is committed and applied, and what follows from that too. */
  commitAll(): void {
    while (this.proposed.length > 0) this.commitOne();
  }

  /** A record is applied, whoever proposed it. */
  inject(command: Command): void {
    const entry = { stampMs: this.stampMs, command };
    const zxid = { epoch: this.epoch, counter: ++this.#counter };
    this.coordinator.applied(entry, zxid, this.state.apply(entry, zxid), this.nowMs);
    this.drain();
  }

  /** The replica does not take what was proposed. */
  refuseAll(): void {
    const commands = this.proposed;
    this.proposed = [];
    this.coordinator.refused(commands, "the queue is full", this.nowMs);
    this.drain();
  }

  /** Time passes in steps as the driver asks to be woken. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let i = 0; this.nowMs < endMs; i++) {
      if (i > 100_000) throw new Error("the driver wakes without end");
      this.nowMs = Math.min(endMs, Math.max(this.wakeAtMs, this.nowMs + 1));
      this.coordinator.tick(this.nowMs);
      this.drain();
    }
  }

  request(body: Request, session = 7, request = 1): void {
    this.coordinator.request(session, request, body, this.nowMs);
    this.drain();
  }

  commit(gid: Gid, branches: readonly BranchSpec[], votes: Readonly<Record<string, Vote>> = {}, request = 1, session = 7): void {
    const list = branches.filter(({ mode }) => mode === "brought").map(({ id }) => ({ branch: id, vote: votes[id] ?? ("yes" as const) }));
    this.request({ kind: "commit", gid, client: "", timeoutMs: 0, branches, votes: list }, session, request);
  }

  open(gid: Gid, branches: readonly BranchSpec[] = [], client = ""): void {
    this.request({ kind: "open", gid, client, timeoutMs: 0, branches });
    this.commitAll();
  }

  vote(gid: Gid, branch: string, vote: Vote, instance = 1, detail = ""): void {
    this.#reply(instance, { phase: "prepare", gid, branch, result: { kind: "vote", vote, detail } });
  }

  done(gid: Gid, branch: string, phase: "commit" | "rollback", instance = 1): void {
    this.#reply(instance, { phase, gid, branch, result: { kind: "done" } });
  }

  /** The answers to a one-phase commit. */
  committed(gid: Gid, branch: string, instance = 1): void {
    this.#reply(instance, { phase: "one-phase", gid, branch, result: { kind: "done" } });
  }

  refused(gid: Gid, branch: string, instance = 1, detail = ""): void {
    this.#reply(instance, { phase: "one-phase", gid, branch, result: { kind: "refused", detail } });
  }

  fail(gid: Gid, branch: string, phase: "prepare" | "commit" | "rollback" | "one-phase", instance = 1): void {
    this.#reply(instance, { phase, gid, branch, result: { kind: "failed", detail: "lock wait timeout" } });
  }

  #reply(instance: number, reply: BranchReply): void {
    this.coordinator.replies(instance, [reply], this.nowMs);
    this.drain();
  }

  inquire(gid: Gid, branch: string, instance = 1): InquiryAnswer["answer"] | undefined {
    this.inquiryAnswers = [];
    this.coordinator.inquiries(instance, [{ gid, branch }], this.nowMs);
    this.drain();
    return this.inquiryAnswers[0]?.answer;
  }

  /** Calls since the last look, as `instance phase branch`. */
  takeCalls(): string[] {
    const calls = this.calls.map(({ instance, phase, branch }) => `${instance} ${phase} ${branch}`);
    this.calls = [];
    return calls;
  }

  takeAnswers(): Answer[] {
    const answers = this.answers.map(({ answer }) => answer);
    this.answers = [];
    return answers;
  }

  /** Kinds of what is proposed and not applied. */
  get kinds(): string[] {
    return this.proposed.map((command) =>
      command.kind === "DECIDE" ? `DECIDE ${command.decision} ${command.reason ?? ""}`.trim() : command.kind,
    );
  }
}

export function asked(id: string, participant = "orders"): BranchSpec {
  return { id, participant, mode: "asked", payload: Uint8Array.of(1, 2, 3) };
}

export function brought(id: string, participant = "orders"): BranchSpec {
  return { id, participant, mode: "brought", payload: new Uint8Array(0) };
}
