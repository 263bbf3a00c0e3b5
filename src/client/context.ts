/**
 * The transaction that the running code belongs to, so that it need not be handed through every function.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Transaction } from "./transaction.js";

const storage = new AsyncLocalStorage<Transaction>();

export function runInTransaction<R>(scope: Transaction, work: () => R): R {
  return storage.run(scope, work);
}

/** The transaction whose function is running; undefined outside of `transaction()`. */
export function currentTransaction(): Transaction | undefined {
  return storage.getStore();
}
