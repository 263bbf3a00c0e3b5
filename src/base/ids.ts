/**
 * Names of nodes, participants, branches and connections.
 */
declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** A coordinator node: an integer from 1 to 255, shown as `n1`. */
export type NodeId = Brand<number, "NodeId">;

export const NODE_ID_MAX = 255;

export function isNodeId(value: number): value is NodeId {
  return Number.isInteger(value) && value >= 1 && value <= NODE_ID_MAX;
}

/** Brands an integer that is known to be a node id. Throws RangeError otherwise. */
export function nodeId(value: number): NodeId {
  if (!isNodeId(value)) throw new RangeError(`node id must be an integer from 1 to ${NODE_ID_MAX}, got ${value}`);
  return value;
}

export function formatNodeId(id: NodeId): string {
  return `n${id}`;
}

/** A participant's name, and a branch's id inside its transaction: both end up inside SQL text, so the alphabet is strict. */
export const NAME_PATTERN = /^[a-z][a-z0-9_-]{0,47}$/;

/** What is wrong with a participant name or branch id, or undefined when it is fine. */
export function nameProblem(field: string, value: string): string | undefined {
  if (NAME_PATTERN.test(value)) return undefined;
  if (value.length > 48) return `${field} is ${value.length} characters long; the limit is 48`;
  return `${field} ${JSON.stringify(value.slice(0, 60))} must start with a-z and hold only a-z, 0-9, "_" and "-"`;
}
