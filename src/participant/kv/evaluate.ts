/**
 * What a list of operations does to a store: the locks it needs, and the writes it leads to.
 *
 * Pure. Decides the effect of each operation; the caller holds the locks and brings the reads.
 */
import { unreachable } from "../../base/index.js";
import { KV_VALUE_BYTES_MAX, type KvOperation, type KvValue } from "./operation.js";

export interface LockWant {
  readonly key: string;
  readonly exclusive: boolean;
}

/** One lock per key, the strongest that is needed, in key order: the order in which every branch takes them. */
export function locksOf(operations: readonly KvOperation[]): readonly LockWant[] {
  const wants = new Map<string, boolean>();
  for (const operation of operations) {
    const exclusive = operation.op !== "get" && operation.op !== "require";
    wants.set(operation.key, exclusive || wants.get(operation.key) === true);
  }
  return [...wants].map(([key, exclusive]) => ({ key, exclusive })).sort((a, b) => (a.key < b.key ? -1 : 1));
}

export interface Effect {
  /** Final value of each key that was written; undefined: deleted. */
  readonly writes: ReadonlyMap<string, KvValue | undefined>;
  /** What each `get` read, in the order of the operations; null: the key was not there. */
  readonly reads: readonly (KvValue | null)[];
}

/** Runs the operations in order; each sees the writes of those before it. `problem` is why the branch cannot be done. */
export function evaluate(
  operations: readonly KvOperation[],
  read: (key: string) => KvValue | undefined,
): Effect | { readonly problem: string } {
  const writes = new Map<string, KvValue | undefined>();
  const reads: (KvValue | null)[] = [];
  const current = (key: string): KvValue | undefined => (writes.has(key) ? writes.get(key) : read(key));
  for (const operation of operations) {
    const { key } = operation;
    switch (operation.op) {
      case "put":
        writes.set(key, operation.value);
        break;
      case "delete":
        writes.set(key, undefined);
        break;
      case "get":
        reads.push(current(key) ?? null);
        break;
      case "add": {
        const sum = add(operation, current(key));
        if (typeof sum === "string") return { problem: sum };
        writes.set(key, sum);
        break;
      }
      case "append": {
        const before = current(key) ?? "";
        if (typeof before !== "string") return { problem: `append to ${JSON.stringify(key)}: its value is an integer` };
        const after = before + operation.value;
        if (Buffer.byteLength(after) > KV_VALUE_BYTES_MAX)
          return { problem: `append to ${JSON.stringify(key)}: the text would be longer than ${KV_VALUE_BYTES_MAX} bytes` };
        writes.set(key, after);
        break;
      }
      case "require": {
        const problem = requirement(operation, current(key));
        if (problem !== undefined) return { problem };
        break;
      }
      default:
        unreachable(operation);
    }
  }
  return { writes, reads };
}

/** The sum, or why it is refused. */
function add(operation: KvOperation & { readonly op: "add" }, value: KvValue | undefined): number | string {
  const { key, delta, min, max } = operation;
  const before = value ?? 0;
  const where = `add ${delta} to ${JSON.stringify(key)}`;
  if (typeof before === "string") return `${where}: its value is a text`;
  const sum = before + delta;
  if (!Number.isSafeInteger(sum)) return `${where}: ${before} + ${delta} is beyond 2^53 - 1`;
  if (min !== undefined && sum < min) return `${where}: it holds ${before}, and ${sum} is below the bound ${min}`;
  if (max !== undefined && sum > max) return `${where}: it holds ${before}, and ${sum} is above the bound ${max}`;
  return sum;
}

function requirement(operation: KvOperation & { readonly op: "require" }, value: KvValue | undefined): string | undefined {
  const { key, exists, equals } = operation;
  if (exists === true && value === undefined) return `require ${JSON.stringify(key)}: it does not exist`;
  if (exists === false && value !== undefined) return `require ${JSON.stringify(key)}: it exists`;
  if (equals !== undefined && value !== equals)
    return `require ${JSON.stringify(key)}: it ${value === undefined ? "does not exist" : "holds another value"}`;
  return undefined;
}
