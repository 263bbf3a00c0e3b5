import { describe, expect, test } from "vitest";
import { nodeId, type NodeId } from "../../src/base/index.js";
import { handOver } from "../../src/server/hand-over.js";
import type { NodeView } from "../../src/wire/index.js";

const MEMBERS = [1, 2, 3].map((id) => ({ id: nodeId(id), clientAddress: `h:${id}` }));

function view(leader: NodeId | undefined, role: NodeView["role"], established = true): NodeView {
  return {
    clusterId: "c",
    node: nodeId(1),
    role,
    established,
    epoch: 2,
    leader,
    leaderAddress: "",
    clusterTimeMs: 0,
    members: MEMBERS,
    forgottenBelowMs: 0,
  };
}

describe("hand-over", () => {
  test("resolves with the new leader once this node follows it", async () => {
    let now = view(nodeId(1), "leading");
    const asked: (NodeId | undefined)[] = [];
    const transfer = (to: NodeId | undefined): void => {
      asked.push(to);
      now = view(undefined, "looking", false);
      setTimeout(() => (now = view(nodeId(3), "following")), 10);
    };
    expect(await handOver({ self: nodeId(1), view: () => now, transfer }, undefined, 1000)).toBe(3);
    expect(asked).toEqual([undefined]);
  });

  test("to itself is done already, to a stranger is refused with the members, and neither asks the core", async () => {
    const parts = { self: nodeId(1), view: () => view(nodeId(1), "leading"), transfer: () => expect.unreachable("nothing is asked") };
    expect(await handOver(parts, nodeId(1), 1000)).toBe(1);
    await expect(handOver(parts, nodeId(9), 1000)).rejects.toMatchObject({
      code: "QUORATE_INVALID_ARGUMENT",
      message: "node 9 is not a member; members are 1, 2, 3",
    });
  });

  test("one that was called off is a refusal, one that left nobody leading is not", async () => {
    const still = { self: nodeId(1), view: () => view(nodeId(1), "leading"), transfer: () => undefined };
    await expect(handOver(still, nodeId(2), 30)).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
    const nobody = { self: nodeId(1), view: () => view(undefined, "looking", false), transfer: () => undefined };
    await expect(handOver(nobody, nodeId(2), 30)).rejects.toMatchObject({ code: "QUORATE_NO_QUORUM" });
  });
});
