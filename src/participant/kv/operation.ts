/**
 * The work of a key-value branch: a list of operations, and its form as a payload.
 *
 * A payload is the UTF-8 JSON text of the list, for example `[{"op":"add","key":"acct-7","delta":-5,"min":0}]`, so that any language
 * and the command line can write one. Decides: which lists are well formed. Does not decide what they do to a store (evaluate.ts).
 */
import { messageOf } from "../../base/index.js";

/** A text, or an integer within ±(2^53 - 1). */
export type KvValue = string | number;

export type KvOperation =
  | { readonly op: "put"; readonly key: string; readonly value: KvValue }
  | { readonly op: "delete"; readonly key: string }
  /** Adds to an integer; a missing key counts as 0. The vote is no when the sum leaves [min, max] or the safe integers. */
  | { readonly op: "add"; readonly key: string; readonly delta: number; readonly min?: number; readonly max?: number }
  /** Appends to a text; a missing key counts as "". */
  | { readonly op: "append"; readonly key: string; readonly value: string }
  /** The vote is no unless the key is there (`exists: true`), is not there (`exists: false`), or holds exactly `equals`. */
  | { readonly op: "require"; readonly key: string; readonly exists?: boolean; readonly equals?: KvValue }
  /** Reads the key under the branch's locks; what was read is kept with the branch, see `KvParticipant.branch`. */
  | { readonly op: "get"; readonly key: string };

export const KV_KEY_BYTES_MAX = 512;
export const KV_VALUE_BYTES_MAX = 1 << 20;
export const KV_OPERATIONS_MAX = 1024;

const FIELDS: { readonly [op in KvOperation["op"]]: { readonly required: readonly string[]; readonly optional: readonly string[] } } = {
  put: { required: ["key", "value"], optional: [] },
  delete: { required: ["key"], optional: [] },
  add: { required: ["key", "delta"], optional: ["min", "max"] },
  append: { required: ["key", "value"], optional: [] },
  require: { required: ["key"], optional: ["exists", "equals"] },
  get: { required: ["key"], optional: [] },
};

/** Encodes a list of operations as the payload of a branch. Throws RangeError that names the operation and the field when it is malformed. */
export function kvPayload(operations: readonly KvOperation[]): Uint8Array {
  const problem = listProblem(operations);
  if (problem !== undefined) throw new RangeError(problem);
  return Buffer.from(JSON.stringify(operations), "utf8");
}

/** Reads a payload. A malformed one gives the problem in words, for the detail of a vote of no. */
export function decodeKvPayload(payload: Uint8Array): { readonly operations: readonly KvOperation[] } | { readonly problem: string } {
  if (payload.length === 0) return { problem: "the branch has no payload: a key-value branch needs a list of operations" };
  let parsed: unknown;
  try {
    parsed = JSON.parse(decoder.decode(payload));
  } catch (error) {
    return { problem: `the payload is not UTF-8 JSON: ${messageOf(error)}` };
  }
  const problem = listProblem(parsed);
  return problem === undefined ? { operations: parsed as KvOperation[] } : { problem };
}

/** A surrogate without its other half: it has no UTF-8 form. */
const HALF_PAIR = /\p{Surrogate}/u;
const decoder = new TextDecoder("utf-8", { fatal: true });

function listProblem(list: unknown): string | undefined {
  if (!Array.isArray(list)) return "the payload must be a JSON array of operations";
  if (list.length === 0) return "the list of operations is empty";
  if (list.length > KV_OPERATIONS_MAX) return `the list has ${list.length} operations; the limit is ${KV_OPERATIONS_MAX}`;
  for (let i = 0; i < list.length; i++) {
    const problem = operationProblem(list[i]);
    if (problem !== undefined) return `operation ${i}: ${problem}`;
  }
  return undefined;
}

function operationProblem(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "must be an object";
  const operation = value as { readonly [field: string]: unknown };
  const { op } = operation;
  if (typeof op !== "string" || !Object.hasOwn(FIELDS, op))
    return `op must be one of ${Object.keys(FIELDS).join(", ")}, got ${JSON.stringify(op)}`;
  const { required, optional } = FIELDS[op as KvOperation["op"]];
  for (const field of required) if (operation[field] === undefined) return `${op} needs "${field}"`;
  for (const field of Object.keys(operation)) {
    if (field === "op") continue;
    if (!required.includes(field) && !optional.includes(field)) return `${op} has no field "${field}"`;
    const problem = operation[field] === undefined ? undefined : fieldProblem(op, field, operation[field]);
    if (problem !== undefined) return `${op} "${field}" ${problem}`;
  }
  if (op === "require" && (operation["exists"] === undefined) === (operation["equals"] === undefined))
    return `require needs exactly one of "exists" and "equals"`;
  return undefined;
}

function fieldProblem(op: string, field: string, value: unknown): string | undefined {
  switch (field) {
    case "key":
      if (typeof value !== "string" || value.length === 0) return "must be a text that is not empty";
      if (HALF_PAIR.test(value)) return "has half of a surrogate pair";
      return Buffer.byteLength(value) > KV_KEY_BYTES_MAX ? `is longer than ${KV_KEY_BYTES_MAX} bytes` : undefined;
    case "exists":
      return typeof value === "boolean" ? undefined : "must be true or false";
    case "delta":
    case "min":
    case "max":
      return Number.isSafeInteger(value) ? undefined : "must be an integer within 2^53 - 1";
    default:
      if (typeof value === "string") return textProblem(value);
      if (op === "append") return "must be a text";
      return Number.isSafeInteger(value) ? undefined : "must be a text or an integer within 2^53 - 1";
  }
}

function textProblem(value: string): string | undefined {
  if (HALF_PAIR.test(value)) return "has half of a surrogate pair";
  return Buffer.byteLength(value) > KV_VALUE_BYTES_MAX ? `is longer than ${KV_VALUE_BYTES_MAX} bytes` : undefined;
}
