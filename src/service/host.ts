/**
 * The callers of registered services on this node: there while it leads and serves, and only then.
 *
 * To the driver each service is one attached instance of its participant. A registration that is written again, changed or not, makes a
 * new instance, and a new instance takes everything that waits: that is how a service is woken.
 */
import { readService, SERVICE_PREFIX, serviceBytes, type Logger, type ServiceSpec, type Zxid } from "../base/index.js";
import { BranchExecutor } from "../client/index.js";
import type { Abilities, BranchCall, BranchReply, InstanceId } from "../coordinator/index.js";
import type { Participant } from "../participant/index.js";
import type { CalledBranch } from "./call.js";
import { calledService } from "./participant.js";

/** Above the numbers of streams, which count from 1. */
const INSTANCE_FIRST = 2 ** 40;
/** The deadline cuts a call off; the driver's own timer is only for what this room might lose. */
const CALL_GRACE_MS = 2_000;
const QUEUE_MAX = 65_536;
const ROLLED_BACK_MAX = 65_536;

export interface ServiceHostOptions {
  readonly clusterId: string;
  /** Calls to one service under way at once: so many of new work, and as many of decisions. */
  readonly callsMax: number;
  readonly answerBytesMax: number;
  /** What this node's applied state has forgotten, ms of gid time. */
  readonly forgottenBelowMs: () => number;
  readonly log: Logger;
  readonly onInstanceUp: (instance: InstanceId, participant: string, participantKind: string, abilities: Abilities) => void;
  readonly onInstanceDown: (instance: InstanceId) => void;
  readonly onReplies: (instance: InstanceId, replies: readonly BranchReply[]) => void;
}

/** A register of the replicated state. */
export interface Registration {
  readonly name: string;
  readonly value: Uint8Array;
  readonly version: Zxid;
}

interface Running {
  readonly service: Participant;
  readonly executor: BranchExecutor<InstanceId>;
  readonly settings: Uint8Array;
  readonly deadlineMs: number;
  instance: InstanceId;
  registration: Registration;
}

export class ServiceHost {
  readonly #options: ServiceHostOptions;
  readonly #running = new Map<string, Running>();
  readonly #instances = new Map<InstanceId, Running>();
  /** Registrations that cannot be read, as they were said so. */
  readonly #unread = new Map<string, Registration>();
  #nextInstance = INSTANCE_FIRST;
  #epoch: number | undefined = undefined;
  #registrations: ReadonlyMap<string, Registration> | undefined = undefined;
  #replies: { readonly instance: InstanceId; readonly reply: BranchReply }[] = [];
  #closed = false;

  constructor(options: ServiceHostOptions) {
    this.#options = options;
  }

  /**
   * What the replica is now: the epoch it leads and serves, or undefined, and the registrations in its state, another map whenever one
   * changed. To be called once a turn, outside of any call of the replica; costs nothing when nothing changed.
   */
  follow(epoch: number | undefined, registrations: ReadonlyMap<string, Registration>): void {
    if (this.#closed || (epoch === this.#epoch && (epoch === undefined || registrations === this.#registrations))) return;
    if (epoch !== this.#epoch) this.#stopAll();
    this.#epoch = epoch;
    this.#registrations = registrations;
    if (epoch === undefined) return;
    for (const registration of registrations.values()) this.#take(epoch, registration);
  }

  /** The instance is a service of this node, as opposed to a stream. */
  has(instance: InstanceId): boolean {
    return instance >= INSTANCE_FIRST;
  }

  /** The reply comes in a later turn, if the instance is still there. */
  call({ instance, phase, kind, gid, branch, epoch, attempt, payload }: BranchCall): void {
    const running = this.#instances.get(instance);
    if (running === undefined) return;
    const ref: CalledBranch = { gid, branch, epoch, attempt };
    if (phase === "prepare") running.executor.prepare(ref, epoch, payload, instance, kind);
    else if (phase === "commit" || phase === "rollback") running.executor.settle(ref, phase, instance, false);
  }

  close(): void {
    this.#closed = true;
    this.#stopAll();
  }

  #take(epoch: number, registration: Registration): void {
    const running = this.#running.get(registration.name);
    if (running?.registration === registration) return;
    const read = readService(registration.name, registration.value);
    if (read.kind !== "service") {
      if (read.kind === "malformed") this.#unreadable(registration, read.problem);
      if (running !== undefined) this.#stop(running);
    } else if (running !== undefined && sameBytes(running.settings, serviceBytes(read.spec))) {
      this.#wake(running, registration);
    } else {
      if (running !== undefined) this.#stop(running);
      this.#start(epoch, read.name, read.spec, registration);
    }
  }

  #start(epoch: number, name: string, spec: ServiceSpec, registration: Registration): void {
    const { clusterId, callsMax, answerBytesMax, forgottenBelowMs, log } = this.#options;
    const service = calledService(name, spec, epoch, { clusterId, connectionsMax: 2 * callsMax, answerBytesMax, forgottenBelowMs });
    const executor = new BranchExecutor<InstanceId>(
      service,
      { prepareConcurrency: callsMax, settleConcurrency: callsMax, queueMax: QUEUE_MAX, rolledBackMax: ROLLED_BACK_MAX },
      {
        reply: (reply, origins) => this.#reply(reply, origins),
        voted: () => undefined,
        settling: () => undefined,
        settled: () => undefined,
        failed: (ref, phase, message) => log.debug({ service: name, gid: ref.gid, branch: ref.branch, phase, message }, "a service failed"),
      },
    );
    const running: Running = {
      service,
      executor,
      settings: serviceBytes(spec),
      deadlineMs: spec.deadlineMs,
      registration,
      instance: this.#nextInstance++,
    };
    this.#running.set(registration.name, running);
    log.info({ service: name, url: spec.url, kind: spec.kind, deadlineMs: spec.deadlineMs }, "a service is called from here");
    this.#up(running);
  }

  #up(running: Running): void {
    const { name, kind, manifest } = running.service;
    this.#instances.set(running.instance, running);
    this.#options.onInstanceUp(running.instance, name, kind, {
      onePhase: false,
      afterBegin: true,
      kinds: manifest.kinds ?? [],
      callTimeoutMs: running.deadlineMs + CALL_GRACE_MS,
    });
  }

  /** Calls under way go on; the new instance is told their results too, because it asks for them again. */
  #wake(running: Running, registration: Registration): void {
    this.#instances.delete(running.instance);
    this.#options.onInstanceDown(running.instance);
    running.instance = this.#nextInstance++;
    running.registration = registration;
    this.#up(running);
  }

  #stop(running: Running): void {
    this.#running.delete(running.registration.name);
    this.#instances.delete(running.instance);
    this.#options.onInstanceDown(running.instance);
    void running.service.close();
    this.#options.log.info({ service: running.service.name }, "a service is not called from here any more");
  }

  #stopAll(): void {
    for (const running of [...this.#running.values()]) this.#stop(running);
    this.#replies = [];
    this.#unread.clear();
  }

  #unreadable(registration: Registration, problem: string): void {
    if (this.#unread.get(registration.name) === registration) return;
    this.#unread.set(registration.name, registration);
    const fix = `write it again with \`quorate service add ${registration.name.slice(SERVICE_PREFIX.length)}\``;
    this.#options.log.error(
      { register: registration.name, problem },
      `a registration cannot be read, so nobody calls this service: ${fix}`,
    );
  }

  /** A call may be answered at once, inside a call of the replica; whatever is known in this turn is one input of the next. */
  #reply(reply: BranchReply, origins: readonly InstanceId[]): void {
    if (this.#replies.length === 0) setImmediate(() => this.#deliver());
    for (const instance of origins) this.#replies.push({ instance, reply });
  }

  #deliver(): void {
    const replies = this.#replies;
    this.#replies = [];
    for (const { instance, reply } of replies) if (this.#instances.has(instance)) this.#options.onReplies(instance, [reply]);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
