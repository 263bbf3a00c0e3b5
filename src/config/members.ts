/**
 * The member list as text: `1=host:peerport/host:clientport,2=...`.
 */
import { isNodeId, nodeId, QuorateError, ZXID_ZERO, type NodeId } from "../base/index.js";
import type { Configuration, Member } from "../zab/index.js";

const MEMBER = /^(\d{1,3})=([^/=,\s]+)\/([^/=,\s]+)$/;
/** A quorum of two has no spare, and four need three acknowledgements without surviving more than three do. */
const MEMBERS_MAX = 7;

/** Sorted by id. Throws QUORATE_CONFIG naming the part that is wrong. */
export function parseMembers(text: string): readonly Member[] {
  const members: Member[] = [];
  for (const part of text.split(",").map((piece) => piece.trim())) {
    const match = MEMBER.exec(part);
    if (match === null)
      throw bad(`${JSON.stringify(part)} is not <id>=<peer-host:port>/<client-host:port>, for example 1=10.0.0.1:7500/10.0.0.1:7400`);
    const id = Number(match[1]);
    if (!isNodeId(id)) throw bad(`node id ${match[1]} in ${JSON.stringify(part)} must be an integer from 1 to 255`);
    if (members.some((member) => member.id === id)) throw bad(`node id ${id} is named twice; every node needs an id of its own`);
    const [peerAddress, clientAddress] = [match[2] ?? "", match[3] ?? ""];
    for (const address of [peerAddress, clientAddress]) {
      splitAddress(address, "members");
      const owner = members.find((member) => member.peerAddress === address || member.clientAddress === address);
      if (owner !== undefined) throw bad(`address ${address} is used by node ${owner.id} and node ${id}`);
    }
    if (peerAddress === clientAddress) throw bad(`node ${id} has the same address ${peerAddress} for peers and clients; use two ports`);
    members.push({ id: nodeId(id), peerAddress, clientAddress, role: "voter" });
  }
  if (members.length > MEMBERS_MAX) throw bad(`${members.length} voters; at most ${MEMBERS_MAX} are supported, 3 or 5 are recommended`);
  return members.sort((a, b) => a.id - b.id);
}

export function formatMembers(members: readonly Member[]): string {
  return members.map((member) => `${member.id}=${member.peerAddress}/${member.clientAddress}`).join(",");
}

/** The configuration a new cluster starts with. */
export function bootstrapConfiguration(members: readonly Member[]): Configuration {
  return { current: { version: ZXID_ZERO, members }, next: undefined };
}

export function memberOf(members: readonly Member[], id: NodeId): Member {
  const found = members.find((member) => member.id === id);
  if (found === undefined) throw bad(`node id ${id} is not among ${members.map((member) => member.id).join(", ")}; add it, or fix \`id\``);
  return found;
}

/** `host:port` in two parts; IPv6 hosts are in brackets. */
export function splitAddress(address: string, setting: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new QuorateError("QUORATE_CONFIG", `${setting}: ${JSON.stringify(address)} is not host:port with a port up to 65535`);
  return { host: match[1] ?? match[2] ?? "", port };
}

function bad(problem: string): QuorateError {
  return new QuorateError("QUORATE_CONFIG", `members: ${problem}`);
}
