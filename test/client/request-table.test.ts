import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newGid, Prng, zxid } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import { RequestTable } from "../../src/client/request-table.js";
import type { ErrorAnswer, Pending } from "../../src/client/request-table.js";
import type { Answer, Request } from "../../src/coordinator/index.js";

type Link = string;
const FRAME = 1 << 20;
const prng = new Prng("requests");
const GID: Gid = newGid(1_700_000_000_000, prng.uint32);

function table(inFlightMax = 1000): RequestTable<Link> {
  return new RequestTable<Link>({
    inFlightMax,
    random: () => 0.5,
    surroundings: () => ({ report: "a:1 refused the connection", reachable: false }),
  });
}

function commit(gid: Gid = GID): Request {
  return { kind: "commit", gid, client: "c", timeoutMs: 1000, branches: [], votes: [] };
}

function decided(decision: "commit" | "abort" = "commit"): Answer {
  return { kind: "decided", gid: GID, decision, reason: undefined, detail: "", zxid: zxid(1, 1) };
}

function error(code: ErrorAnswer["code"], retry: ErrorAnswer["retry"], outcome?: ErrorAnswer["outcome"]): ErrorAnswer {
  return { kind: "error", code, message: "said so", outcome, retry, gid: GID, version: undefined };
}

class Outcome {
  readonly answers: Answer[] = [];
  readonly done = (answer: Answer): void => {
    this.answers.push(answer);
  };
  get error(): ErrorAnswer {
    const [answer] = this.answers;
    if (answer?.kind !== "error") throw new Error(`not an error: ${JSON.stringify(answer)}`);
    return answer;
  }
}

const numbers = (batch: readonly Pending<Link>[]): number[] => batch.map((pending) => pending.request);

describe("requests wait for a leader and follow it", () => {
  test("what was asked before a leader is known is written to the first one, in order", () => {
    const t = table();
    const outcome = new Outcome();
    for (let i = 0; i < 3; i++) t.add(commit(), 1000, outcome.done);
    expect(t.hasQueued).toBe(false);
    t.leaderIs("n1", 1);
    expect(numbers(t.take("n1", FRAME))).toEqual([1, 2, 3]);
    expect(t.take("n1", FRAME)).toEqual([]);
  });

  test("everything unanswered is written again to the next leader, in order, with its own number", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    for (let i = 0; i < 3; i++) t.add(commit(), 1000, outcome.done);
    t.take("n1", FRAME);
    t.answer("n1", 2, decided(), 10);
    t.leaderIs("n2", 2);
    expect(numbers(t.take("n2", FRAME))).toEqual([1, 3]);
    t.answer("n2", 1, decided(), 20);
    t.answer("n2", 3, decided(), 20);
    expect(outcome.answers).toHaveLength(3);
    expect(t.size).toBe(0);
  });

  test("a node that is elected again in a new epoch gets its unanswered requests again", () => {
    const t = table();
    t.leaderIs("n1", 1);
    t.add(commit(), 1000, new Outcome().done);
    t.take("n1", FRAME);
    t.leaderIs("n1", 3);
    expect(numbers(t.take("n1", FRAME))).toEqual([1]);
  });

  test("a decision is taken from a former leader, its errors are not", () => {
    const t = table();
    const [first, second] = [new Outcome(), new Outcome()];
    t.leaderIs("n1", 1);
    t.add(commit(), 1000, first.done);
    t.add(commit(), 1000, second.done);
    t.take("n1", FRAME);
    t.leaderIs("n2", 2);
    t.take("n2", FRAME);
    t.answer("n1", 1, error("QUORATE_WRONG_STATE", "never"), 10);
    t.answer("n1", 2, decided("abort"), 10);
    expect(first.answers).toEqual([]);
    expect(second.answers).toEqual([decided("abort")]);
  });

  test("a duplicated answer is ignored", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 1000, outcome.done);
    t.take("n1", FRAME);
    t.answer("n1", 1, decided(), 10);
    t.answer("n1", 1, decided(), 11);
    t.answer("n1", 99, decided(), 11);
    expect(outcome.answers).toHaveLength(1);
  });

  test("a refusal that proposed nothing is repeated after a pause, and a new leader gets it at once", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 10_000, outcome.done);
    t.take("n1", FRAME);
    t.answer("n1", 1, error("QUORATE_OVERLOADED", "safe"), 100);
    expect(t.hasQueued).toBe(false);
    expect(t.wakeMs).toBeGreaterThan(100);
    t.tick(t.wakeMs);
    expect(numbers(t.take("n1", FRAME))).toEqual([1]);
    t.answer("n1", 1, error("QUORATE_NOT_LEADER", "safe"), 200);
    expect(t.hasQueued).toBe(false);
    t.leaderIs("n2", 2);
    expect(numbers(t.take("n2", FRAME))).toEqual([1]);
    expect(outcome.answers).toEqual([]);
  });

  test("the answer 'outcome unknown, same request id' of a resigning leader is repeated, not reported", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 10_000, outcome.done);
    t.take("n1", FRAME);
    t.answer("n1", 1, error("QUORATE_OUTCOME_UNKNOWN", "same-request-id", "unknown"), 100);
    t.leaderIs("n2", 2);
    expect(numbers(t.take("n2", FRAME))).toEqual([1]);
    expect(outcome.answers).toEqual([]);
  });

  test("a frame is capped, and what is over goes into the next one", () => {
    const t = table();
    t.leaderIs("n1", 1);
    const big: Request = {
      kind: "put",
      request: { client: "c", seq: 1, ackBelow: 1 },
      name: "r",
      value: new Uint8Array(1000),
      expect: undefined,
    };
    for (let i = 0; i < 5; i++) t.add(big, 1000, new Outcome().done);
    expect(t.take("n1", 2000)).toHaveLength(2);
    expect(t.take("n1", 2000)).toHaveLength(2);
    expect(t.take("n1", 2000)).toHaveLength(1);
  });
});

describe("what may be said of a request that got no answer", () => {
  test("never written, nobody reachable: unreachable, with what each endpoint said", () => {
    const t = table();
    const outcome = new Outcome();
    t.add(commit(), 100, outcome.done);
    t.tick(100);
    expect(outcome.error).toMatchObject({ code: "QUORATE_UNREACHABLE", retry: "safe", outcome: undefined, gid: GID });
    expect(outcome.error.message).toContain("a:1 refused the connection");
  });

  test("written and unanswered at the deadline: outcome unknown, same request id", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 100, outcome.done);
    t.take("n1", FRAME);
    t.tick(99);
    expect(outcome.answers).toEqual([]);
    t.tick(100);
    expect(outcome.error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown", retry: "same-request-id", gid: GID });
  });

  test("written to a stream that was lost: still unknown, although the next leader only refused", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 100, outcome.done);
    t.take("n1", FRAME);
    t.lost("n1");
    t.leaderIs("n2", 2);
    t.take("n2", FRAME);
    t.answer("n2", 1, error("QUORATE_NOT_LEADER", "safe"), 50);
    t.tick(100);
    expect(outcome.error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown" });
  });

  test("written, and every answer said that nothing was proposed: nothing happened", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 100, outcome.done);
    t.take("n1", FRAME);
    t.answer("n1", 1, error("QUORATE_NOT_LEADER", "safe"), 50);
    t.leaderIs(undefined, 1);
    t.tick(100);
    expect(outcome.error).toMatchObject({ code: "QUORATE_NOT_LEADER", retry: "safe", outcome: undefined });
  });

  test("queued for a leader and not written when its stream is lost: nothing happened", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 100, outcome.done);
    t.lost("n1");
    t.tick(100);
    expect(outcome.error.code).toBe("QUORATE_UNREACHABLE");
  });

  test("a refusal of a repeated request is no statement about its first send", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add(commit(), 1000, outcome.done);
    t.take("n1", FRAME);
    t.lost("n1");
    t.leaderIs("n2", 2);
    t.take("n2", FRAME);
    t.answer("n2", 1, error("QUORATE_EXPIRED", "never"), 50);
    expect(outcome.error).toMatchObject({ code: "QUORATE_EXPIRED", outcome: "unknown" });
  });

  test("a read that got no answer changed nothing, whatever happened to it", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add({ kind: "read", name: "r" }, 100, outcome.done);
    t.take("n1", FRAME);
    t.tick(100);
    expect(outcome.error).toMatchObject({ code: "QUORATE_NO_QUORUM", retry: "safe", outcome: undefined });
  });

  test("a request that must not be repeated is unknown as soon as its stream is lost", () => {
    const t = table();
    const outcome = new Outcome();
    t.leaderIs("n1", 1);
    t.add({ kind: "resolve", gid: GID, branch: "b", outcome: "committed", by: "op", note: "" }, 1000, outcome.done);
    t.take("n1", FRAME);
    t.leaderIs("n2", 2);
    expect(t.take("n2", FRAME)).toEqual([]);
    t.lost("n1");
    expect(outcome.error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown" });
  });

  test("cancelled: nothing happened before the write, unknown after it, and never written again", () => {
    const t = table();
    const [before, after] = [new Outcome(), new Outcome()];
    t.leaderIs("n1", 1);
    const sent = t.add(commit(), 1000, after.done);
    t.take("n1", FRAME);
    const queued = t.add(commit(), 1000, before.done);
    t.cancel(queued);
    t.cancel(sent);
    expect(before.error).toMatchObject({ code: "QUORATE_CANCELLED", outcome: undefined });
    expect(after.error).toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown" });
    expect(queued.everWritten).toBe(false);
    t.leaderIs("n2", 2);
    expect(t.take("n2", FRAME)).toEqual([]);
  });

  test("closing ends everything: closed if it was never written, unknown otherwise", () => {
    const t = table();
    const [queued, sent] = [new Outcome(), new Outcome()];
    t.leaderIs("n1", 1);
    t.add(commit(), 1000, sent.done);
    t.take("n1", FRAME);
    t.add(commit(), 1000, queued.done);
    t.close();
    expect(queued.error.code).toBe("QUORATE_CLOSED");
    expect(sent.error.code).toBe("QUORATE_OUTCOME_UNKNOWN");
    expect(t.size).toBe(0);
  });
});

describe("bounds", () => {
  test("a full table refuses at once and keeps nothing", () => {
    const t = table(2);
    const outcome = new Outcome();
    for (let i = 0; i < 3; i++) t.add(commit(), 1000, outcome.done);
    expect(outcome.error.code).toBe("QUORATE_OVERLOADED");
    expect(t.size).toBe(2);
  });

  test("a request above what any node takes is refused here, before it can break the stream of the others", () => {
    const t = table();
    const outcome = new Outcome();
    const branch = { id: "b", participant: "p", mode: "asked", payload: new Uint8Array(3 << 20) } as const;
    t.add({ ...commit(), branches: [branch] } as Request, 1000, outcome.done);
    expect(outcome.error.code).toBe("QUORATE_TOO_LARGE");
    expect(t.size).toBe(0);
  });
});

describe("under any order of events", () => {
  type Step =
    | { readonly do: "add"; readonly body: "commit" | "read" | "resolve"; readonly deadline: number }
    | { readonly do: "leader"; readonly link: number | undefined }
    | { readonly do: "lost" | "take"; readonly link: number }
    | { readonly do: "answer"; readonly link: number; readonly request: number; readonly answer: number }
    | { readonly do: "tick"; readonly by: number }
    | { readonly do: "cancel"; readonly request: number };
  const link = fc.integer({ min: 1, max: 3 });
  const request = fc.integer({ min: 1, max: 12 });
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      do: fc.constant("add" as const),
      body: fc.constantFrom("commit" as const, "read" as const, "resolve" as const),
      deadline: fc.integer({ min: 1, max: 400 }),
    }),
    fc.record({ do: fc.constant("leader" as const), link: fc.option(link, { nil: undefined }) }),
    fc.record({ do: fc.constantFrom("lost" as const, "take" as const, "take" as const), link }),
    fc.record({ do: fc.constant("answer" as const), link, request, answer: fc.integer({ min: 0, max: 4 }) }),
    fc.record({ do: fc.constant("tick" as const), by: fc.integer({ min: 1, max: 120 }) }),
    fc.record({ do: fc.constant("cancel" as const), request }),
  );
  const ANSWERS: readonly Answer[] = [
    decided(),
    error("QUORATE_NOT_LEADER", "safe"),
    error("QUORATE_OVERLOADED", "safe"),
    error("QUORATE_OUTCOME_UNKNOWN", "same-request-id", "unknown"),
    error("QUORATE_WRONG_STATE", "never"),
  ];

  test("each request ends exactly once, and 'nothing happened' is only said of one that no stream may have carried out", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const t = table();
        let now = 0;
        let epoch = 0;
        let last = 0;
        const pendings: Pending<Link>[] = [];
        const ended = new Map<number, Answer>();
        /** Streams that have the request and have not said that nothing was proposed: the model's own bookkeeping. */
        const carriedBy = new Map<number, Set<string>>();
        let generation = 0;
        const live = new Map<number, string>();
        const name = (n: number): string => live.get(n) ?? `n${n}.0`;
        for (const s of steps) {
          switch (s.do) {
            case "add": {
              const number = ++last;
              const body: Request =
                s.body === "commit"
                  ? commit()
                  : s.body === "read"
                    ? { kind: "read", name: "r" }
                    : { kind: "resolve", gid: GID, branch: "b", outcome: "committed", by: "o", note: "" };
              carriedBy.set(number, new Set());
              pendings.push(
                t.add(body, now + s.deadline, (answer) => {
                  expect(ended.has(number)).toBe(false);
                  ended.set(number, answer);
                }),
              );
              break;
            }
            case "leader":
              t.leaderIs(s.link === undefined ? undefined : name(s.link), ++epoch);
              break;
            case "lost":
              t.lost(name(s.link));
              live.set(s.link, `n${s.link}.${++generation}`);
              break;
            case "take":
              for (const pending of t.take(name(s.link), FRAME)) {
                expect(ended.has(pending.request)).toBe(false);
                carriedBy.get(pending.request)?.add(name(s.link));
              }
              break;
            case "answer": {
              const answer = ANSWERS[s.answer] as Answer;
              // A node answers only what it was sent, and once.
              if (carriedBy.get(s.request)?.has(name(s.link)) !== true || ended.has(s.request)) break;
              if (answer.kind === "error" && answer.retry === "safe") carriedBy.get(s.request)?.delete(name(s.link));
              t.answer(name(s.link), s.request, answer, now);
              break;
            }
            case "tick":
              now += s.by;
              t.tick(now);
              break;
            case "cancel": {
              const pending = pendings[s.request - 1];
              if (pending !== undefined) t.cancel(pending);
              break;
            }
          }
        }
        now += 1000;
        t.tick(now);
        expect(t.size).toBe(0);
        for (const pending of pendings) {
          const answer = ended.get(pending.request);
          expect(answer).toBeDefined();
          if (answer?.kind !== "error" || pending.body.kind === "read") continue;
          const saysNothingHappened = answer.retry === "safe" && answer.outcome === undefined;
          if (saysNothingHappened) expect([...(carriedBy.get(pending.request) ?? [])]).toEqual([]);
        }
      }),
      { numRuns: 500 },
    );
  });
});
