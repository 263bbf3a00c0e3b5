/**
 * A small deterministic world around the real state machine and driver: a log that commits in order with delays, leaders one after
 * another of which deposed ones go on acting, participants with durable prepared sets, and calls that are lost, repeated and
 * reordered. Everything comes from one seed.
 *
 * The log stands for consensus: at a change of leader any prefix of what is in flight survives, and the new leader starts with
 * everything that is committed.
 */
import { formatZxid, newGid, Prng } from "../../src/base/index.js";
import type { Gid, Zxid } from "../../src/base/index.js";
import { createCoordinator } from "../../src/coordinator/index.js";
import type {
  Answer,
  BranchCall,
  BranchReply,
  Coordinator,
  CoordinatorOptions,
  InquiryAnswer,
  Request,
} from "../../src/coordinator/index.js";
import { createStateMachine, type Command, type Decision, type StampedCommand, type StateMachine } from "../../src/txn/index.js";
import { TestClient } from "./test-client.js";
import { TestParticipant } from "./test-participant.js";

export const STAMP_BASE_MS = 1_700_000_000_000;
const MAX_LEADERS = 12;

export interface WorldOptions {
  readonly seed: number | string;
  readonly transactions: number;
  /** Nobody votes no, no client gives up, nothing takes longer than a timeout: then nothing may be aborted. */
  readonly promise: boolean;
  readonly coordinator?: Partial<CoordinatorOptions>;
}

export const WORLD_COORDINATOR_OPTIONS: CoordinatorOptions = {
  transactionTimeoutMs: 4_000,
  clientLostMs: 800,
  inquiryMarginMs: 500,
  retryDelayMsMin: 20,
  retryDelayMsMax: 1_000,
  attemptsBeforePause: 8,
  callTimeoutMs: 250,
  breakerFailures: 4,
  breakerOpenMs: 200,
  retentionMs: 7_000,
  floorIntervalMs: 400,
  doneBatchMax: 8,
  doneDelayMs: 15,
  forgetBatchMax: 5,
  openTransactionsMax: 1_000,
  delegation: true,
};

interface LogEntry {
  readonly zxid: Zxid;
  readonly entry: StampedCommand;
}

export interface WorldNode {
  readonly id: number;
  state: StateMachine;
  coordinator: Coordinator;
  /** How many entries of the log are applied. */
  applied: number;
  role: "leader" | "deposed" | "follower";
  epoch: number;
  readonly skewMs: number;
  tickAtMs: number;
  /** Client and instance streams of this life of the node. */
  life: number;
}

/** How hostile this seed is: drawn once for each world, so that some worlds lose a third of everything and others nothing. */
interface Swarm {
  readonly loss: number;
  readonly repeat: number;
  readonly slow: number;
  readonly logDelayMs: number;
  readonly refuse: number;
  /** The leader falls while a BEGIN or DECIDE it has just proposed is in flight. */
  readonly fall: number;
  readonly clientDies: number;
  /** Records nobody needs get into the log: old ones again, aborts, forgets. Apply alone must make them harmless. */
  readonly strays: number;
}

function drawSwarm(random: Prng, promise: boolean): Swarm {
  const up = (most: number): number => (random.chance(0.5) ? random.float() * most : 0);
  return {
    loss: promise ? 0.02 : up(0.3),
    repeat: up(0.4),
    slow: promise ? 0 : up(0.1),
    logDelayMs: random.pick([2, 15, 60]),
    refuse: promise ? 0 : up(0.05),
    fall: promise ? 0.02 : up(0.08),
    clientDies: promise ? 0 : up(0.5),
    strays: promise ? 0 : up(0.15),
  };
}

/** A broken rule; the message says which. */
export class Violation extends Error {}

export class World {
  readonly options: WorldOptions;
  readonly random: Prng;
  readonly swarm: Swarm;
  readonly nodes: WorldNode[] = [];
  readonly participants: TestParticipant[] = [];
  readonly clients: TestClient[] = [];
  /** First decision of each gid, in the order of the log. */
  readonly decisions = new Map<Gid, Decision>();
  readonly stats = {
    commits: 0,
    aborts: 0,
    leaders: 0,
    inquiries: 0,
    forgotten: 0,
    inquiryAborts: 0,
    timeouts: 0,
    readOnlyCommits: 0,
    delegatedCommits: 0,
    delegatedAborts: 0,
  };
  readonly log: LogEntry[] = [];
  nowMs = 0;
  /** Faults happen. Cleared for the last part of a run, in which everything must come to rest. */
  faulty = true;
  epoch = 0;
  #inflight: LogEntry[] = [];
  /** Every command ever proposed, by whatever leader, taken or not. */
  readonly #history: Command[] = [];
  #counter = 0;
  /** Applies every committed entry in order: the state that counts. */
  readonly #witness: StateMachine = createStateMachine();
  readonly #delegated = new Set<Gid>();
  readonly #queue: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];
  #order = 0;
  #streams = 1;

  constructor(options: WorldOptions) {
    this.options = options;
    this.random = new Prng(options.seed);
    this.swarm = drawSwarm(this.random, options.promise);
    for (let id = 0; id < 3; id++) {
      const skewMs = this.random.int(0, 20);
      const node: WorldNode = {
        id,
        state: createStateMachine(),
        coordinator: undefined as unknown as Coordinator,
        applied: 0,
        role: "follower",
        epoch: 0,
        skewMs,
        tickAtMs: Infinity,
        life: 0,
      };
      node.coordinator = this.#makeCoordinator(node);
      this.nodes.push(node);
    }
    const names = ["orders", "stock", "billing"];
    for (const name of names) this.participants.push(new TestParticipant(this, name));
    for (let i = 0; i < 2; i++) this.clients.push(new TestClient(this, i));
  }

  get witness(): StateMachine {
    return this.#witness;
  }

  get leader(): WorldNode | undefined {
    return this.nodes.find((node) => node.role === "leader");
  }

  stampOf(node: WorldNode): number {
    return Math.max(node.state.meta().stampMs, STAMP_BASE_MS + Math.floor(this.nowMs) + node.skewMs);
  }

  newGid(): Gid {
    return newGid(STAMP_BASE_MS + this.nowMs, this.random.uint32);
  }

  nextStream(): number {
    return this.#streams++;
  }

  // ---- time

  after(delayMs: number, run: () => void): void {
    const item = { atMs: this.nowMs + delayMs, order: this.#order++, run };
    const queue = this.#queue;
    queue.push(item);
    for (let i = queue.length - 1; i > 0;) {
      const parent = (i - 1) >> 1;
      if (!before(queue[i] as typeof item, queue[parent] as typeof item)) break;
      [queue[i], queue[parent]] = [queue[parent] as typeof item, queue[i] as typeof item];
      i = parent;
    }
  }

  runUntil(endMs: number): void {
    const queue = this.#queue;
    for (let next = queue[0]; next !== undefined && next.atMs <= endMs; next = queue[0]) {
      const last = queue.pop() as typeof next;
      if (queue.length > 0) {
        queue[0] = last;
        for (let i = 0; ;) {
          let least = i;
          for (const child of [2 * i + 1, 2 * i + 2]) {
            if (child < queue.length && before(queue[child] as typeof next, queue[least] as typeof next)) least = child;
          }
          if (least === i) break;
          [queue[i], queue[least]] = [queue[least] as typeof next, queue[i] as typeof next];
          i = least;
        }
      }
      this.nowMs = next.atMs;
      next.run();
    }
    this.nowMs = endMs;
  }

  /** Carries a message: lost, late, twice or out of order while faults last. */
  send(deliver: () => void): void {
    if (this.faulty && this.random.chance(this.swarm.loss)) return;
    const copies = this.faulty && this.random.chance(this.swarm.repeat) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const slow = this.faulty && this.random.chance(this.swarm.slow);
      this.after(slow ? this.random.int(50, 8_000) : this.random.float() * 12, deliver);
    }
  }

  // ---- leaders

  elect(): void {
    const old = this.leader;
    if (old !== undefined) this.#depose(old);
    const candidates = this.nodes.filter((node) => node.role !== "deposed" || this.random.chance(0.3));
    const next = this.random.pick(candidates.length > 0 ? candidates : this.nodes);
    if (next.role === "deposed") this.#resign(next);
    this.after(this.options.promise ? this.random.int(20, 250) : this.random.int(20, 900), () => {
      if (this.leader !== undefined || next.role !== "follower") return;
      this.epoch++;
      this.#counter = 0;
      this.stats.leaders++;
      next.role = "leader";
      next.epoch = this.epoch;
      this.#applyUpTo(next, this.log.length);
      next.coordinator.establish(this.epoch, this.nowMs);
      this.flush(next);
    });
  }

  /** Any prefix of what is in flight survives; the old leader does not notice yet. */
  #depose(node: WorldNode): void {
    const survive = this.random.int(0, this.#inflight.length);
    for (const entry of this.#inflight.slice(0, survive)) this.#commit(entry);
    this.#inflight = [];
    node.role = "deposed";
    this.after(this.random.int(0, 1_500), () => {
      if (node.role === "deposed") this.#resign(node);
    });
    // It may still learn records of its own epoch that survived.
    for (let i = 0; i < survive; i++) {
      this.after(this.random.int(0, 300), () => {
        const next = this.log[node.applied];
        if (node.role === "deposed" && next !== undefined && next.zxid.epoch === node.epoch) {
          this.#applyUpTo(node, node.applied + 1);
          this.flush(node);
        }
      });
    }
  }

  #resign(node: WorldNode): void {
    node.role = "follower";
    node.coordinator.resign(this.nowMs);
    this.flush(node);
    this.#follow(node);
  }

  /** A node stops and starts again with nothing but the log. */
  crash(node: WorldNode): void {
    if (node.role === "leader") this.#depose(node);
    node.role = "follower";
    node.life++;
    node.state = createStateMachine();
    if (this.random.chance(0.5)) this.#restoreFromCheckpoint(node);
    else node.applied = 0;
    node.coordinator = this.#makeCoordinator(node);
    node.tickAtMs = Infinity;
    this.#follow(node);
    for (const participant of this.participants) participant.attach(node);
    for (const client of this.clients) client.attach(node);
  }

  /** State as another node would have stored it, with the rest of the log to apply. */
  #restoreFromCheckpoint(node: WorldNode): void {
    const source = createStateMachine();
    const cut = this.random.int(0, this.log.length);
    const stored = new Map<string, ReturnType<StateMachine["takeChanges"]>[number]>();
    for (let i = 0; i < cut; i++) {
      const { entry, zxid } = this.log[i] as LogEntry;
      source.apply(entry, zxid);
      if (this.random.chance(0.1) || i === cut - 1)
        for (const change of source.takeChanges()) stored.set(`${change.kind}/${change.key}`, change);
    }
    node.state.restore(stored.values());
    node.applied = cut;
  }

  #makeCoordinator(node: WorldNode): Coordinator {
    const options = { ...WORLD_COORDINATOR_OPTIONS, ...this.options.coordinator };
    return createCoordinator(node.state, options, this.random.uint32, () => this.stampOf(node));
  }

  // ---- log

  #commit(item: LogEntry): void {
    this.log.push(item);
    const result = this.#witness.apply(item.entry, item.zxid);
    if (result.kind === "sealed" && result.transaction.delegated) this.#delegated.add(result.transaction.gid);
    if (result.kind === "decided" && result.first) {
      const known = this.decisions.get(result.gid);
      if (known !== undefined) throw new Violation(`${result.gid} decided twice: ${known}, then ${result.decision}`);
      this.decisions.set(result.gid, result.decision);
      this.#count(item.entry.command);
    }
    if (result.kind === "forgotten") this.stats.forgotten += result.gids.length;
    for (const node of this.nodes) if (node.role === "follower") this.#follow(node);
  }

  #count(command: Command): void {
    if (command.kind !== "DECIDE") return;
    const delegated = this.#delegated.has(command.gid) ? 1 : 0;
    if (command.decision === "commit") {
      this.stats.commits++;
      this.stats.delegatedCommits += delegated;
      if (command.readOnly.length > 0) this.stats.readOnlyCommits++;
      return;
    }
    this.stats.aborts++;
    this.stats.delegatedAborts += delegated;
    if (command.reason === "inquiry") this.stats.inquiryAborts++;
    if (command.reason === "timeout") this.stats.timeouts++;
    if (this.options.promise)
      throw new Violation(`${command.gid} aborted (${command.reason ?? ""}: ${command.detail}) although nothing went wrong`);
  }

  /** A follower applies a little later what is committed. */
  #follow(node: WorldNode): void {
    const { life } = node;
    this.after(this.random.float() * 40, () => {
      if (node.life !== life || node.role !== "follower") return;
      this.#applyUpTo(node, this.log.length);
      this.flush(node);
    });
  }

  #applyUpTo(node: WorldNode, end: number): void {
    while (node.applied < end) {
      const { entry, zxid } = this.log[node.applied] as LogEntry;
      const result = node.state.apply(entry, zxid);
      node.applied++;
      node.coordinator.applied(entry, zxid, result, this.nowMs);
    }
  }

  #append(node: WorldNode, command: Command): void {
    this.#counter++;
    this.#inflight.push({ zxid: { epoch: this.epoch, counter: this.#counter }, entry: { stampMs: this.stampOf(node), command } });
  }

  /** A record that no leader needs now: an old one again, or an abort or forget of any gid. */
  #stray(): Command {
    const unfinished = [...this.#witness.transactions()].map((transaction) => transaction.gid);
    if (unfinished.length > 0 && this.random.chance(0.3)) return { kind: "FORGET", gids: unfinished };
    const old = this.random.pick(this.#history);
    const gid = "gid" in old ? old.gid : undefined;
    if (gid === undefined || this.random.chance(0.6)) return old.kind === "FLOOR" ? { kind: "NOOP" } : old;
    if (this.random.chance(0.5)) return { kind: "FORGET", gids: [gid] };
    return { kind: "DECIDE", gid, decision: "abort", reason: "client", detail: "", yes: [], readOnly: [], refusedBy: "" };
  }

  /** Long after: old records come again, when everything is finished and forgotten. */
  replayHistory(count: number): void {
    const node = this.leader;
    if (node === undefined) return;
    const commands: Command[] = [];
    for (let i = 0; i < count; i++) commands.push(this.#stray());
    this.#propose(node, commands);
    this.flush(node);
  }

  #propose(node: WorldNode, commands: readonly Command[]): void {
    this.#history.push(...commands);
    const overloaded = this.faulty && this.random.chance(this.swarm.refuse);
    if (node.role !== "leader" || overloaded) {
      // A deposed leader's proposals vanish, or are refused.
      if (node.role === "leader" || this.random.chance(0.3)) node.coordinator.refused(commands, "overloaded", this.nowMs);
      return;
    }
    const { epoch } = this;
    for (const command of commands) this.#append(node, command);
    if (this.faulty && this.random.chance(this.swarm.strays)) this.#append(node, this.#stray());
    const last = this.#counter;
    const critical = commands.some((command) => command.kind === "BEGIN" || command.kind === "DECIDE");
    if (critical && this.faulty && this.random.chance(this.swarm.fall) && this.stats.leaders < MAX_LEADERS) {
      this.after(this.random.float() * this.swarm.logDelayMs, () => {
        if (this.faulty && node.role === "leader" && node.epoch === epoch) this.elect();
      });
    }
    this.after(this.random.float() * this.swarm.logDelayMs, () => {
      if (node.role !== "leader" || node.epoch !== epoch) return;
      while (this.#inflight.length > 0 && (this.#inflight[0] as LogEntry).zxid.counter <= last)
        this.#commit(this.#inflight.shift() as LogEntry);
      this.#applyUpTo(node, this.log.length);
      this.flush(node);
    });
  }

  // ---- driver

  flush(node: WorldNode): void {
    for (let round = 0; ; round++) {
      if (round > 1_000) throw new Violation("the driver does not come to rest");
      const ready = node.coordinator.drain(this.nowMs);
      if (ready.propose.length > 0) this.#propose(node, ready.propose);
      for (const call of ready.calls) this.#call(node, call);
      for (const { session, request, answer } of ready.answers) this.#answer(node, session, request, answer);
      for (const { instance, answers } of ready.inquiryAnswers) this.#inquiryAnswers(node, instance, answers);
      if (ready.propose.length === 0) return this.#wake(node, ready.wakeAtMs);
    }
  }

  #wake(node: WorldNode, atMs: number): void {
    if (atMs === Infinity || (node.tickAtMs <= atMs && node.tickAtMs > this.nowMs)) return;
    const dueMs = Math.max(atMs, this.nowMs + 0.01);
    node.tickAtMs = dueMs;
    const { life } = node;
    this.after(dueMs - this.nowMs, () => {
      if (node.life !== life || node.tickAtMs !== dueMs) return;
      node.tickAtMs = Infinity;
      node.coordinator.tick(this.nowMs);
      this.flush(node);
    });
  }

  #call(node: WorldNode, call: BranchCall): void {
    const participant = this.participants.find((candidate) => candidate.serves(call.instance));
    if (participant === undefined) return;
    const { life } = node;
    this.send(() => {
      const reply = participant.call(call);
      if (reply !== undefined) this.send(() => this.#reply(node, life, call.instance, reply));
    });
  }

  #reply(node: WorldNode, life: number, instance: number, reply: BranchReply): void {
    if (node.life !== life) return;
    node.coordinator.replies(instance, [reply], this.nowMs);
    this.flush(node);
  }

  inquire(node: WorldNode, instance: number, gid: Gid, branch: string): void {
    this.stats.inquiries++;
    const { life } = node;
    this.send(() => {
      if (node.life !== life) return;
      node.coordinator.inquiries(instance, [{ gid, branch }], this.nowMs);
      this.flush(node);
    });
  }

  #inquiryAnswers(_node: WorldNode, instance: number, answers: readonly InquiryAnswer[]): void {
    const participant = this.participants.find((candidate) => candidate.serves(instance));
    for (const answer of answers) this.send(() => participant?.answered(answer));
  }

  request(node: WorldNode, session: number, request: number, body: Request): void {
    const { life } = node;
    this.send(() => {
      if (node.life !== life) return;
      node.coordinator.request(session, request, body, this.nowMs);
      this.flush(node);
    });
  }

  #answer(_node: WorldNode, session: number, request: number, answer: Answer): void {
    const client = this.clients.find((candidate) => candidate.owns(session));
    this.send(() => client?.answered(request, answer));
  }

  // ---- what must hold

  /** At rest: everything decided is the same everywhere, and nobody is left waiting. */
  checkAtRest(): void {
    for (const participant of this.participants) participant.checkAtRest();
    for (const client of this.clients) client.check();
    const texts = new Set(
      this.nodes.map((node) => {
        this.#applyUpTo(node, this.log.length);
        return node.state.canonical();
      }),
    );
    texts.add(this.#witness.canonical());
    if (texts.size !== 1) throw new Violation("replicas differ");
    const { leader } = this;
    if (leader === undefined) throw new Violation("no leader at rest");
    const { open, sealed, decidedUnfinished } = leader.state.counts();
    if (open + sealed + decidedUnfinished > 0) {
      throw new Violation(`left over: ${open} open, ${sealed} sealed, ${decidedUnfinished} unacknowledged\n${leader.state.canonical()}`);
    }
    const { waiting, inDoubt, paused } = leader.coordinator.counts();
    if (waiting + inDoubt + paused > 0) throw new Violation(`waiting ${waiting}, in doubt ${inDoubt}, paused ${paused} at rest`);
  }

  /** A branch acted: it must agree with the first decision in the log. */
  acted(gid: Gid, branch: string, did: "commit" | "rollback", readOnlyCopy: boolean): void {
    const decision = this.decisions.get(gid);
    const dropped = did === "commit" && this.recordedVote(gid, branch) === "read-only";
    if (dropped) throw new Violation(`${gid}/${branch} committed, recorded as read-only`);
    // The participant alone decides it, once its BEGIN is committed.
    if (did === "commit" && decision === undefined && this.#delegated.has(gid)) return;
    if (did === "commit" && decision !== "commit") throw new Violation(`${gid}/${branch} committed, decision is ${decision ?? "none"}`);
    if (did === "rollback" && decision === "commit" && !readOnlyCopy)
      throw new Violation(`${gid}/${branch} rolled back, decision is commit`);
  }

  /** Vote recorded for a branch of a committed transaction, from the log itself. */
  recordedVote(gid: Gid, branch: string): "yes" | "read-only" | undefined {
    for (const { entry } of this.log) {
      const { command } = entry;
      if (command.kind !== "DECIDE" || command.gid !== gid || command.decision !== "commit") continue;
      if (command.yes.includes(branch)) return "yes";
      if (command.readOnly.includes(branch)) return "read-only";
    }
    return undefined;
  }

  /** For a failing seed: the log of one gid. */
  story(gid: Gid): string {
    return this.log
      .filter(({ entry: { command } }) => JSON.stringify(command).includes(gid))
      .map(
        ({ zxid, entry }) =>
          `${formatZxid(zxid)} @${entry.stampMs - STAMP_BASE_MS} ${JSON.stringify({ ...entry.command, branches: undefined })}`,
      )
      .join("\n");
  }
}

function before(a: { atMs: number; order: number }, b: { atMs: number; order: number }): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order;
}
