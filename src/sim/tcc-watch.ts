/**
 * Watches branches of kind `tcc`: nobody is tried before the record that brings the cancel, nobody prepares before every try said yes,
 * and nothing is reserved after its cancel was acknowledged.
 */
import type { Gid } from "../base/index.js";
import type { Violation } from "../check/index.js";
import type { BranchKind, BranchMode, Command, Decision, StateMachine } from "../txn/index.js";
import type { World } from "./world.js";

interface Known {
  readonly id: string;
  readonly participant: string;
  readonly mode: BranchMode;
  readonly kind: BranchKind;
}

interface Recorded {
  /** Its complete list is in the log. */
  readonly begun: boolean;
  readonly branches: readonly Known[];
}

export class TccWatch {
  readonly #world: World;
  readonly #recorded = new Map<Gid, Recorded>();
  /** Branches as `gid/branch@participant`. */
  readonly #yes = new Set<string>();
  readonly #cancelled = new Set<string>();
  readonly #reasons = new Map<Gid, string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** A record was applied for the first time; `state` is that of a node right after. */
  learned(command: Command, state: Pick<StateMachine, "lookup">): void {
    if (command.kind !== "OPEN" && command.kind !== "ENLIST" && command.kind !== "BEGIN") return;
    const found = state.lookup(command.gid);
    if (found.kind !== "transaction" || found.transaction.decision !== undefined) return;
    const { branches } = found.transaction;
    this.#recorded.set(command.gid, { begun: found.transaction.state === "sealed", branches });
  }

  /** The log decides it. `carried`: it began under an earlier leader. */
  decided(gid: Gid, decision: Decision, reason: string | undefined, carried: boolean): void {
    const branches = this.#recorded.get(gid)?.branches ?? [];
    if (!branches.some(({ kind }) => kind === "tcc")) return;
    this.#reasons.set(gid, reason ?? "");
    const word = branches.some(({ kind }) => kind === "2pc") ? "mixed" : "tcc";
    this.#world.cover(`${word} ${decision}`);
    if (carried) this.#world.cover(`carried-on ${word} ${decision}`);
  }

  /** An instance is called by a leader. `afterBegin`: it said that it wants a record first. */
  called(participant: string, phase: string, gid: Gid, branch: string, afterBegin: boolean): void {
    if (phase !== "prepare") return;
    const recorded = this.#recorded.get(gid);
    const own = recorded?.branches.find(({ id, participant: other }) => id === branch && other === participant);
    const name = nameOf(gid, branch, participant);
    if (afterBegin) {
      if (recorded?.begun === true) this.#world.cover("asked after BEGIN");
      else this.#fail("after-begin", `${name} is asked, and its BEGIN is in no log: nobody would tell it the outcome`);
    }
    if (own?.kind !== "2pc" || recorded === undefined) return;
    const tries = recorded.branches.filter(({ kind }) => kind === "tcc");
    if (tries.length === 0) return;
    const missing = tries.find(({ id, mode, participant: other }) => mode === "asked" && !this.#yes.has(nameOf(gid, id, other)));
    if (missing !== undefined) this.#fail("tries-first", `${name} is to prepare, and the try of ${missing.id} has not said yes`);
    else this.#world.cover("prepared after tries");
  }

  /** A service reserves for a branch. */
  reserved(participant: string, gid: Gid, branch: string): void {
    const name = nameOf(gid, branch, participant);
    const recorded = this.#recorded.get(gid);
    const own = recorded?.branches.find(({ id, participant: other }) => id === branch && other === participant);
    if (own === undefined) this.#fail("I8-reserve", `${name} is tried, and no record names it: nobody would cancel it`);
    else if (own.mode === "asked" && recorded?.begun !== true)
      this.#fail("I8-reserve", `${name} is tried by the cluster, and its BEGIN is in no log`);
    else this.#world.cover(own.mode === "asked" ? "tried after BEGIN" : "tried by its client");
    if (this.#cancelled.has(name))
      this.#fail("I8-reserve", `${name} was cancelled, and reserves all the same: it would never be given back`);
  }

  /** A try said yes, durably. */
  saidYes(participant: string, gid: Gid, branch: string): void {
    this.#yes.add(nameOf(gid, branch, participant));
  }

  /** A cancel is durable. `held`: there was something to give back. */
  cancelled(participant: string, gid: Gid, branch: string, held: boolean): void {
    this.#cancelled.add(nameOf(gid, branch, participant));
    const own = this.#recorded.get(gid)?.branches.find(({ id, participant: other }) => id === branch && other === participant);
    if (held && own?.mode === "brought" && this.#reasons.get(gid) === "client-lost") this.#world.cover("tcc client lost");
  }

  #fail(invariant: Violation["invariant"], message: string): void {
    this.#world.fail({ invariant, message });
  }
}

function nameOf(gid: Gid, branch: string, participant: string): string {
  return `${gid}/${branch}@${participant}`;
}
