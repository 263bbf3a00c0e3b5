import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import { BranchExecutor, DEFAULT_LIMITS } from "../../src/client/branch-executor.js";
import type { ExecutorHandlers, ExecutorLimits } from "../../src/client/branch-executor.js";
import type { BranchPhase, BranchReply } from "../../src/coordinator/index.js";
import type {
  BranchRef,
  OnePhaseResult,
  Participant,
  ParticipantCalls,
  PrepareRequest,
  SettleResult,
  VoteResult,
} from "../../src/participant/index.js";

const prng = new Prng("executor");
const newRef = (branch = "b"): BranchRef => ({ gid: newGid(1_700_000_000_000, prng.uint32), branch });
const NONE = new Uint8Array();

/** A participant whose calls end when the test says so. */
class Gated implements Participant {
  readonly name = "gated";
  readonly kind = "test";
  readonly manifest = { asked: true, brought: true, readOnlyVote: false, onePhase: true };
  refusal: OnePhaseResult | undefined = undefined;
  readonly started: { readonly phase: BranchPhase; readonly key: string; end(): void; fail(error: Error): void; ended: boolean }[] = [];

  start(): Promise<void> {
    return Promise.resolve();
  }
  listInDoubt(): Promise<readonly BranchRef[]> {
    return Promise.resolve([]);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  prepare(request: PrepareRequest): Promise<VoteResult> {
    return this.#call("prepare", request, { vote: "yes", detail: "" });
  }
  commitOnePhase(request: PrepareRequest): Promise<OnePhaseResult> {
    return this.#call("one-phase", request, this.refusal ?? { kind: "committed" });
  }
  commit(ref: BranchRef): Promise<SettleResult> {
    return this.#call("commit", ref, { kind: "done" });
  }
  rollback(ref: BranchRef): Promise<SettleResult> {
    return this.#call("rollback", ref, { kind: "done" });
  }
  #call<T>(phase: BranchPhase, ref: BranchRef, result: T): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = {
        phase,
        key: `${ref.gid}/${ref.branch}`,
        ended: false,
        end: (): void => {
          call.ended = true;
          resolve(result);
        },
        fail: (error: Error): void => {
          call.ended = true;
          reject(error);
        },
      };
      this.started.push(call);
    });
  }
  get phases(): BranchPhase[] {
    return this.started.map((call) => call.phase);
  }
  async end(index: number): Promise<void> {
    this.started[index]?.end();
    await turn();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Room {
  readonly participant: Gated;
  readonly executor: BranchExecutor<string>;
  readonly replies: { readonly reply: BranchReply; readonly origins: readonly string[] }[];
  readonly voted: BranchRef[];
}

function room(limits: Partial<ExecutorLimits> = {}): Room {
  const participant = new Gated();
  const replies: Room["replies"] = [];
  const voted: BranchRef[] = [];
  const handlers: ExecutorHandlers<string> = {
    reply: (reply, origins) => replies.push({ reply, origins: [...origins] }),
    voted: (ref) => voted.push(ref),
    settling: () => undefined,
    settled: () => undefined,
    failed: () => undefined,
  };
  return { participant, executor: new BranchExecutor(participant, { ...DEFAULT_LIMITS, ...limits }, handlers), replies, voted };
}

describe("kinds of branches", () => {
  test("one that the participant does not take is a no that says so, and reaches nobody", () => {
    const { participant, executor, replies } = room();
    executor.prepare(newRef(), 1, NONE, "n1", "tcc");
    expect(participant.phases).toEqual([]);
    expect(replies[0]?.reply.result).toEqual({
      kind: "vote",
      vote: "no",
      detail: 'participant "gated" takes branches of kind 2pc only, and this one is tcc',
    });
  });
});

describe("calls of one branch", () => {
  test("run one after another", async () => {
    const { participant, executor } = room();
    const ref = newRef();
    executor.prepare(ref, 1, NONE, "n1");
    executor.settle(ref, "commit", "n1", false);
    expect(participant.phases).toEqual(["prepare"]);
    await participant.end(0);
    expect(participant.phases).toEqual(["prepare", "commit"]);
    await participant.end(1);
    expect(executor.isBusy(ref)).toBe(false);
  });

  test("of one phase are run once when they come twice, and answered done or refused; no vote is counted", async () => {
    const { participant, executor, replies, voted } = room();
    const [committed, refused] = [newRef(), newRef()];
    executor.onePhase(committed, 1, NONE, "n1");
    executor.onePhase(committed, 2, NONE, "n2");
    await participant.end(0);
    participant.refusal = { kind: "refused", detail: "no funds" };
    executor.onePhase(refused, 1, NONE, "n1");
    await participant.end(1);
    expect(participant.phases).toEqual(["one-phase", "one-phase"]);
    expect(replies).toEqual([
      { reply: { phase: "one-phase", ...committed, result: { kind: "done" } }, origins: ["n1", "n2"] },
      { reply: { phase: "one-phase", ...refused, result: { kind: "refused", detail: "no funds" } }, origins: ["n1"] },
    ]);
    expect(voted).toEqual([]);
  });

  test("of one phase that fail are no outcome", async () => {
    const { participant, executor, replies } = room();
    executor.onePhase(newRef(), 1, NONE, "n1");
    participant.started[0]?.fail(new Error("connection lost"));
    await turn();
    expect(replies[0]?.reply.result).toEqual({ kind: "failed", detail: "connection lost" });
  });

  test("are run once when they come twice, and both who asked get the reply", async () => {
    const { participant, executor, replies } = room();
    const ref = newRef();
    executor.prepare(ref, 1, NONE, "n1");
    executor.prepare(ref, 2, NONE, "n2");
    executor.prepare(ref, 2, NONE, "n2");
    await participant.end(0);
    expect(participant.phases).toEqual(["prepare"]);
    expect(replies).toHaveLength(1);
    expect(replies[0]?.origins).toEqual(["n1", "n2"]);
  });

  test("that fail are answered as failed with the participant's message, and the next one runs", async () => {
    const { participant, executor, replies, voted } = room();
    const ref = newRef();
    executor.prepare(ref, 1, NONE, "n1");
    participant.started[0]?.fail(new Error("disk on fire"));
    await turn();
    expect(replies[0]?.reply.result).toEqual({ kind: "failed", detail: "disk on fire" });
    expect(voted).toEqual([]);
    executor.prepare(ref, 1, NONE, "n1");
    expect(participant.phases).toEqual(["prepare", "prepare"]);
  });
});

describe("a roll back", () => {
  test("keeps a prepare that came before it and waits from running: it is answered no", async () => {
    const { participant, executor, replies } = room({ prepareConcurrency: 1 });
    const [busy, ref] = [newRef(), newRef()];
    executor.prepare(busy, 1, NONE, "n1");
    executor.prepare(ref, 1, NONE, "n1");
    executor.settle(ref, "rollback", "n1", false);
    expect(participant.phases).toEqual(["prepare", "rollback"]);
    expect(replies[0]?.reply).toMatchObject({ phase: "prepare", gid: ref.gid, result: { kind: "vote", vote: "no" } });
    await participant.end(0);
    await participant.end(1);
    expect(participant.phases).toEqual(["prepare", "rollback"]);
  });

  test("waits for a running prepare, and no later prepare of that branch runs", async () => {
    const { participant, executor, replies } = room();
    const ref = newRef();
    executor.prepare(ref, 1, NONE, "n1");
    executor.settle(ref, "rollback", "n1", false);
    expect(participant.phases).toEqual(["prepare"]);
    await participant.end(0);
    expect(participant.phases).toEqual(["prepare", "rollback"]);
    await participant.end(1);
    executor.prepare(ref, 2, NONE, "n2");
    expect(participant.phases).toEqual(["prepare", "rollback"]);
    expect(replies.at(-1)?.reply.result).toMatchObject({ kind: "vote", vote: "no" });
  });

  test("of the cluster reaches the client's own waiting prepare as a no", async () => {
    const { executor, participant } = room({ prepareConcurrency: 1 });
    const ref = newRef();
    executor.prepare(newRef(), 1, NONE, "n1");
    let ran = false;
    const vote = executor.prepareBrought(ref, () => {
      ran = true;
      return Promise.resolve({ vote: "yes", detail: "" });
    });
    executor.settle(ref, "rollback", "n1", false);
    await expect(vote).resolves.toMatchObject({ vote: "no" });
    await participant.end(0);
    expect(ran).toBe(false);
    await expect(executor.prepareBrought(ref, () => Promise.resolve({ vote: "yes", detail: "" }))).resolves.toMatchObject({ vote: "no" });
  });
});

describe("the client's own prepare", () => {
  test("answers a call of the cluster for the same branch that came meanwhile", async () => {
    const { executor, participant, replies, voted } = room();
    const ref = newRef();
    let vote: (result: VoteResult) => void = () => undefined;
    const prepared = executor.prepareBrought(ref, () => new Promise((resolve) => (vote = resolve)));
    executor.prepare(ref, 1, NONE, "n1");
    vote({ vote: "yes", detail: "" });
    await expect(prepared).resolves.toEqual({ vote: "yes", detail: "" });
    expect(participant.phases).toEqual([]);
    expect(voted).toEqual([ref]);
    expect(replies).toEqual([
      { reply: { phase: "prepare", gid: ref.gid, branch: ref.branch, result: { kind: "vote", vote: "yes", detail: "" } }, origins: ["n1"] },
    ]);
  });

  test("rejects with the participant's own error", async () => {
    const { executor } = room();
    await expect(executor.prepareBrought(newRef(), () => Promise.reject(new Error("40001")))).rejects.toThrow("40001");
  });
});

describe("bounds", () => {
  test("decisions run although every place for prepares is taken", () => {
    const { participant, executor } = room({ prepareConcurrency: 2 });
    for (let i = 0; i < 4; i++) executor.prepare(newRef(), 1, NONE, "n1");
    executor.settle(newRef(), "commit", "n1", false);
    expect(participant.phases).toEqual(["prepare", "prepare", "commit"]);
  });

  test("a full queue answers failed, which is no vote", () => {
    const { executor, replies } = room({ prepareConcurrency: 1, queueMax: 2 });
    for (let i = 0; i < 4; i++) executor.prepare(newRef(), 1, NONE, "n1");
    expect(replies).toHaveLength(1);
    expect(replies[0]?.reply.result.kind).toBe("failed");
  });

  test("remembers a bounded number of roll backs", async () => {
    const { executor, participant } = room({ rolledBackMax: 2 });
    const refs = [newRef(), newRef(), newRef()];
    for (const ref of refs) executor.settle(ref, "rollback", "n1", false);
    for (const call of participant.started) call.end();
    await turn();
    for (const ref of refs) executor.prepare(ref, 1, NONE, "n1");
    expect(participant.phases.filter((phase) => phase === "prepare")).toHaveLength(1);
  });
});

test("under any order of calls: one at a time per branch, no prepare begins after a roll back came, every call is answered", async () => {
  const phase = fc.constantFrom<BranchPhase>("prepare", "commit", "rollback", "one-phase");
  const step = fc.oneof(
    fc.record({ do: fc.constant("call" as const), branch: fc.integer({ min: 0, max: 2 }), phase, origin: fc.constantFrom("n1", "n2") }),
    fc.record({ do: fc.constant("end" as const), index: fc.integer({ min: 0, max: 20 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
      const { participant, executor, replies } = room({ prepareConcurrency: 2, settleConcurrency: 1 });
      const refs = [newRef(), newRef(), newRef()];
      const rolledBack = new Set<string>();
      const owed = new Map<string, number>();
      for (const s of steps) {
        if (s.do === "call") {
          const ref = refs[s.branch] as BranchRef;
          const key = `${ref.gid}/${ref.branch}`;
          const begunBefore = participant.started.filter((call) => call.key === key && call.phase === "prepare").length;
          const wasRolledBack = rolledBack.has(key);
          if (s.phase === "prepare") executor.prepare(ref, 1, NONE, s.origin);
          else if (s.phase === "one-phase") executor.onePhase(ref, 1, NONE, s.origin);
          else executor.settle(ref, s.phase, s.origin, false);
          owed.set(`${key} ${s.phase} ${s.origin}`, replies.length);
          if (s.phase === "rollback") rolledBack.add(key);
          const begunAfter = participant.started.filter((call) => call.key === key && call.phase === "prepare").length;
          if (wasRolledBack) expect(begunAfter).toBe(begunBefore);
        } else {
          const open = participant.started.filter((call) => !call.ended);
          open[s.index % Math.max(1, open.length)]?.end();
          await turn();
        }
        const running = participant.started.filter((call) => !call.ended).map((call) => call.key);
        expect(new Set(running).size).toBe(running.length);
      }
      while (participant.started.some((call) => !call.ended)) {
        for (const call of participant.started) if (!call.ended) call.end();
        await turn();
      }
      await executor.drained();
      for (const what of owed.keys()) {
        const answered = replies.some(({ reply, origins }) =>
          origins.some((origin) => `${reply.gid}/${reply.branch} ${reply.phase} ${origin}` === what),
        );
        expect(answered).toBe(true);
      }
    }),
    { numRuns: 150 },
  );
});

describe("a participant that answers by calling back", () => {
  const quick = (refs: BranchRef[]): Gated & { direct: ParticipantCalls } => {
    const gated = new Gated();
    const direct: ParticipantCalls = {
      of: gated,
      prepare: (request, done) => {
        refs.push(request);
        done(undefined, { vote: "yes", detail: "" });
        // Once is enough.
        done(new Error("again"), undefined);
      },
      commit: () => {
        throw new Error("not now");
      },
      rollback: (_, done) => done(new Error("not yet"), undefined),
    };
    return Object.assign(gated, { direct });
  };
  const handlersInto = (replies: BranchReply[]): ExecutorHandlers<string> => ({
    reply: (reply) => replies.push(reply),
    voted: () => undefined,
    settling: () => undefined,
    settled: () => undefined,
    failed: () => undefined,
  });

  test("may do so at once, for any number of calls that wait in a row", () => {
    const [refs, replies]: [BranchRef[], BranchReply[]] = [[], []];
    const gated = quick(refs);
    const { prepare: quickly } = gated.direct;
    let first = (): void => undefined;
    const direct: ParticipantCalls = {
      ...gated.direct,
      prepare: (request, done) => {
        if (refs.length > 0) return quickly(request, done);
        refs.push(request);
        first = () => done(undefined, { vote: "yes", detail: "" });
      },
    };
    const executor = new BranchExecutor(
      Object.assign(gated, { direct }),
      { ...DEFAULT_LIMITS, prepareConcurrency: 1 },
      handlersInto(replies),
    );
    const all = Array.from({ length: 20_000 }, (_, i) => newRef(`b${i}`));
    for (const ref of all) executor.prepare(ref, 1, NONE, "n1");
    expect([refs.length, replies.length]).toEqual([1, 0]);
    first();
    expect([refs.length, replies.length]).toEqual([all.length, all.length]);
    expect(all.some((ref) => executor.isBusy(ref))).toBe(false);
  });

  test("has failed when it throws or says so, and the next call of the branch is made", async () => {
    const [refs, replies]: [BranchRef[], BranchReply[]] = [[], []];
    const executor = new BranchExecutor(quick(refs), DEFAULT_LIMITS, handlersInto(replies));
    const ref = newRef();
    executor.settle(ref, "commit", "n1", false);
    executor.settle(ref, "rollback", "n1", false);
    expect(replies.map(({ result }) => result)).toEqual([
      { kind: "failed", detail: "not now" },
      { kind: "failed", detail: "not yet" },
    ]);
    await executor.drained();
  });

  test("is not gone around by the calls of the one that it wraps", async () => {
    const inner = quick([]);
    const outer = Object.assign(new Gated(), { direct: inner.direct });
    const replies: BranchReply[] = [];
    const executor = new BranchExecutor(outer, DEFAULT_LIMITS, handlersInto(replies));
    executor.prepare(newRef(), 1, NONE, "n1");
    expect([outer.phases, replies]).toEqual([["prepare"], []]);
    await outer.end(0);
    expect(replies).toHaveLength(1);
  });
});
