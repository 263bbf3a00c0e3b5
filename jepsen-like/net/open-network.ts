/**
 * The network that this process can have: namespaces inside a sandbox, proxies elsewhere.
 */
import { findPortBlock } from "../../src/cli/ports.js";
import type { NodeId } from "../../src/index.js";
import { NamespaceNetwork } from "./namespace-network.js";
import type { Network, Outside } from "./network.js";
import { ProxyNetwork } from "./proxy-network.js";
import { sandboxed } from "./sandbox.js";

/** Throws a QuorateError when it cannot be made. */
export async function openNetwork(nodes: number): Promise<Network> {
  if (sandboxed() !== undefined) return NamespaceNetwork.create(String(process.pid), nodes);
  return ProxyNetwork.create((await findPortBlock(nodes)).ports);
}

/** Whether each of `nodes` can hear the outside and be heard there. */
export function isLinked(network: Network, nodes: readonly NodeId[], side: Outside): boolean {
  return nodes.every((node) => network.connected(node, side));
}
