/**
 * The branches of one transaction on the client's side: unique ids, and the complete list that every Commit carries.
 */
import { nameProblem, QuorateError } from "../base/index.js";
import { checkedBytes, checkedKind } from "./checked.js";
import type { BranchKind, BranchMode, BranchSpec } from "../txn/index.js";

const NAME_LENGTH_MAX = 48;

export class BranchList {
  readonly #branches = new Map<string, BranchSpec>();

  get size(): number {
    return this.#branches.size;
  }

  /** In the order they were added. */
  all(): readonly BranchSpec[] {
    return [...this.#branches.values()];
  }

  /** `id` undefined: named after the participant. Throws QUORATE_INVALID_ARGUMENT for a bad or repeated name. */
  add(participant: string, mode: BranchMode, payload: Uint8Array, id: string | undefined, kind: BranchKind = "2pc"): BranchSpec {
    const problem = nameProblem("participant", participant) ?? (id === undefined ? undefined : nameProblem("branch", id));
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
    if (id !== undefined && this.#branches.has(id)) {
      throw new QuorateError("QUORATE_INVALID_ARGUMENT", `branch ${JSON.stringify(id)} exists in this transaction already; name another`);
    }
    checkedBytes("payload", payload);
    checkedKind(kind);
    const named = { id: id ?? this.#free(participant), participant, mode, payload };
    const spec: BranchSpec = kind === "2pc" ? named : { ...named, kind };
    this.#branches.set(spec.id, spec);
    return spec;
  }

  #free(participant: string): string {
    if (!this.#branches.has(participant)) return participant;
    for (let n = 2; ; n++) {
      const suffix = `-${n}`;
      const id = participant.slice(0, NAME_LENGTH_MAX - suffix.length) + suffix;
      if (!this.#branches.has(id)) return id;
    }
  }
}
