/**
 * The tries that one transaction's client makes itself: each is recorded before it runs, its result is its vote.
 *
 * Decides nothing of the outcome. Confirm and cancel are the coordinator's, also of a try that failed: what it reserved is not known here.
 */
import { messageOf } from "../base/index.js";
import type { BranchSpec, Vote } from "../txn/index.js";

export interface Tried {
  readonly spec: BranchSpec;
  /** Undefined while it runs. */
  vote: Vote | undefined;
  detail: string;
  error: unknown;
}

export class Tries {
  readonly #tried: Tried[] = [];

  /** Runs `work`, and rejects with its error. */
  async run<R>(spec: BranchSpec, work: () => R | Promise<R>): Promise<R> {
    const tried: Tried = { spec, vote: undefined, detail: "", error: undefined };
    this.#tried.push(tried);
    try {
      const result = await work();
      tried.vote = "yes";
      return result;
    } catch (error) {
      tried.vote = "no";
      tried.detail = messageOf(error);
      tried.error = error;
      throw error;
    }
  }

  /** A try that did not succeed: the transaction cannot commit, whatever became of the error. */
  get refused(): Tried | undefined {
    return this.#tried.find(({ vote }) => vote !== "yes");
  }

  get votes(): readonly { readonly branch: string; readonly vote: Vote }[] {
    return this.#tried.map(({ spec, vote }) => ({ branch: spec.id, vote: vote ?? "no" }));
  }
}
