/** Short names for tests of the state machine. */
import { newGid, Prng, uuid7 } from "../../src/base/index.js";
import type { Gid, Zxid } from "../../src/base/index.js";
import { createStateMachine, TXN_LIMITS } from "../../src/txn/index.js";
import type { ApplyResult, BranchSpec, Command, RefusalReason, StateMachine, TxnLimits, Vote } from "../../src/txn/index.js";

export const START_MS = 1_700_000_000_000;
export const NO_BYTES = new Uint8Array(0);

/** A machine with a clock and a log position; `orders`, `stock` and `billing` have attached. */
export class Bench {
  readonly machine: StateMachine;
  readonly random = new Prng("bench").uint32;
  stampMs = START_MS;
  zxid: Zxid = { epoch: 1, counter: 0 };

  constructor(limits: TxnLimits = TXN_LIMITS) {
    this.machine = createStateMachine(limits);
    for (const participant of ["orders", "stock", "billing"]) this.apply({ kind: "REGISTER", participant, participantKind: "kv" });
  }

  apply(command: Command): ApplyResult {
    this.zxid = { epoch: this.zxid.epoch, counter: this.zxid.counter + 1 };
    return this.machine.apply({ stampMs: this.stampMs, command }, this.zxid);
  }

  /** The reason of a refusal; the kind of anything else. */
  outcome(command: Command): RefusalReason | Exclude<ApplyResult["kind"], "refused"> {
    const result = this.apply(command);
    return result.kind === "refused" ? result.reason : result.kind;
  }

  gid(aheadMs = 0): Gid {
    return newGid(this.stampMs + aheadMs, this.random);
  }

  client(aheadMs = 0): string {
    return uuid7(this.stampMs + aheadMs, this.random);
  }

  later(ms: number): void {
    this.stampMs += ms;
  }

  /** Raises the floor above everything made until now. */
  raiseFloor(): void {
    const timeMs = this.stampMs + 1;
    this.later(TXN_LIMITS.commitWindowMs + 2);
    this.apply({ kind: "FLOOR", timeMs });
  }

  committed(branches: readonly BranchSpec[] = [asked("b1"), asked("b2", "stock")], votes: Readonly<Record<string, Vote>> = {}): Gid {
    const gid = this.gid();
    this.apply(begin(gid, branches));
    const named = (vote: Vote): string[] => branches.filter(({ id }) => (votes[id] ?? "yes") === vote).map(({ id }) => id);
    this.apply(commit(gid, named("yes"), named("read-only")));
    return gid;
  }
}

export function asked(id: string, participant = "orders", payload: readonly number[] = [1, 2, 3]): BranchSpec {
  return { id, participant, mode: "asked", payload: Uint8Array.from(payload) };
}

export function brought(id: string, participant = "orders"): BranchSpec {
  return { id, participant, mode: "brought", payload: NO_BYTES };
}

export function open(gid: Gid, branches: readonly BranchSpec[] = [], client = "", timeoutMs = 10_000): Command {
  return { kind: "OPEN", gid, client, timeoutMs, branches };
}

export function enlist(gid: Gid, branch: BranchSpec): Command {
  return { kind: "ENLIST", gid, branch };
}

export function begin(gid: Gid, branches: readonly BranchSpec[], votes?: Readonly<Record<string, Vote>>): Command {
  const brings = branches.filter((branch) => branch.mode === "brought");
  const list = brings.map(({ id }) => ({ branch: id, vote: votes?.[id] ?? ("yes" as const) }));
  return { kind: "BEGIN", gid, client: "", timeoutMs: 10_000, branches, votes: list, delegated: false };
}

export function commit(gid: Gid, yes: readonly string[], readOnly: readonly string[] = []): Command {
  return { kind: "DECIDE", gid, decision: "commit", reason: undefined, detail: "", yes, readOnly, refusedBy: "" };
}

export function abort(gid: Gid, reason: "timeout" | "client" | "inquiry" | "vote-no" = "timeout"): Command {
  return { kind: "DECIDE", gid, decision: "abort", reason, detail: "", yes: [], readOnly: [], refusedBy: "" };
}

/** Its sole voter commits in one phase. */
export function delegate(gid: Gid, branches: readonly BranchSpec[], votes?: Readonly<Record<string, Vote>>): Command {
  return { ...begin(gid, branches, votes), delegated: true } as Command;
}

/** The abort that a delegated transaction takes. */
export function refused(gid: Gid, branch: string): Command {
  return { ...abort(gid, "vote-no"), refusedBy: branch } as Command;
}

export function done(gid: Gid, ...branches: readonly string[]): Command {
  return { kind: "DONE", branches: branches.map((branch) => ({ gid, branch })) };
}

export function put(client: string, seq: number, name: string, value: number, options: { ackBelow?: number; expect?: Zxid } = {}): Command {
  return {
    kind: "PUT",
    request: { client, seq, ackBelow: options.ackBelow ?? 0 },
    name,
    value: Uint8Array.of(value),
    expect: options.expect,
  };
}
