/**
 * Serves one participant to the whole cluster for as long as this process lives: one Attach stream to every member, the calls run
 * against the participant, and branches in doubt ask until they know.
 *
 * It never decides an outcome. A commit or a roll back comes from the cluster, by a call or as the answer to an inquiry.
 */
import { performance } from "node:perf_hooks";
import { gidProblem, messageOf, nameProblem, PRODUCT_VERSION, QuorateError } from "../base/index.js";
import type { BranchPhase, BranchReply } from "../coordinator/index.js";
import type { BranchRef, Participant, SettleResult, VoteResult } from "../participant/index.js";
import type { CoordinatorFrame } from "../wire/index.js";
import { AttachLink } from "./attach-link.js";
import { BranchExecutor, DEFAULT_LIMITS } from "./branch-executor.js";
import type { ExecutorLimits } from "./branch-executor.js";
import { DurationHistogram } from "./duration-histogram.js";
import type { Endpoint } from "./endpoint.js";
import type { EndpointPool, EndpointWatcher } from "./endpoint-pool.js";
import { randomFloat } from "./entropy.js";
import type { EventListener } from "./events.js";
import { Forgetting } from "./forgetting.js";
import { branchKey, InDoubtTable } from "./in-doubt-table.js";

/** How often due inquiries are looked for. */
const TICK_MS = 50;
/** Inquiries of one tick. */
const INQUIRIES_PER_TICK = 1_000;
/** A branch must be missing from listings at least this long after its vote before it counts as settled by somebody else. */
const LISTING_SLACK_MS = 1_000;
/** Longer messages are cut: they are for people. */
const DETAIL_CHARS_MAX = 1_000;

export interface AgentStats {
  readonly participant: string;
  /** Nodes this instance is attached to right now. */
  readonly streams: number;
  readonly votesYes: number;
  readonly committed: number;
  readonly rolledBack: number;
  readonly heuristic: number;
  /** Calls that the participant could not do at that moment. */
  readonly failed: number;
  /** Branches whose outcome was asked for rather than told. */
  readonly resolvedByInquiry: number;
  /** Branches in doubt right now, and the age of the oldest, ms. */
  readonly inDoubt: number;
  readonly oldestInDoubtMs: number;
  /** From the yes to the durable outcome, over all settled branches, ms. */
  readonly inDoubtMaxMs: number;
  readonly inDoubtP99Ms: number;
  /** The participant was told to drop the outcomes of gids older than this, and did, ms since 1970; 0 when none or never. */
  readonly forgottenBelowMs: number;
}

export interface AgentOptions {
  readonly pool: EndpointPool;
  readonly instance: string;
  readonly limits?: Partial<ExecutorLimits> | undefined;
  readonly onEvent: EventListener;
  /** Whether anybody listens: an event object per branch is not made for nobody. */
  readonly observed: boolean;
}

export class ParticipantAgent implements EndpointWatcher {
  readonly participant: Participant;
  readonly #options: AgentOptions;
  readonly #executor: BranchExecutor<AttachLink>;
  readonly #doubts = new InDoubtTable(randomFloat);
  readonly #links = new Map<Endpoint, AttachLink>();
  readonly #durations = new DurationHistogram();
  readonly #counts = { votesYes: 0, committed: 0, rolledBack: 0, heuristic: 0, failed: 0, resolvedByInquiry: 0 };
  /** Absent where the participant keeps its rows for ever. */
  readonly #forgetting: Forgetting | undefined;
  #clusterId = "";
  #ticker: NodeJS.Timeout | undefined;
  #scanTimer: NodeJS.Timeout | undefined;
  #onOpen: (() => void) | undefined;
  #closed = false;

  constructor(participant: Participant, options: AgentOptions) {
    this.participant = participant;
    this.#options = options;
    this.#executor = new BranchExecutor<AttachLink>(
      participant,
      { ...DEFAULT_LIMITS, ...options.limits },
      {
        reply: (reply, origins) => this.#reply(reply, origins),
        voted: (ref) => {
          this.#counts.votesYes++;
          this.#doubts.voted(ref, performance.now());
        },
        settling: (ref) => this.#doubts.settling(ref),
        settled: (ref, phase, result, byInquiry) => this.#settled(ref, phase, result, byInquiry),
        failed: (ref, phase, message) => this.#failed(ref, phase, message),
      },
    );
    if (participant.forgetBelow !== undefined) {
      this.#forgetting = new Forgetting({
        forget: async (belowMs) => participant.forgetBelow?.(belowMs),
        onFailed: (message) => options.onEvent({ kind: "forget-failed", participant: participant.name, message }),
      });
    }
  }

  /**
   * Checks the participant, finds what is in doubt, and attaches to every member. Resolves when the leader has this instance.
   * Rejects with the participant's own setup error, QUORATE_NO_QUORUM or QUORATE_UNREACHABLE; nothing stays attached then.
   */
  async start(clusterId: string, timeoutMs: number): Promise<void> {
    const problem = nameProblem("participant", this.participant.name) ?? manifestProblem(this.participant);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    await this.participant.start(clusterId);
    this.#clusterId = clusterId;
    const now = performance.now();
    for (const ref of this.#wellFormed(await this.participant.listInDoubt())) this.#doubts.found(ref, now);
    this.#options.pool.watch(this);
    this.#ticker = setInterval(() => this.#inquire(), TICK_MS).unref();
    this.#scheduleScan();
    try {
      await this.#attached(timeoutMs);
    } catch (error) {
      await this.close(0);
      throw error;
    }
  }

  stats(): AgentStats {
    let streams = 0;
    for (const link of this.#links.values()) if (link.open) streams++;
    return {
      participant: this.participant.name,
      streams,
      ...this.#counts,
      inDoubt: this.#doubts.size,
      oldestInDoubtMs: this.#doubts.oldestMs(performance.now()),
      inDoubtMaxMs: this.#durations.maxMs,
      inDoubtP99Ms: this.#durations.quantileMs(0.99),
      forgottenBelowMs: this.#forgetting?.doneMs ?? 0,
    };
  }

  prepareBrought(ref: BranchRef, work: () => Promise<VoteResult>): Promise<VoteResult> {
    return this.#executor.prepareBrought(ref, work);
  }

  rollbackBrought(ref: BranchRef, work: () => Promise<void>): Promise<void> {
    return this.#executor.rollbackBrought(ref, work);
  }

  /** Lets running calls end (at most `drainMs`), then leaves. The participant itself stays open: whoever made it closes it. */
  async close(drainMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticker);
    clearTimeout(this.#scanTimer);
    this.#options.pool.unwatch(this);
    const forgotten = this.#forgetting?.close();
    if (drainMs > 0) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, drainMs)));
      await Promise.race([Promise.all([this.#executor.drained(), forgotten]), late]);
      clearTimeout(timer);
    }
    for (const link of this.#links.values()) link.stop();
    this.#links.clear();
  }

  endpointAdded(endpoint: Endpoint): void {
    const { name, kind, manifest } = this.participant;
    const { onePhase = false, afterBegin = false, kinds = ["2pc"] } = manifest;
    const instance = { instance: this.#options.instance, version: PRODUCT_VERSION };
    const link = new AttachLink(endpoint, {
      hello: () => ({ participant: name, participantKind: kind, ...instance, onePhase, afterBegin, kinds }),
      inDoubt: () => this.#doubts.open(performance.now()),
      onOpen: () => {
        this.#options.onEvent({ kind: "attached", participant: name, address: endpoint.address, inDoubt: this.#doubts.size });
        this.#onOpen?.();
      },
      onFrame: (from, frame) => this.#received(from, frame),
      onLost: (_, why, wasOpen) => {
        if (wasOpen) this.#options.onEvent({ kind: "detached", participant: name, address: endpoint.address, why });
      },
    });
    this.#links.set(endpoint, link);
    link.start();
  }

  endpointRemoved(endpoint: Endpoint): void {
    this.#links.get(endpoint)?.stop();
    this.#links.delete(endpoint);
  }

  leaderChanged(): void {
    this.#doubts.askSoon(performance.now());
    this.#inquire();
    this.#onOpen?.();
  }

  #attached(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#onOpen = undefined;
        const said = [...this.#links.values()].map(
          (link) => `${link.endpoint.address} ${link.open ? "took it" : (link.lastFailure ?? "is silent")}`,
        );
        const message = `${this.participant.name} could not attach to the leader within ${timeoutMs} ms (${said.join("; ")}; ${this.#options.pool.report()})`;
        reject(new QuorateError(this.#options.pool.reachable ? "QUORATE_NO_QUORUM" : "QUORATE_UNREACHABLE", message, { retry: "safe" }));
      }, timeoutMs);
      this.#onOpen = () => {
        if (this.#leaderLink() === undefined) return;
        this.#onOpen = undefined;
        clearTimeout(timer);
        resolve();
      };
      this.#onOpen();
    });
  }

  #received(link: AttachLink, frame: CoordinatorFrame): void {
    // Whichever node says it: see StateMachine.forgottenBelowMs. But never one of another cluster, which knows nothing of our gids.
    if (frame.view?.clusterId === this.#clusterId) this.#forgetting?.told(frame.view.forgottenBelowMs);
    for (const call of frame.calls) {
      const ref: BranchRef = { gid: call.gid, branch: call.branch };
      const told = call.kind === "tcc" ? { ...ref, kind: call.kind, epoch: call.epoch } : ref;
      if (call.phase === "commit" || call.phase === "rollback") this.#executor.settle(told, call.phase, link, false);
      else if (this.#closed) continue;
      else if (call.phase === "prepare") this.#executor.prepare(ref, call.epoch, call.payload, link, call.kind);
      else this.#executor.onePhase(ref, call.epoch, call.payload, link);
    }
    for (const { gid, branch, answer } of frame.answers) {
      const ref: BranchRef = { gid, branch };
      if (!this.#doubts.has(ref)) continue;
      if (answer === "commit" || answer === "rollback") this.#executor.settle(ref, answer, this.#leaderLink() ?? link, true);
      else if (answer === "wait") this.#doubts.answeredWait(ref, performance.now());
    }
  }

  #reply(reply: BranchReply, origins: readonly AttachLink[]): void {
    const cut = shortened(reply);
    let sent = false;
    for (const link of origins) {
      if (!link.open) continue;
      link.reply(cut);
      sent = true;
    }
    // Asked by a node that is gone: whoever leads now is about to ask the same. Without a leader it is asked again later.
    if (!sent) this.#leaderLink()?.reply(cut);
  }

  #settled(ref: BranchRef, phase: "commit" | "rollback", result: SettleResult, byInquiry: boolean): void {
    const inDoubtMs = this.#doubts.settled(ref, performance.now());
    if (inDoubtMs !== undefined) this.#durations.record(inDoubtMs);
    if (phase === "commit") this.#counts.committed++;
    else this.#counts.rolledBack++;
    if (byInquiry) this.#counts.resolvedByInquiry++;
    if (result.kind === "heuristic") this.#counts.heuristic++;
    if (!this.#options.observed) return;
    const participant = this.participant.name;
    const { gid, branch } = ref;
    this.#options.onEvent({ kind: "branch-settled", participant, gid, branch, outcome: phase, inDoubtMs, byInquiry });
    if (result.kind === "heuristic") {
      this.#options.onEvent({ kind: "branch-heuristic", participant, gid, branch, outcome: result.outcome, detail: result.detail });
    }
  }

  #failed(ref: BranchRef, phase: BranchPhase, message: string): void {
    this.#counts.failed++;
    if (phase === "commit" || phase === "rollback") this.#doubts.settleFailed(ref, performance.now());
    this.#options.onEvent({ kind: "call-failed", participant: this.participant.name, gid: ref.gid, branch: ref.branch, phase, message });
  }

  /** Asks the leader; everybody while none is known, or it does not help: a follower may answer what is decided. */
  #inquire(): void {
    if (this.#doubts.size === 0) return;
    const leader = this.#leaderLink();
    const everybody = [...this.#links.values()].filter((link) => link.open);
    if (everybody.length === 0) return;
    for (const ref of this.#doubts.due(performance.now(), INQUIRIES_PER_TICK)) {
      const targets = leader === undefined || this.#doubts.unhelped(ref) ? everybody : [leader];
      for (const link of targets) link.inquire(ref);
    }
  }

  #scheduleScan(): void {
    const intervalMs = this.participant.scanIntervalMs ?? 0;
    if (intervalMs <= 0 || this.#closed) return;
    this.#scanTimer = setTimeout(() => void this.#scan(intervalMs).finally(() => this.#scheduleScan()), intervalMs).unref();
  }

  async #scan(intervalMs: number): Promise<void> {
    const startMs = performance.now();
    try {
      const refs = this.#wellFormed(await this.participant.listInDoubt({ olderThanMs: intervalMs }));
      const now = performance.now();
      for (const ref of refs) if (!this.#executor.isBusy(ref)) this.#doubts.found(ref, now);
      this.#doubts.listed(new Set(refs.map(branchKey)), startMs - intervalMs - LISTING_SLACK_MS);
    } catch (error) {
      this.#options.onEvent({ kind: "scan-failed", participant: this.participant.name, message: messageOf(error) });
    }
  }

  /** A node ends the stream of an instance that names what cannot exist: one bad row must not keep the others from being asked about. */
  #wellFormed(refs: readonly BranchRef[]): readonly BranchRef[] {
    return refs.filter((ref) => {
      const problem = gidProblem(ref.gid) ?? nameProblem("branch", ref.branch);
      if (problem !== undefined) this.#options.onEvent({ kind: "scan-failed", participant: this.participant.name, message: problem });
      return problem === undefined;
    });
  }

  #leaderLink(): AttachLink | undefined {
    const endpoint = this.#options.pool.leaderEndpoint;
    const link = endpoint === undefined ? undefined : this.#links.get(endpoint);
    return link?.open === true ? link : undefined;
  }
}

function manifestProblem({ name, manifest, commitOnePhase }: Participant): string | undefined {
  const kinds = manifest.kinds ?? ["2pc"];
  if (kinds.length === 0 || kinds.some((kind) => kind !== "2pc" && kind !== "tcc")) {
    return `the manifest of participant "${name}" has the kinds ${JSON.stringify(kinds)}; name "2pc", "tcc" or both`;
  }
  if (manifest.onePhase !== true || commitOnePhase !== undefined) return undefined;
  return `the manifest of participant "${name}" says onePhase, but it has no commitOnePhase`;
}

function shortened(reply: BranchReply): BranchReply {
  const result = reply.result;
  if (!("detail" in result) || result.detail.length <= DETAIL_CHARS_MAX) return reply;
  return { ...reply, result: { ...result, detail: result.detail.slice(0, DETAIL_CHARS_MAX) } } as BranchReply;
}
