/**
 * A participant that keeps the contract: its vote is durable before it is given, it never decides alone after yes, and a repeated or
 * late call changes nothing. Its durable rows survive outages; calls under way do not.
 */
import { gidTimeMs } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import type { BranchCall, BranchReply, InquiryAnswer } from "../../src/coordinator/index.js";
import type { Vote } from "../../src/txn/index.js";
import { Violation } from "./world.js";
import type { World, WorldNode } from "./world.js";

interface Row {
  readonly gid: Gid;
  readonly branch: string;
  state: "prepared" | "committed" | "rolled-back";
  preparedMs: number;
  /** Effects made visible: at most one. */
  commits: number;
}

export class TestParticipant {
  readonly name: string;
  readonly #world: World;
  readonly #rows = new Map<string, Row>();
  /** Instance ids, one for each node it is attached to. */
  readonly #instances = new Map<number, WorldNode>();
  #fence = 0;
  #floorMs = 0;
  #up = true;
  #life = 0;
  /** Branches whose work voted read-only at least once. */
  readonly #readOnly = new Set<string>();

  constructor(world: World, name: string) {
    this.name = name;
    this.#world = world;
    this.#scan();
  }

  serves(instance: number): boolean {
    return this.#instances.has(instance);
  }

  attach(node: WorldNode): void {
    if (!this.#up) return;
    for (const [instance, attachedTo] of this.#instances) if (attachedTo === node) this.#instances.delete(instance);
    const instance = this.#world.nextStream();
    this.#instances.set(instance, node);
    // Some instances are of a version that knows no one-phase commit; in the end all know it.
    const onePhase = !this.#world.faulty || this.#world.random.chance(0.85);
    node.coordinator.instanceUp(instance, this.name, "kv", this.#world.nowMs, { onePhase });
    for (const row of this.#inDoubt(0)) this.#world.inquire(node, instance, row.gid, row.branch);
    this.#world.flush(node);
  }

  /** Down for a while: calls are lost, rows stay. */
  outage(mostMs: number): void {
    this.#up = false;
    this.#life++;
    for (const [instance, node] of this.#instances) {
      node.coordinator.instanceDown(instance, this.#world.nowMs);
      this.#world.flush(node);
    }
    this.#instances.clear();
    this.#world.after(this.#world.random.int(20, mostMs), () => {
      this.#up = true;
      for (const node of this.#world.nodes) this.attach(node);
    });
  }

  /** What this branch of this transaction votes, decided by its name so that every try gives the same. */
  #voteOf(gid: Gid, branch: string): Vote {
    const dice = Number.parseInt(gid.slice(-4), 16) % 100;
    const own = (dice * 7 + branch.charCodeAt(branch.length - 1) * 31) % 100;
    if (!this.#world.options.promise && own < 6) return "no";
    if (own < 20) return "read-only";
    // Data-dependent work: read-only or not from one try to the next.
    if (own < 30) return this.#world.random.chance(0.5) ? "read-only" : "yes";
    return "yes";
  }

  call(call: BranchCall): BranchReply | undefined {
    if (!this.#up) return undefined;
    const { gid, branch, phase } = call;
    if (this.#world.faulty && !this.#world.options.promise && this.#world.random.chance(0.04)) {
      return { phase, gid, branch, result: { kind: "failed", detail: "lock wait timeout" } };
    }
    if (phase === "prepare") return { phase, gid, branch, result: { kind: "vote", vote: this.#prepare(call), detail: "" } };
    if (phase === "one-phase") return this.#commitOnePhase(call);
    this.settle(gid, branch, phase);
    return { phase, gid, branch, result: { kind: "done" } };
  }

  /** Undefined: could not tell. */
  #commitOnePhase({ gid, branch, epoch }: BranchCall): BranchReply | undefined {
    const phase = "one-phase";
    const row = this.#rows.get(key(gid, branch));
    if (row === undefined || row.state === "prepared") {
      if (epoch < this.#fence || gidTimeMs(gid) < this.#floorMs)
        return { phase, gid, branch, result: { kind: "failed", detail: "fenced" } };
      this.#fence = epoch;
    }
    if (row === undefined && this.#voteOf(gid, branch) === "no") this.#insert(gid, branch, "rolled-back");
    else {
      if (row === undefined) this.#insert(gid, branch, "prepared");
      if (this.stateOf(gid, branch) === "prepared") this.settle(gid, branch, "commit");
    }
    if (this.stateOf(gid, branch) === "committed") return { phase, gid, branch, result: { kind: "done" } };
    return { phase, gid, branch, result: { kind: "refused", detail: "refused" } };
  }

  #prepare(call: BranchCall): Vote {
    const { gid, branch } = call;
    const row = this.#rows.get(key(gid, branch));
    if (row !== undefined) return row.state === "prepared" ? "yes" : "no";
    if (call.epoch < this.#fence) return "no";
    this.#fence = call.epoch;
    if (gidTimeMs(gid) < this.#floorMs) return "no";
    const vote = this.#voteOf(gid, branch);
    if (vote === "read-only") this.#readOnly.add(key(gid, branch));
    if (vote === "yes") this.#insert(gid, branch, "prepared");
    return vote;
  }

  /** A branch that its client brought and prepares itself. False when an earlier roll back or the floor forbids it. */
  bring(gid: Gid, branch: string): boolean {
    if (!this.#up || gidTimeMs(gid) < this.#floorMs) return false;
    const row = this.#rows.get(key(gid, branch));
    if (row === undefined) this.#insert(gid, branch, "prepared");
    return row === undefined || row.state === "prepared";
  }

  #insert(gid: Gid, branch: string, state: Row["state"]): void {
    this.#rows.set(key(gid, branch), { gid, branch, state, preparedMs: this.#world.nowMs, commits: 0 });
  }

  settle(gid: Gid, branch: string, how: "commit" | "rollback"): void {
    const row = this.#rows.get(key(gid, branch));
    if (how === "rollback") {
      if (row === undefined) {
        if (gidTimeMs(gid) >= this.#floorMs) this.#insert(gid, branch, "rolled-back");
      } else if (row.state === "prepared") {
        row.state = "rolled-back";
        this.#world.acted(gid, branch, "rollback", this.#readOnly.has(key(gid, branch)) && this.#world.recordedVote(gid, branch) !== "yes");
      }
      return;
    }
    if (row === undefined) {
      if (gidTimeMs(gid) < this.#floorMs) return;
      throw new Violation(`${this.name} is told to commit ${gid}/${branch}, which it never prepared`);
    }
    if (row.state === "rolled-back") throw new Violation(`${this.name} is told to commit ${gid}/${branch}, which it rolled back`);
    if (row.state === "prepared") {
      row.state = "committed";
      row.commits++;
      this.#world.acted(gid, branch, "commit", false);
    }
  }

  answered({ gid, branch, answer }: InquiryAnswer): void {
    if (!this.#up) return;
    const row = this.#rows.get(key(gid, branch));
    if (row?.state !== "prepared") return;
    if (answer === "commit" || answer === "rollback") this.settle(gid, branch, answer);
  }

  #inDoubt(olderThanMs: number): Row[] {
    return [...this.#rows.values()].filter((row) => row.state === "prepared" && this.#world.nowMs - row.preparedMs >= olderThanMs);
  }

  /** Asks for what is in doubt, and prunes rows that the cluster has forgotten: first its own floor, then the rows. */
  #scan(): void {
    const world = this.#world;
    world.after(world.random.int(200, 500), () => {
      this.#scan();
      if (!this.#up || this.#instances.size === 0) return;
      const [instance, node] = world.random.pick([...this.#instances]);
      for (const row of this.#inDoubt(300)) world.inquire(node, instance, row.gid, row.branch);
      const belowMs = node.state.forgottenBelowMs();
      // This node may lag behind one that spoke before it.
      this.#floorMs = Math.max(this.#floorMs, belowMs);
      for (const [at, row] of this.#rows) {
        const timeMs = gidTimeMs(row.gid);
        if (timeMs < belowMs && node.state.lookup(row.gid).kind !== "expired")
          throw new Violation(`${row.gid} is said to be forgotten and has a record`);
        if (row.state !== "prepared" && timeMs < this.#floorMs) this.#rows.delete(at);
      }
    });
  }

  /** How a branch ended here; undefined when there is no row (any more). */
  stateOf(gid: Gid, branch: string): Row["state"] | undefined {
    return this.#rows.get(key(gid, branch))?.state;
  }

  checkAtRest(): void {
    for (const row of this.#rows.values()) {
      if (row.commits > 1) throw new Violation(`${this.name} committed ${row.gid}/${row.branch} ${row.commits} times`);
      if (row.state === "prepared") {
        throw new Violation(`${this.name} is still in doubt about ${row.gid}/${row.branch}\n${this.#world.story(row.gid)}`);
      }
    }
  }
}

function key(gid: Gid, branch: string): string {
  return `${gid}/${branch}`;
}
