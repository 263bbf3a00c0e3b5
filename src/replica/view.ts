/**
 * A node's view of the cluster, as clients and participants see it.
 */
import type { NodeId } from "../base/index.js";
import type { NodeView } from "../wire/index.js";
import type { Configuration, Role } from "../zab/index.js";

type MemberList = NodeView["members"];

/** One list per configuration object, so that an unchanged membership is the same reference. */
const lists = new WeakMap<Configuration, MemberList>();

export function describeView(
  clusterId: string,
  node: NodeId,
  role: Role,
  /** This node leads and its driver runs. */ serving: boolean,
  configuration: Configuration,
  clusterTimeMs: number,
  forgottenBelowMs: number,
): NodeView {
  const leader = role.kind === "following" ? role.leader : role.kind === "leading" && serving ? node : undefined;
  const members = memberList(configuration);
  return {
    clusterId,
    node,
    role: role.kind,
    established: role.kind === "leading" ? serving : role.kind === "following" && role.phase === "broadcast",
    epoch: role.kind === "looking" ? 0 : role.epoch,
    leader,
    leaderAddress: members.find((member) => member.id === leader)?.clientAddress ?? "",
    clusterTimeMs,
    members,
    forgottenBelowMs,
  };
}

function memberList(configuration: Configuration): MemberList {
  let list = lists.get(configuration);
  if (list === undefined) {
    list = configuration.current.members.map((member) => ({ id: member.id, clientAddress: member.clientAddress }));
    lists.set(configuration, list);
  }
  return list;
}
