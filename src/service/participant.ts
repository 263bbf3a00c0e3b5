/**
 * A registered service as a participant: the contract's calls, made to it over the network.
 *
 * It decides nothing and remembers nothing: idempotence, durability and the order of late calls are the service's, as
 * docs/participants.md says. It cannot list what is in doubt, so it is asked only for what has a record (afterBegin).
 */
import type { ServiceSpec } from "../base/index.js";
import type { BranchRef, Participant, ParticipantManifest, PrepareRequest, SettleResult, VoteResult } from "../participant/index.js";
import type { ServicePhaseName } from "../wire/index.js";
import type { CalledBranch, Caller, CallerOptions, ServiceCall, ServiceSaid } from "./call.js";
import { GrpcCaller } from "./grpc-caller.js";
import { HttpCaller } from "./http-caller.js";

const NO_PAYLOAD = new Uint8Array(0);
const DONE: SettleResult = Object.freeze({ kind: "done" });

const PHASES = {
  "2pc": { prepare: "prepare", commit: "commit", rollback: "rollback" },
  tcc: { prepare: "try", commit: "confirm", rollback: "cancel" },
} as const satisfies Record<ServiceSpec["kind"], Readonly<Record<"prepare" | "commit" | "rollback", ServicePhaseName>>>;

/** The service is there and cannot yet: asked again soon, and no failure of it. */
export class NotYet extends Error {
  readonly notYet = true;
}

/** Of every way to call. `epoch`: the leader's, for calls that do not say it. */
abstract class CalledService implements Participant {
  readonly name: string;
  abstract readonly kind: string;
  readonly manifest: ParticipantManifest;
  readonly #caller: Caller;
  readonly #spec: ServiceSpec;
  readonly #epoch: number;

  constructor(name: string, spec: ServiceSpec, epoch: number, caller: Caller) {
    this.name = name;
    this.#spec = spec;
    this.manifest = { asked: true, brought: false, readOnlyVote: spec.kind === "2pc", afterBegin: true, kinds: [spec.kind] };
    this.#epoch = epoch;
    this.#caller = caller;
  }

  /** There is nothing to check: a service that is down now may be up when it is needed. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  async prepare(request: PrepareRequest): Promise<VoteResult> {
    const said = await this.#ask("prepare", request, request.payload);
    if (said.kind === "refused") return { vote: "no", detail: said.detail };
    if (said.vote === "read-only" && this.#spec.kind === "tcc") return { vote: "no", detail: "it voted read-only, which a try cannot" };
    return { vote: said.vote, detail: "" };
  }

  async commit(ref: BranchRef): Promise<SettleResult> {
    await this.#ask("commit", ref, NO_PAYLOAD);
    return DONE;
  }

  async rollback(ref: BranchRef): Promise<SettleResult> {
    await this.#ask("rollback", ref, NO_PAYLOAD);
    return DONE;
  }

  /** A service tells nobody what it holds; the cluster knows, because nothing is asked of it before its record. */
  listInDoubt(): Promise<readonly BranchRef[]> {
    return Promise.resolve([]);
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    this.#caller.close();
    return Promise.resolve();
  }

  async #ask(
    phase: "prepare" | "commit" | "rollback",
    ref: BranchRef & Partial<CalledBranch>,
    payload: Uint8Array,
  ): Promise<Exclude<ServiceSaid, { kind: "not-yet" }>> {
    const { gid, branch, epoch = this.#epoch, attempt = 1 } = ref;
    const call: ServiceCall = { phase: PHASES[this.#spec.kind][phase], gid, branch, epoch, attempt, payload };
    const said = await this.#caller.call(call);
    if (said.kind === "not-yet") throw new NotYet(said.detail);
    return said;
  }
}

export type ServiceOptions = Omit<CallerOptions, "url" | "deadlineMs" | "participant">;

export class HttpService extends CalledService {
  readonly kind = "http";

  constructor(name: string, spec: ServiceSpec, epoch: number, options: ServiceOptions) {
    super(name, spec, epoch, new HttpCaller({ ...options, url: spec.url, deadlineMs: spec.deadlineMs, participant: name }));
  }
}

export class GrpcService extends CalledService {
  readonly kind = "grpc";

  constructor(name: string, spec: ServiceSpec, epoch: number, options: ServiceOptions) {
    super(name, spec, epoch, new GrpcCaller({ ...options, url: spec.url, deadlineMs: spec.deadlineMs, participant: name }));
  }
}

export function calledService(name: string, spec: ServiceSpec, epoch: number, options: ServiceOptions): Participant {
  const Service = spec.url.toLowerCase().startsWith("grpc:") ? GrpcService : HttpService;
  return new Service(name, spec, epoch, options);
}
