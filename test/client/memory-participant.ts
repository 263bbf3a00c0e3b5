/**
 * A small resource that keeps the participant's contract, in memory: values by key, written when their branch commits. Every call is
 * written down, and a test may make one fail or wait.
 */
import type {
  BranchRef,
  BroughtBranch,
  BroughtParticipant,
  InDoubtFilter,
  PrepareRequest,
  SettleResult,
  VoteResult,
} from "../../src/participant/index.js";

export interface MemoryHandle {
  set(key: string, value: string): void;
}

type Writes = Map<string, string>;

export class MemoryParticipant implements BroughtParticipant<MemoryHandle> {
  readonly name: string;
  readonly kind = "memory";
  readonly manifest = { asked: true, brought: true, readOnlyVote: true };
  readonly values: Writes = new Map();
  readonly prepared = new Map<string, Writes>();
  readonly calls: string[] = [];
  scanIntervalMs = 0;
  /** Runs before each call: throws or waits to make it fail or late. */
  before: (call: string, ref: BranchRef | undefined) => Promise<void> | void = () => undefined;
  vote: VoteResult = { vote: "yes", detail: "" };

  constructor(name: string) {
    this.name = name;
  }

  async start(clusterId: string): Promise<void> {
    await this.#called(`start ${clusterId}`, undefined);
  }

  async begin(ref: BranchRef): Promise<BroughtBranch<MemoryHandle>> {
    await this.#called("begin", ref);
    const writes: Writes = new Map();
    return {
      handle: { set: (key, value) => void writes.set(key, value) },
      prepare: async () => {
        await this.#called("own prepare", ref);
        if (this.vote.vote === "yes") this.prepared.set(keyOf(ref), writes);
        return this.vote;
      },
      rollback: async () => {
        await this.#called("own rollback", ref);
        this.prepared.delete(keyOf(ref));
      },
    };
  }

  async prepare(request: PrepareRequest): Promise<VoteResult> {
    await this.#called(`prepare@${request.epoch}`, request);
    const [key, value] = new TextDecoder().decode(request.payload).split("=");
    if (this.prepared.has(keyOf(request))) return { vote: "yes", detail: "" };
    if (key === undefined || value === undefined) return { vote: "no", detail: "the work is not known here" };
    if (this.vote.vote === "yes") this.prepared.set(keyOf(request), new Map([[key, value]]));
    return this.vote;
  }

  async commit(ref: BranchRef): Promise<SettleResult> {
    await this.#called("commit", ref);
    for (const [key, value] of this.prepared.get(keyOf(ref)) ?? []) this.values.set(key, value);
    this.prepared.delete(keyOf(ref));
    return { kind: "done" };
  }

  async rollback(ref: BranchRef): Promise<SettleResult> {
    await this.#called("rollback", ref);
    this.prepared.delete(keyOf(ref));
    return { kind: "done" };
  }

  listInDoubt(_filter?: InDoubtFilter): Promise<readonly BranchRef[]> {
    return Promise.resolve([...this.prepared.keys()].map(refOf));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #called(call: string, ref: BranchRef | undefined): Promise<void> {
    this.calls.push(call);
    await this.before(call, ref);
  }
}

export function keyOf(ref: BranchRef): string {
  return `${ref.gid}/${ref.branch}`;
}

function refOf(key: string): BranchRef {
  const [gid, branch] = key.split("/");
  return { gid: gid as BranchRef["gid"], branch: branch ?? "" };
}

/** The payload of an asked branch that sets one value. */
export function setting(key: string, value: string): Uint8Array {
  return new TextEncoder().encode(`${key}=${value}`);
}
