/**
 * The participants that this process serves, by name: attached together, found again by the transactions of the same process.
 */
import { randomUUID } from "node:crypto";
import { must, QuorateError } from "../base/index.js";
import type { BranchRef, Participant, VoteResult } from "../participant/index.js";
import type { ExecutorLimits } from "./branch-executor.js";
import type { EndpointPool } from "./endpoint-pool.js";
import type { EventListener } from "./events.js";
import { ParticipantAgent } from "./participant-agent.js";
import type { AgentStats } from "./participant-agent.js";
import type { BroughtRunner } from "./transaction-scope.js";

/** A participant with limits of its own on what runs at once. */
export interface AttachOptions {
  readonly participant: Participant;
  readonly limits: Partial<ExecutorLimits>;
}

const CLOSE_DRAIN_MS = 5_000;

export class Attachment implements AsyncDisposable {
  readonly #agents: readonly ParticipantAgent[];
  readonly #forget: (agents: readonly ParticipantAgent[]) => void;

  /** Use `quorate.attach`. */
  constructor(agents: readonly ParticipantAgent[], forget: (agents: readonly ParticipantAgent[]) => void) {
    this.#agents = agents;
    this.#forget = forget;
  }

  /** One entry per participant, in the order of `attach`. */
  stats(): readonly AgentStats[] {
    return this.#agents.map((agent) => agent.stats());
  }

  /** Lets running calls end (at most `drainMs`), then leaves the cluster. */
  async close(options: { readonly drainMs?: number } = {}): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.close(options.drainMs ?? CLOSE_DRAIN_MS)));
    this.#forget(this.#agents);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export class AttachedParticipants implements BroughtRunner {
  readonly #pool: EndpointPool;
  readonly #onEvent: EventListener;
  readonly #observed: boolean;
  readonly #instance = randomUUID();
  readonly #agents = new Map<string, ParticipantAgent>();

  constructor(pool: EndpointPool, onEvent: EventListener, observed: boolean) {
    this.#pool = pool;
    this.#onEvent = onEvent;
    this.#observed = observed;
  }

  /** All or none. Rejects with QUORATE_WRONG_STATE for a name that this client serves already. */
  async attach(list: readonly (Participant | AttachOptions)[], timeoutMs: number): Promise<Attachment> {
    const clusterId = must(this.#pool.clusterId, "the cluster's id after connect");
    const agents: ParticipantAgent[] = [];
    for (const entry of list) {
      const { participant, limits } = "participant" in entry ? entry : { participant: entry, limits: undefined };
      if (this.#agents.has(participant.name)) {
        this.#forget(agents);
        throw new QuorateError("QUORATE_WRONG_STATE", `participant ${participant.name} is attached by this client already`);
      }
      const agent = new ParticipantAgent(participant, {
        pool: this.#pool,
        instance: this.#instance,
        limits,
        onEvent: this.#onEvent,
        observed: this.#observed,
      });
      this.#agents.set(participant.name, agent);
      agents.push(agent);
    }
    const results = await Promise.allSettled(agents.map((agent) => agent.start(clusterId, timeoutMs)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) {
      await Promise.all(agents.map((agent) => agent.close(0)));
      this.#forget(agents);
      throw failed.reason;
    }
    return new Attachment(agents, (gone) => this.#forget(gone));
  }

  prepareBrought(participant: string, ref: BranchRef, work: () => Promise<VoteResult>): Promise<VoteResult> {
    const agent = this.#agents.get(participant);
    return agent === undefined ? work() : agent.prepareBrought(ref, work);
  }

  rollbackBrought(participant: string, ref: BranchRef, work: () => Promise<void>): Promise<void> {
    const agent = this.#agents.get(participant);
    return agent === undefined ? work() : agent.rollbackBrought(ref, work);
  }

  async close(drainMs: number): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.close(drainMs)));
    this.#agents.clear();
  }

  #forget(agents: readonly ParticipantAgent[]): void {
    for (const agent of agents) if (this.#agents.get(agent.participant.name) === agent) this.#agents.delete(agent.participant.name);
  }
}
