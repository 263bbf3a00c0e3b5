/**
 * Watches what is delegated: nobody commits in one phase before the BEGIN that says so is committed, what a participant refused it never
 * commits, and the log decides only what the participant has settled.
 */
import type { Gid } from "../base/index.js";
import type { Violation } from "../check/index.js";
import { delegateOf, type Decision, type Lookup } from "../txn/index.js";

interface Named {
  readonly id: string;
  readonly participant: string;
}

export class DelegationWatch {
  /** Branches as `gid/branch@participant`. */
  readonly #delegated = new Set<string>();
  readonly #refused = new Set<string>();
  readonly #committed = new Set<string>();

  /** A BEGIN that is delegated was applied; false when it was refused. */
  begun(gid: Gid, found: Lookup): boolean {
    const branch = found.kind === "transaction" ? delegateOf(found.transaction) : undefined;
    if (branch !== undefined) this.#delegated.add(nameOf(gid, branch.id, branch.participant));
    return branch !== undefined;
  }

  refused(gid: Gid, branch: string, participant: string): void {
    this.#refused.add(nameOf(gid, branch, participant));
  }

  /** A branch is committed at its resource. "delegated": it may be, though nothing is decided. */
  committed(gid: Gid, branch: string, participant: string): Violation | "delegated" | undefined {
    const name = nameOf(gid, branch, participant);
    this.#committed.add(name);
    if (this.#refused.has(name)) return violation(`${name} was refused for ever, and is committed`);
    return this.#delegated.has(name) ? "delegated" : undefined;
  }

  isDelegated(gid: Gid, branches: readonly Named[]): boolean {
    return branches.some(({ id, participant }) => this.#delegated.has(nameOf(gid, id, participant)));
  }

  /** The log decides it. */
  decided(gid: Gid, decision: Decision, branches: readonly Named[]): Violation | undefined {
    const names = branches.map(({ id, participant }) => nameOf(gid, id, participant));
    const name = names.find((one) => this.#delegated.has(one));
    if (name === undefined) return undefined;
    const settled = decision === "commit" ? this.#committed : this.#refused;
    if (!settled.has(name)) return violation(`${name} was delegated; the log says ${decision}, its participant has not`);
    return decision === "abort" && this.#committed.has(name) ? violation(`${name} committed in one phase; the log says abort`) : undefined;
  }
}

function nameOf(gid: Gid, branch: string, participant: string): string {
  return `${gid}/${branch}@${participant}`;
}

function violation(message: string): Violation {
  return { invariant: "delegated", message };
}
