/**
 * A node's view of the cluster: proto/quorate/v1/session.proto, NodeView.
 */
import type { NodeId } from "../base/index.js";
import { pushBounded, readNodeId, readOptionalNodeId, requiredNodeId } from "./common-codec.js";
import { NODE_ROLE } from "./enums.js";
import type { NodeView } from "./frames.js";
import type { ProtoReader } from "./proto-reader.js";
import { nested } from "./proto-reader.js";
import type { ProtoWriter } from "./proto-writer.js";

type ViewMember = NodeView["members"][number];

/** Writes the fields of the message. */
export function writeView(w: ProtoWriter, view: NodeView): void {
  w.uint(10, view.forgottenBelowMs);
  for (let i = view.members.length - 1; i >= 0; i--) {
    const member = view.members[i] as ViewMember;
    const mark = w.mark();
    w.text(2, member.clientAddress);
    w.uint(1, member.id);
    w.message(9, mark);
  }
  w.uint(8, view.clusterTimeMs);
  w.text(7, view.leaderAddress);
  w.uint(6, view.leader ?? 0);
  w.uint(5, view.epoch);
  w.bool(4, view.established);
  w.uint(3, NODE_ROLE.code(view.role));
  w.uint(2, view.node);
  w.text(1, view.clusterId);
}

export function writeOptionalView(w: ProtoWriter, field: number, view: NodeView | undefined): void {
  if (view === undefined) return;
  const mark = w.mark();
  writeView(w, view);
  w.message(field, mark);
}

function readMember(r: ProtoReader): ViewMember {
  let id: NodeId | undefined;
  let clientAddress = "";
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) id = readNodeId(r);
    else if (tag === 18) clientAddress = r.text();
    else r.skip(tag);
  }
  return { id: requiredNodeId(id), clientAddress };
}

export function readView(r: ProtoReader): NodeView {
  let clusterId = "";
  let node: NodeId | undefined;
  let role: NodeView["role"] | undefined;
  let established = false;
  let epoch = 0;
  let leader: NodeId | undefined;
  let leaderAddress = "";
  let clusterTimeMs = 0;
  let forgottenBelowMs = 0;
  const members: ViewMember[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) clusterId = r.text();
    else if (tag === 16) node = readNodeId(r);
    else if (tag === 24) role = NODE_ROLE.read(r);
    else if (tag === 32) established = r.bool();
    else if (tag === 40) epoch = r.uint32();
    else if (tag === 48) leader = readOptionalNodeId(r);
    else if (tag === 58) leaderAddress = r.text();
    else if (tag === 64) clusterTimeMs = r.uint();
    else if (tag === 74) pushBounded(members, nested(r, readMember));
    else if (tag === 80) forgottenBelowMs = r.uint();
    else r.skip(tag);
  }
  return {
    clusterId,
    node: requiredNodeId(node),
    role: NODE_ROLE.required(role),
    established,
    epoch,
    leader,
    leaderAddress,
    clusterTimeMs,
    members,
    forgottenBelowMs,
  };
}
