import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeId } from "../../src/base/index.js";
import { chooseLeader } from "../../src/client/leader-choice.js";
import type { NodeView } from "../../src/wire/index.js";

function view(node: number, role: NodeView["role"], epoch: number, established = true): NodeView {
  return {
    clusterId: "c",
    node: nodeId(node),
    role,
    established,
    epoch,
    leader: undefined,
    leaderAddress: "",
    clusterTimeMs: 0,
    members: [],
    forgottenBelowMs: 0,
  };
}

function choose(...views: NodeView[]): number | undefined {
  return chooseLeader(views.map((v) => [v.node, v] as const))?.link;
}

describe("the leader that requests go to", () => {
  test("is the node that leads, established, in the highest epoch", () => {
    expect(choose(view(1, "leading", 4), view(2, "following", 4), view(3, "leading", 3))).toBe(1);
  });

  test("is nobody while the leading node is not established", () => {
    expect(choose(view(1, "leading", 4, false), view(2, "looking", 4, false))).toBeUndefined();
  });

  test("is not a deposed node once anybody follows a newer established leader, even one we cannot reach", () => {
    expect(choose(view(1, "leading", 4), view(2, "following", 5))).toBeUndefined();
  });

  test("is kept while a candidate of a newer epoch is not established", () => {
    expect(choose(view(1, "leading", 4), view(2, "following", 5, false))).toBe(1);
  });

  test("never leads an older epoch than any established view names", () => {
    const anyView = fc
      .record({
        node: fc.integer({ min: 1, max: 5 }),
        role: fc.constantFrom<NodeView["role"]>("looking", "following", "leading"),
        epoch: fc.integer({ min: 0, max: 6 }),
        established: fc.boolean(),
      })
      .map(({ node, role, epoch, established }) => view(node, role, epoch, established));
    fc.assert(
      fc.property(fc.array(anyView, { maxLength: 6 }), (views) => {
        const choice = chooseLeader(views.map((v) => [v, v] as const));
        const newest = Math.max(0, ...views.filter((v) => v.established).map((v) => v.epoch));
        if (choice === undefined) return !views.some((v) => v.established && v.role === "leading" && v.epoch === newest && newest > 0);
        return choice.epoch === newest && choice.link.role === "leading" && choice.link.established;
      }),
    );
  });
});
