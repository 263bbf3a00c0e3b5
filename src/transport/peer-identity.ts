/**
 * Who is at the other end of a peer stream: the metadata of every call between nodes, and the judgement of it.
 */
import { Metadata, status } from "@grpc/grpc-js";
import type { NodeId } from "../base/index.js";
import { formatNodeId, isNodeId } from "../base/index.js";

const CLUSTER = "quorate-cluster";
const NODE = "quorate-node";
const INCARNATION = "quorate-incarnation";
const INCARNATION_PATTERN = /^[0-9a-f]{32}$/;

export interface PeerIdentity {
  readonly node: NodeId;
  /** Fresh for each process. */
  readonly incarnation: string;
}

export interface Refusal {
  readonly code: status;
  readonly details: string;
}

export function identityMetadata(clusterId: string, self: PeerIdentity): Metadata {
  const metadata = new Metadata();
  metadata.set(CLUSTER, encodeURIComponent(clusterId));
  metadata.set(NODE, String(self.node));
  metadata.set(INCARNATION, self.incarnation);
  return metadata;
}

function one(metadata: Metadata, key: string): string {
  const value = metadata.get(key)[0];
  return typeof value === "string" ? value : "";
}

/** The caller's identity, or why it is refused. Whether its id is in use by another process is not decided here. */
export function identify(
  metadata: Metadata,
  clusterId: string,
  self: NodeId,
  known: ReadonlySet<NodeId>,
): { readonly ok: true; readonly identity: PeerIdentity } | { readonly ok: false; readonly refusal: Refusal } {
  const refuse = (code: status, details: string): { readonly ok: false; readonly refusal: Refusal } => ({
    ok: false,
    refusal: { code, details },
  });
  const cluster = one(metadata, CLUSTER);
  const node = Number(one(metadata, NODE));
  const incarnation = one(metadata, INCARNATION);
  if (cluster !== encodeURIComponent(clusterId)) {
    return refuse(
      status.FAILED_PRECONDITION,
      `this node is of cluster ${clusterId}, the caller of ${cluster.slice(0, 200) || "no cluster"}`,
    );
  }
  if (!isNodeId(node) || !INCARNATION_PATTERN.test(incarnation)) {
    return refuse(status.INVALID_ARGUMENT, `${NODE} must be 1 to 255 and ${INCARNATION} 32 hex digits`);
  }
  if (node === self) {
    return refuse(status.ALREADY_EXISTS, `node id ${formatNodeId(node)} is this node's own: two nodes are configured with one id`);
  }
  if (!known.has(node)) {
    return refuse(status.PERMISSION_DENIED, `${formatNodeId(node)} is not a member of this cluster, as far as ${formatNodeId(self)} knows`);
  }
  return { ok: true, identity: { node, incarnation } };
}
