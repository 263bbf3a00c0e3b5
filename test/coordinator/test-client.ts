/**
 * A client that keeps the contract: one gid per transaction, the complete list in every Commit, retries with the same gid only, and
 * no outcome believed but a decided one.
 */
import { uuid7 } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import type { Answer, Request } from "../../src/coordinator/index.js";
import type { BranchSpec } from "../../src/txn/index.js";
import { STAMP_BASE_MS, Violation } from "./world.js";
import type { World, WorldNode } from "./world.js";

const RETRY_MS = 350;

interface Run {
  readonly gid: Gid;
  readonly branches: readonly BranchSpec[];
  step: "open" | "enlist" | "prepare" | "commit" | "abort" | "over";
  timeoutMs: number;
  attempts: number;
  told: "committed" | "aborted" | undefined;
  readonly enlisted: Set<string>;
}

export class TestClient {
  readonly id: string;
  readonly runs: Run[] = [];
  readonly #world: World;
  readonly #sessions = new Map<number, WorldNode>();
  readonly #requests = new Map<number, Run>();
  readonly #enlists = new Map<number, string>();
  #request = 0;

  constructor(world: World, index: number) {
    this.#world = world;
    this.id = uuid7(STAMP_BASE_MS + index, world.random.uint32);
  }

  owns(session: number): boolean {
    return this.#sessions.has(session);
  }

  attach(node: WorldNode): void {
    for (const [session, attachedTo] of this.#sessions) if (attachedTo === node) this.#sessions.delete(session);
    const session = this.#world.nextStream();
    this.#sessions.set(session, node);
    node.coordinator.clientUp(session, this.id, this.#world.nowMs);
  }

  start(): void {
    const { random, options, participants } = this.#world;
    const count = random.int(1, participants.length);
    const chosen = random.shuffle(participants).slice(0, count);
    const brings = random.chance(0.4);
    const branches = chosen.map((participant, i): BranchSpec => {
      const mode = brings && (i === 0 || random.chance(0.5)) ? "brought" : "asked";
      return { id: `b${i + 1}`, participant: participant.name, mode, payload: new Uint8Array(mode === "asked" ? 3 : 0) };
    });
    const run: Run = {
      gid: this.#world.newGid(),
      branches,
      step: branches.some((branch) => branch.mode === "brought") ? "open" : "commit",
      timeoutMs: options.promise ? 60_000 : random.int(500, 4_000),
      attempts: 0,
      told: undefined,
      enlisted: new Set(),
    };
    this.runs.push(run);
    this.#go(run);
    if (!options.promise && random.chance(0.1)) {
      this.#world.after(random.int(0, 600), () => this.#send(run, { kind: "abort", gid: run.gid }));
    }
    // Some clients die after the first try.
    if (random.chance(this.#world.swarm.clientDies)) this.#world.after(random.int(5, 100), () => (run.step = "over"));
  }

  #go(run: Run): void {
    if (run.step === "over") return;
    if (run.attempts++ > 60) {
      run.step = "over";
      return;
    }
    this.#step(run);
    this.#world.after(RETRY_MS, () => {
      this.#go(run);
    });
  }

  #step(run: Run): void {
    const { gid, branches, timeoutMs } = run;
    if (run.step === "open") {
      this.#send(run, { kind: "open", gid, client: this.id, timeoutMs, branches: branches.slice(0, 1) });
    } else if (run.step === "enlist") {
      for (const branch of branches.slice(1)) {
        if (branch.mode === "brought" && !run.enlisted.has(branch.id)) this.#send(run, { kind: "enlist", gid, branch }, branch.id);
      }
      if (branches.slice(1).every((branch) => branch.mode !== "brought" || run.enlisted.has(branch.id))) {
        run.step = "prepare";
        this.#prepare(run);
      }
    } else if (run.step === "prepare") {
      this.#prepare(run);
    } else {
      const brought = branches.filter((branch) => branch.mode === "brought");
      const votes = brought.map((branch) => ({ branch: branch.id, vote: "yes" as const }));
      this.#send(run, { kind: "commit", gid, client: this.id, timeoutMs, branches, votes });
    }
  }

  /** Its own branches, on its own connections; then it may only commit. A branch that cannot be prepared gives the transaction up. */
  #prepare(run: Run): void {
    for (const branch of run.branches) {
      if (branch.mode !== "brought") continue;
      const participant = this.#world.participants.find((candidate) => candidate.name === branch.participant);
      if (participant?.bring(run.gid, branch.id) === true) continue;
      // Not reachable: tried again. What is prepared stays so until the cluster says otherwise.
      return;
    }
    run.step = "commit";
    this.#step(run);
  }

  #send(run: Run, body: Request, enlists = ""): void {
    const sessions = [...this.#sessions];
    const leader = this.#world.leader;
    const [session, node] = sessions.find(([, attachedTo]) => attachedTo === leader) ?? this.#world.random.pick(sessions);
    const target = this.#world.random.chance(0.9) ? ([session, node] as const) : this.#world.random.pick(sessions);
    const request = this.#request++;
    this.#requests.set(request, run);
    if (enlists !== "") this.#enlists.set(request, enlists);
    this.#world.request(target[1], target[0], request, body);
  }

  answered(request: number, answer: Answer): void {
    const run = this.#requests.get(request);
    if (run === undefined) return;
    switch (answer.kind) {
      case "opened":
        if (run.step === "open") {
          run.step = "enlist";
          this.#step(run);
        }
        return;
      case "enlisted":
        run.enlisted.add(this.#enlists.get(request) ?? "");
        if (run.step === "enlist") this.#step(run);
        return;
      case "decided":
        return this.#told(run, answer.decision === "commit" ? "committed" : "aborted");
      case "error":
        // Everything but a known outcome says nothing about it: the client tries again, or asks.
        if (answer.outcome === "committed" || answer.outcome === "aborted") this.#told(run, answer.outcome);
        return;
      default:
        throw new Violation(`unexpected answer ${answer.kind}`);
    }
  }

  #told(run: Run, outcome: "committed" | "aborted"): void {
    if (run.told !== undefined && run.told !== outcome) throw new Violation(`${run.gid}: client told ${run.told}, then ${outcome}`);
    const decision = this.#world.decisions.get(run.gid);
    if (decision !== (outcome === "committed" ? "commit" : "abort")) {
      throw new Violation(`${run.gid}: client told ${outcome}, the log says ${decision ?? "nothing"}`);
    }
    run.told = outcome;
    run.step = "over";
  }

  /** What the client was told is what every branch did. */
  check(): void {
    for (const run of this.runs) {
      const decision = this.#world.decisions.get(run.gid);
      for (const branch of run.branches) {
        const participant = this.#world.participants.find((candidate) => candidate.name === branch.participant);
        const state = participant?.stateOf(run.gid, branch.id);
        if (state === "committed" && decision !== "commit")
          throw new Violation(`${run.gid}/${branch.id} committed, decision is ${decision ?? "none"}`);
        if (state === "rolled-back" && decision === "commit" && this.#world.recordedVote(run.gid, branch.id) === "yes") {
          throw new Violation(`${run.gid}/${branch.id} rolled back, decision is commit`);
        }
      }
      if (this.#world.options.promise && decision !== "commit")
        throw new Violation(`${run.gid} did not commit\n${this.#world.story(run.gid)}`);
    }
  }
}
