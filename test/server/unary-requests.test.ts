import { describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import type { Answer, Request } from "../../src/coordinator/index.js";
import { UnaryRequests } from "../../src/server/unary-requests.js";

const gid = newGid(1_700_000_000_000, new Prng(1).uint32);
const OK: Answer = { kind: "ok" };

describe("unary requests", () => {
  test("answers go to their own request, in any order, once", async () => {
    const submitted: number[] = [];
    const unary = new UnaryRequests((request) => submitted.push(request));
    const first = unary.ask({ kind: "noop" }, 1000);
    const second = unary.ask({ kind: "abort", gid }, 1000);
    const [a, b] = submitted as [number, number];
    const decided: Answer = { kind: "decided", gid, decision: "abort", reason: "client", detail: "", zxid: { epoch: 1, counter: 2 } };
    unary.answer(b, decided);
    unary.answer(a, OK);
    unary.answer(a, decided);
    expect(await first).toEqual(OK);
    expect(await second).toEqual(decided);
  });

  test("at the deadline a write has an unknown outcome and a read is safe to repeat", async () => {
    const unary = new UnaryRequests(() => undefined);
    expect(await unary.ask({ kind: "abort", gid }, 5)).toMatchObject({
      code: "QUORATE_OUTCOME_UNKNOWN",
      outcome: "unknown",
      retry: "same-request-id",
      gid,
    });
    expect(await unary.ask({ kind: "read", name: "r" }, 5)).toMatchObject({ code: "QUORATE_NO_QUORUM", outcome: undefined, retry: "safe" });
  });

  test("an answer that comes at once, inside the submit, is not lost", async () => {
    const unary: UnaryRequests = new UnaryRequests((request: number, _body: Request) => unary.answer(request, OK));
    expect(await unary.ask({ kind: "noop" }, 1000)).toEqual(OK);
  });

  test("closing answers everything that waits", async () => {
    const unary = new UnaryRequests(() => undefined);
    const waiting = unary.ask({ kind: "retry", gid }, 60_000);
    unary.close();
    expect(await waiting).toMatchObject({ kind: "error", code: "QUORATE_OUTCOME_UNKNOWN" });
  });
});
