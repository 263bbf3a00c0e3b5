/**
 * The arithmetic of quorums: the only place that turns a set of nodes into a decision to count.
 *
 * A quorum is a majority of the voters of the membership in force and, while a change is under way, of the proposed one too.
 * Any two quorums of one configuration therefore share a voter. Decides nothing about who is alive or who may be believed.
 */
import { equalZxid } from "../base/index.js";
import type { NodeId, Zxid } from "../base/index.js";
import type { Configuration, Membership } from "./membership.js";

/** True when `supports` holds for a quorum. */
export function isQuorum(configuration: Configuration, supports: (id: NodeId) => boolean): boolean {
  return isMajority(configuration.current, supports) && (configuration.next === undefined || isMajority(configuration.next, supports));
}

/** The highest value that a quorum has reached: at least a quorum of voters has `valueOf(id) >= result`. -Infinity without voters. */
export function reachedByQuorum(configuration: Configuration, valueOf: (id: NodeId) => number): number {
  const current = reachedByMajority(configuration.current, valueOf);
  return configuration.next === undefined ? current : Math.min(current, reachedByMajority(configuration.next, valueOf));
}

export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return votes(configuration.current, id) || (configuration.next !== undefined && votes(configuration.next, id));
}

/** Every voter of either membership, ascending. */
export function votersOf(configuration: Configuration): NodeId[] {
  const ids = new Set<NodeId>();
  for (const member of configuration.current.members) if (member.role === "voter") ids.add(member.id);
  for (const member of configuration.next?.members ?? []) if (member.role === "voter") ids.add(member.id);
  return [...ids].sort((a, b) => a - b);
}

/** The newest membership this configuration has heard of. */
export function versionOf(configuration: Configuration): Zxid {
  return (configuration.next ?? configuration.current).version;
}

/** Memberships are named by the entry that introduced them. */
export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  if (!equalZxid(a.current.version, b.current.version)) return false;
  if (a.next === undefined || b.next === undefined) return a.next === b.next;
  return equalZxid(a.next.version, b.next.version);
}

function isMajority(membership: Membership, supports: (id: NodeId) => boolean): boolean {
  let voters = 0;
  let supporters = 0;
  for (const member of membership.members) {
    if (member.role !== "voter") continue;
    voters++;
    if (supports(member.id)) supporters++;
  }
  return supporters * 2 > voters;
}

function reachedByMajority(membership: Membership, valueOf: (id: NodeId) => number): number {
  const values: number[] = [];
  for (const member of membership.members) {
    if (member.role !== "voter") continue;
    const value = valueOf(member.id);
    // Highest first, by insertion: a handful of values, several times a turn.
    let at = values.length;
    for (; at > 0 && (values[at - 1] ?? Infinity) < value; at--) values[at] = values[at - 1] ?? 0;
    values[at] = value;
  }
  // With n voters the majority is floor(n/2)+1 of them: index floor(n/2) counted from the highest.
  return values[values.length >> 1] ?? -Infinity;
}

function votes(membership: Membership, id: NodeId): boolean {
  for (const member of membership.members) if (member.id === id) return member.role === "voter";
  return false;
}
