import { describe, expect, test } from "vitest";
import { newGid, QuorateError, type Gid } from "../../src/base/index.js";
import type { BranchView, TransactionView } from "../../src/coordinator/index.js";
import type { Participant, PreparedBranch } from "../../src/participant/index.js";
import { scanPrepared, verdict } from "../../src/cli/xa-scan.js";

const gid = newGid(1, () => 7);

function branchOf(vote: BranchView["vote"], participant = "shop"): BranchView {
  const driver = { done: false, phase: "committing", attempts: 0, lastError: undefined, heuristic: undefined };
  return { id: "b1", participant, mode: "asked", kind: "2pc", vote, ...driver };
}

function view(change: Partial<TransactionView>): TransactionView {
  const nothing = { decision: undefined, reason: undefined, detail: undefined, decidedAt: undefined, openedMs: undefined };
  return { gid, state: "open", ...nothing, branches: [], ...change };
}

describe("what a record means for a prepared branch", () => {
  const committed = { state: "committing", decision: "commit" } as const;
  test.each([
    [view({ ...committed, branches: [branchOf("yes")] }), "committed", "commit"],
    [view({ ...committed, branches: [branchOf("read-only")] }), "committed", "rollback"],
    [view({ ...committed, branches: [branchOf("yes", "other")] }), "committed", "rollback"],
    [view(committed), "committed", "rollback"],
    [view({ state: "aborted", decision: "abort" }), "aborted", "rollback"],
    [view({ state: "expired" }), "aborted", "rollback"],
    [view({ state: "unknown" }), "unknown", "leave"],
    [view({ state: "open" }), "pending", "leave"],
    [view({ state: "preparing" }), "pending", "leave"],
  ])("%j", (of, says, todo) => {
    expect(verdict(of, "shop", "b1")).toMatchObject({ says, todo });
  });
});

describe("a scan", () => {
  const mine: PreparedBranch = { id: "x", ageMs: 5, owner: { tag: "00000001", participant: "shop", ref: { gid, branch: "b1" } } };
  const aborted = (): Promise<TransactionView> => Promise.resolve(view({ state: "aborted", decision: "abort" }));
  const scan = (prepared: readonly PreparedBranch[], outcome: (of: Gid) => Promise<TransactionView>, rollback?: Participant["rollback"]) =>
    scanPrepared(prepared, {
      tag: "00000001",
      participant: undefined,
      outcome,
      open: rollback === undefined ? undefined : () => Promise.resolve({ rollback } as Participant),
    });

  test("never asks about and never touches what is foreign", async () => {
    const foreign: PreparedBranch[] = [
      { id: "by-hand", ageMs: undefined, owner: undefined },
      { ...mine, owner: { tag: "00000002", participant: "shop", ref: { gid, branch: "b1" } } },
    ];
    const never = (): Promise<never> => Promise.reject(new Error("not to be called"));
    const found = await scan(foreign, never, never);
    expect(found.map(({ cluster, todo, done }) => [cluster, todo, done])).toEqual([
      ["none", "leave", undefined],
      ["another", "leave", undefined],
    ]);
  });

  test("takes the cluster's refusals for the answers they are, and gives up when it cannot be asked", async () => {
    const refused = (code: ConstructorParameters<typeof QuorateError>[0]) => () => Promise.reject(new QuorateError(code, "no"));
    expect(await scan([mine], refused("QUORATE_EXPIRED"))).toMatchObject([{ says: "aborted", todo: "rollback" }]);
    expect(await scan([mine], refused("QUORATE_UNKNOWN_TRANSACTION"))).toMatchObject([{ says: "unknown", todo: "leave" }]);
    await expect(scan([mine], refused("QUORATE_NO_QUORUM"))).rejects.toMatchObject({ code: "QUORATE_NO_QUORUM" });
  });

  test("says what could not be settled, and goes on", async () => {
    const heuristic = { kind: "heuristic", outcome: "committed", detail: "by hand" } as const;
    const found = await scan([mine], aborted, () => Promise.resolve(heuristic));
    expect(found).toMatchObject([{ done: { ok: false, text: "heuristic committed: by hand" } }]);
    const failed = await scan([mine, mine], aborted, () => Promise.reject(new Error("busy")));
    expect(failed.map(({ done }) => done)).toEqual([
      { ok: false, text: "busy" },
      { ok: false, text: "busy" },
    ]);
  });
});
