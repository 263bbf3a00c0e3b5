/**
 * Assertions that stay on in production.
 *
 * An InvariantViolation is a bug in this program, never an operating condition: the process that sees one stops.
 */

/** A broken invariant: a bug. Never caught to go on; the process exits. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

/** Throws {@link InvariantViolation} unless `condition` holds. `message` states the rule that was broken. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantViolation(typeof message === "string" ? message : message());
}

/** Closes a switch over a union: a new member without a case is a compile error. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable: ${JSON.stringify(value)}`);
}

/** The value, or an InvariantViolation that says what was missing. */
export function must<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new InvariantViolation(`missing: ${what}`);
  return value;
}
