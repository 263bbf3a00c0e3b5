/**
 * Whether a majority of coordinators is up and mutually connected: the condition under which nobody may be blocked.
 */

/** True when more than half of `all` are in `up` and each of those reaches each other, in both directions. Meant for a handful of nodes. */
export function majorityConnected<T extends number>(all: readonly T[], up: readonly T[], connected: (a: T, b: T) => boolean): boolean {
  const needed = Math.floor(all.length / 2) + 1;
  const grow = (group: readonly T[], rest: readonly T[]): boolean =>
    group.length >= needed ||
    rest.some((node, i) => group.every((member) => connected(member, node)) && grow([...group, node], rest.slice(i + 1)));
  return grow([], up);
}
