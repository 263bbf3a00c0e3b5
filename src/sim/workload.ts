/**
 * What clients do: transfers in every style, aborts, races, repeats, questions, deaths. Each step goes into the history.
 */
import type { Gid, Prng } from "../base/index.js";
import type { Answer } from "../coordinator/index.js";
import type { BranchSpec, Vote } from "../txn/index.js";
import type { Asked, Client } from "./client.js";
import { encodeWork } from "./participant.js";
import { planTries } from "./tcc-plan.js";
import { registerStep, type Registers } from "./registers.js";
import type { Attachment, ResourceManager, Work } from "./resource-manager.js";
import { all, sleep, spawn, type Task } from "./task.js";

export interface WorkloadOptions {
  readonly thinkMsMean: number;
  /** Weights of what a client does next. */
  readonly asked: number;
  readonly brought: number;
  readonly mixed: number;
  readonly enlisted: number;
  readonly status: number;
  readonly register: number;
  /** Chances inside a transaction. */
  readonly clientAborts: number;
  readonly race: number;
  readonly repeat: number;
  readonly dies: number;
  /** Prepares before the cluster knows of the transaction, against the rules, and dies: only an inquiry settles that. */
  readonly reckless: number;
  readonly resourceMsMean: number;
  readonly lockTimeoutMs: number;
  readonly timeoutMs: number;
  /** Weight of transactions that one branch decides, or none. */
  readonly alone: number;
  /** Weight of transactions with branches that are tried. */
  readonly tcc: number;
}

/** What all clients share. */
export interface Shared {
  /** Those that prepare. */
  readonly resources: readonly ResourceManager[];
  /** Those that reserve. */
  readonly services: readonly ResourceManager[];
  /** Of each life of each client, by client and resource. */
  readonly attachments: Map<string, Attachment>;
  readonly recent: Gid[];
  readonly registers: Registers;
  /** Gids that some client asked to abort. */
  readonly aborted: Set<Gid>;
  /** When a client first asked to commit each gid, and its timeout. */
  readonly commitAsked: Map<Gid, { readonly at: number; readonly timeoutMs: number }>;
  /** Votes of no that clients sent with Commit. */
  readonly votedNo: Set<Gid>;
  options: WorkloadOptions;
  /** No new operations. */
  stopped: boolean;
  committed: number;
}

export interface Planned {
  readonly spec: BranchSpec;
  readonly resource: ResourceManager;
  readonly work: Work;
}

const RECENT_MAX = 30;
/** Chance that a client does something else between its own try and its Commit, and how long. */
const THINKS_CHANCE = 0.4;
const THINKS_MS_MEAN = 600;
/** Chance that a client enlists into a transaction that it never opened. */
const UNOPENED_CHANCE = 0.03;

/** One lane of a client: one operation after another, as long as this life of it lasts. */
export function* lane(client: Client, shared: Shared, die: () => void): Task<void> {
  const life = client.life;
  for (;;) {
    yield* sleep(client.world, client.prng.exponential(shared.options.thinkMsMean));
    if (shared.stopped) continue;
    const { asked, brought, mixed, enlisted, status, register, alone, tcc, dies } = shared.options;
    if (client.prng.chance(dies)) {
      // In the middle of whatever the lanes do a little later.
      client.world.after(client.prng.float() * 100, () => {
        if (client.alive(life)) die();
      });
    }
    switch (choose(client.prng, [asked, brought, mixed, enlisted, status, register, alone, tcc])) {
      case 0:
        yield* transfer(
          client,
          shared,
          plan(client, shared, () => "asked"),
          "at-once",
        );
        break;
      case 1:
        yield* transfer(
          client,
          shared,
          plan(client, shared, () => "brought"),
          "open",
        );
        break;
      case 2:
        yield* transfer(
          client,
          shared,
          plan(client, shared, (index) => (index === 0 ? "brought" : "asked")),
          "open",
        );
        break;
      case 3:
        yield* transfer(
          client,
          shared,
          plan(client, shared, () => (client.prng.chance(0.5) ? "asked" : "brought")),
          "enlist",
        );
        break;
      case 4:
        yield* askStatus(client, shared);
        break;
      case 6: {
        const branches = planAlone(client, shared);
        const style = branches.some(({ spec }) => spec.mode === "brought") ? "open" : "at-once";
        yield* transfer(client, shared, branches, style);
        break;
      }
      case 7: {
        const branches = planTries(client.prng, shared);
        const atOnce = branches.every(({ spec }) => spec.mode === "asked");
        yield* transfer(client, shared, branches, atOnce ? "at-once" : client.prng.chance(0.3) ? "enlist" : "open");
        break;
      }
      default:
        yield* registerStep(client, shared.registers);
    }
  }
}

function choose(prng: Prng, weights: readonly number[]): number {
  let left = prng.float() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return index;
  }
  return weights.length - 1;
}

/** Moves money between two or three resources; the amounts add up to nothing. Now and then one branch only reads. */
function plan(client: Client, shared: Shared, mode: (index: number) => "asked" | "brought"): readonly Planned[] {
  const { prng } = client;
  const count = Math.min(shared.resources.length, prng.chance(0.1) ? 1 : prng.int(2, 3));
  const resources = prng.shuffle(shared.resources).slice(0, count);
  const amounts = resources.map(() => prng.int(-20, 20));
  const readOnlyAt = count > 2 && prng.chance(0.3) ? count - 1 : -1;
  let rest = 0;
  amounts.forEach((amount, index) => {
    if (index > 0 && index !== readOnlyAt) rest -= amount;
  });
  amounts[0] = rest;
  return resources.map((resource, index) => {
    const account = prng.pick(resource.accounts);
    const other = prng.pick(resource.accounts);
    // A single branch moves money inside its own resource.
    const deltas: (readonly [string, number])[] =
      index === readOnlyAt ? [] : count === 1 ? move(account, other, prng.int(1, 20)) : [[account, amounts[index] ?? 0]];
    const work: Work = { deltas, reads: index === readOnlyAt ? [account] : [] };
    const branchMode = mode(index);
    const payload = branchMode === "asked" ? encodeWork(work) : new Uint8Array(0);
    return { spec: { id: `b${index + 1}`, participant: resource.name, mode: branchMode, payload }, resource, work };
  });
}

/** One branch that moves money and perhaps another that only reads, or nothing but readers. */
function planAlone({ prng }: Client, { resources }: Shared): readonly Planned[] {
  const [first, second] = prng.shuffle(resources) as [ResourceManager, ResourceManager];
  const branch = (id: string, mode: "asked" | "brought", resource: ResourceManager, deltas: Work["deltas"]): Planned => {
    const work: Work = { deltas, reads: deltas.length === 0 ? [prng.pick(resource.accounts)] : [] };
    return {
      spec: { id, participant: resource.name, mode, payload: mode === "asked" ? encodeWork(work) : new Uint8Array(0) },
      resource,
      work,
    };
  };
  const mover = branch("b1", "asked", first, move(prng.pick(first.accounts), prng.pick(first.accounts), prng.int(1, 40)));
  const shape = prng.float();
  if (shape < 0.6) return [mover];
  const reader = branch("b2", shape < 0.9 ? "brought" : "asked", second, []);
  return shape < 0.8 ? [mover, reader] : [branch("b1", prng.chance(0.5) ? "brought" : "asked", first, []), reader];
}

function move(from: string, to: string, amount: number): (readonly [string, number])[] {
  return from === to
    ? [[from, 0]]
    : [
        [from, -amount],
        [to, amount],
      ];
}

function* transfer(client: Client, shared: Shared, branches: readonly Planned[], style: "at-once" | "open" | "enlist"): Task<void> {
  const { options } = shared;
  const gid = client.newGid();
  remember(shared, gid);
  const brought = branches.filter(({ spec }) => spec.mode === "brought");
  // What a client tried itself the cluster cancels.
  const prepared = brought.filter(({ spec }) => spec.kind !== "tcc");
  const specs = branches.map(({ spec }) => spec);
  if (prepared.length > 0 && prepared.length === brought.length && client.prng.chance(options.reckless)) {
    yield* reckless(client, shared, gid, brought);
    return;
  }
  if (style === "enlist" && client.prng.chance(UNOPENED_CHANCE)) {
    yield* enlistUnopened(client, shared, gid, branches);
    return;
  }
  if (style !== "at-once" && !(yield* open(client, shared, gid, style === "open" ? specs : []))) {
    yield* abort(client, shared, gid, []);
    return;
  }
  if (style === "enlist") {
    for (const spec of specs) {
      const { answer } = yield* client.ask({ kind: "enlist", gid, branch: spec });
      if (answer?.kind === "enlisted") continue;
      yield* abort(client, shared, gid, []);
      return;
    }
  }
  const life = client.life;
  const votes = yield* all(
    client.world,
    () => client.alive(life),
    brought.map((branch) => bring(client, shared, gid, branch)),
  );
  // Business takes its time between a reservation and the decision, and its process may end meanwhile.
  if (prepared.length < brought.length && client.prng.chance(THINKS_CHANCE))
    yield* sleep(client.world, client.prng.exponential(THINKS_MS_MEAN));
  const refused = votes.some((vote) => vote === "no");
  // A client that has a no may say so by Commit with that vote, or abort.
  if ((refused && client.prng.chance(0.5)) || client.prng.chance(options.clientAborts)) {
    yield* abort(client, shared, gid, prepared);
    return;
  }
  if (refused) shared.votedNo.add(gid);
  yield* commit(
    client,
    shared,
    gid,
    specs,
    brought.map(({ spec }, index) => ({ branch: spec.id, vote: votes[index] ?? "no" })),
  );
}

/** As after an OPEN that was lost with its leader: nothing may start the transaction in silence (Redpanda #6018). */
function* enlistUnopened(client: Client, shared: Shared, gid: Gid, branches: readonly Planned[]): Task<void> {
  for (const { spec } of branches) {
    const { answer } = yield* client.ask({ kind: "enlist", gid, branch: spec });
    client.world.cover("enlist-unopened");
    if (answer?.kind === "enlisted")
      client.world.fail({ invariant: "I4-phantom", message: `branch ${spec.id} was enlisted in ${gid}, which nobody opened` });
  }
  yield* abort(client, shared, gid, []);
}

function* open(client: Client, shared: Shared, gid: Gid, branches: readonly BranchSpec[]): Task<boolean> {
  const { answer } = yield* client.ask({ kind: "open", gid, client: client.id, timeoutMs: shared.options.timeoutMs, branches });
  return answer?.kind === "opened";
}

function attachmentOf(client: Client, shared: Shared, resource: ResourceManager): Attachment {
  const key = `${client.id}/${resource.name}`;
  let attachment = shared.attachments.get(key);
  if (attachment === undefined) {
    attachment = resource.attach(client.id, client.prng, shared.options.lockTimeoutMs);
    shared.attachments.set(key, attachment);
  }
  return attachment;
}

/** Runs the client's own work and prepares it; the vote. */
function* bring(client: Client, shared: Shared, gid: Gid, { spec, resource, work }: Planned): Task<Vote> {
  const pauseMs = (): number => client.prng.exponential(shared.options.resourceMsMean);
  return yield* attachmentOf(client, shared, resource).bring({ gid, branch: spec.id }, work, pauseMs);
}

function* reckless(client: Client, shared: Shared, gid: Gid, brought: readonly Planned[]): Task<void> {
  for (const branch of brought) yield* bring(client, shared, gid, branch);
  client.world.cover("reckless-client");
}

function* commit(
  client: Client,
  shared: Shared,
  gid: Gid,
  branches: readonly BranchSpec[],
  votes: readonly { readonly branch: string; readonly vote: Vote }[],
): Task<void> {
  const { prng, recorder, world } = client;
  const life = client.life;
  if (prng.chance(shared.options.race)) {
    const racing = prng.chance(0.5) ? abort(client, shared, gid, []) : status(client, gid, prng.chance(0.5));
    const later = function* (): Task<void> {
      yield* sleep(world, prng.float() * 40);
      yield* racing;
    };
    spawn(world, () => client.alive(life), later());
  }
  const body = { kind: "commit", gid, client: client.id, timeoutMs: shared.options.timeoutMs, branches, votes } as const;
  const process = recorder.process();
  shared.commitAsked.set(gid, { at: world.now, timeoutMs: body.timeoutMs });
  recorder.write(process, "invoke", "decide", gid, "commit", { client: client.id });
  const asked = yield* client.ask(body);
  complete(client, process, gid, "commit", asked);
  if (asked.answer?.kind === "decided" && asked.answer.decision === "commit") shared.committed += 1;
  if (asked.answer?.kind !== "decided" || !prng.chance(shared.options.repeat)) return;
  // The same Commit again, perhaps much later: it must be answered with the decision in force and change nothing.
  yield* sleep(world, prng.exponential(500));
  const again = recorder.process();
  recorder.write(again, "invoke", "decide", gid, "commit", { client: client.id });
  const second = yield* client.ask(body);
  complete(client, again, gid, "commit", { ...second, ambiguous: true });
  if (second.answer?.kind === "decided") world.cover("duplicate-commit-answered");
}

/** Asks to abort. What the client prepared itself it rolls back: it never sent Commit, and never will. */
function* abort(client: Client, shared: Shared, gid: Gid, prepared: readonly Planned[]): Task<void> {
  const { recorder } = client;
  shared.aborted.add(gid);
  const life = client.life;
  for (const { resource, spec } of prepared) {
    const rollBack = function* (): Task<void> {
      yield* attachmentOf(client, shared, resource).rollback({ gid, branch: spec.id });
    };
    spawn(client.world, () => client.alive(life), rollBack());
  }
  const process = recorder.process();
  recorder.write(process, "invoke", "decide", gid, "abort", { client: client.id });
  complete(client, process, gid, "abort", yield* client.ask({ kind: "abort", gid }));
}

function complete(client: Client, process: number, gid: Gid, want: "commit" | "abort", { answer, ambiguous, node }: Asked): void {
  const { recorder } = client;
  if (answer === undefined) {
    recorder.write(process, "info", "decide", gid, want, { error: "deadline" });
    return;
  }
  const decided = decisionOf(answer);
  if (decided !== undefined) recorder.write(process, "ok", "decide", gid, decided.decision, { node, ...decided.more });
  else if (answer.kind === "error") {
    client.world.cover(`answer ${answer.code}`);
    const unknown = ambiguous || answer.retry !== "never" || answer.code === "QUORATE_OUTCOME_UNKNOWN";
    recorder.write(process, unknown ? "info" : "fail", "decide", gid, want, {
      node,
      error: `${answer.code}: ${answer.message}`,
    });
  } else recorder.write(process, "info", "decide", gid, want, { node, error: `unexpected answer ${answer.kind}` });
}

function decisionOf(answer: Answer): { readonly decision: "commit" | "abort"; readonly more: { readonly zxid?: string } } | undefined {
  if (answer.kind === "decided") return { decision: answer.decision, more: { zxid: `${answer.zxid.epoch}:${answer.zxid.counter}` } };
  if (answer.kind !== "error") return undefined;
  if (answer.outcome === "committed") return { decision: "commit", more: {} };
  return answer.outcome === "aborted" ? { decision: "abort", more: {} } : undefined;
}

function* askStatus(client: Client, shared: Shared): Task<void> {
  if (shared.recent.length === 0) return;
  yield* status(client, client.prng.pick(shared.recent), false);
}

function* status(client: Client, gid: Gid, wait: boolean): Task<void> {
  const { recorder } = client;
  const process = recorder.process();
  recorder.write(process, "invoke", "status", gid, null, { client: client.id });
  const { answer, node } = yield* client.ask({ kind: "outcome", gid, wait });
  if (answer?.kind === "transaction") {
    const { decision, decidedAt, state } = answer.transaction;
    const zxid = decidedAt === undefined ? {} : { zxid: `${decidedAt.epoch}:${decidedAt.counter}` };
    recorder.write(process, "ok", "status", gid, decision ?? state, { node, ...zxid });
    if (state === "expired") client.world.cover("expired-answer");
    return;
  }
  const decided = answer === undefined ? undefined : decisionOf(answer);
  if (decided !== undefined) recorder.write(process, "ok", "status", gid, decided.decision, { node, ...decided.more });
  else recorder.write(process, "info", "status", gid, null, { error: answer?.kind === "error" ? answer.code : "deadline" });
}

function remember(shared: Shared, gid: Gid): void {
  shared.recent.push(gid);
  if (shared.recent.length > RECENT_MAX) shared.recent.shift();
}
