/**
 * What went wrong while rolling back because of an error: kept beside that error, never instead of it.
 */
const failures = new WeakMap<object, readonly unknown[]>();

export function attachRollbackFailures(error: unknown, list: readonly unknown[]): void {
  if (list.length > 0 && typeof error === "object" && error !== null) failures.set(error, list);
}

/**
 * Errors of participants whose roll back failed after `error` was thrown out of a transaction. Empty when all went well. The
 * branches concerned are rolled back by the cluster's own calls and inquiries.
 */
export function rollbackFailures(error: unknown): readonly unknown[] {
  return typeof error === "object" && error !== null ? (failures.get(error) ?? []) : [];
}
