/**
 * Watches a whole run from outside the processes, and ends it at the first broken promise.
 *
 * It knows what no process knows: every disk, every committed entry in its order, when each record was first proposed, which client
 * was connected where, who really voted no. The checks that need only a history are in src/check.
 */
import {
  assert,
  compareZxid,
  equalZxid,
  formatZxid,
  gidTimeMs,
  must,
  unreachable,
  type Buggify,
  type Gid,
  type Zxid,
  ZXID_ZERO,
} from "../base/index.js";
import { CommittedLog, type CommittedEntry, type DecidedFact, type Violation } from "../check/index.js";
import type { FailpointName } from "../replica/index.js";
import { TXN_LIMITS, type Command, type StampedCommand } from "../txn/index.js";
import { codecs } from "../wire/index.js";
import type { ControlMessage, Entry, PersistRequest, SessionMessage } from "../zab/index.js";
import type { ClientWatcher } from "./client.js";
import type { Disk, DiskWatcher } from "./disk.js";
import { DelegationWatch } from "./delegation-watch.js";
import { EpochWatch } from "./epoch-watch.js";
import type { ResourceManager, ResourceWatcher } from "./resource-manager.js";
import type { NodeWatcher, SimNode } from "./sim-node.js";
import { TccWatch } from "./tcc-watch.js";
import type { World } from "./world.js";

/** When a record was made: written at `at`, and proposed in the same turn or, of a node with a backlog, in the one before, at `from`. */
interface Proposed {
  readonly from: number;
  readonly at: number;
}

interface Started {
  readonly at: number;
  readonly timeoutMs: number;
  readonly client: string;
  /** Epochs whose leader had this record to carry on. */
  readonly epoch: number;
}

interface Serving {
  readonly node: SimNode;
  readonly life: number;
  readonly at: number;
}

/** What clients did, as far as it explains an abort. */
export interface ClientFacts {
  readonly aborted: ReadonlySet<Gid>;
  readonly votedNo: ReadonlySet<Gid>;
  readonly commitAsked: ReadonlyMap<Gid, { readonly at: number; readonly timeoutMs: number }>;
}

/** What the nemesis wants to hear of at once. */
export interface OracleHooks {
  onDied(node: SimNode): void;
  /** `promise`: epochs are among it. */
  onSubmitted(node: SimNode, promise: boolean): void;
}

/** A node that lost durable state not long ago may have acknowledged an entry that it no longer holds. */
const DAMAGE_GRACE_MS = 10_000;
/** A process measures its timeouts on a clock of its own and in turns; what an outside clock sees may be this much shorter. */
const TIMER_SLACK_MS = 2;
/** A turn takes at most this many of its usual lengths: a timer starts with the message that came in it, its record is written at its end. */
const TURNS_MAX = 1.5;
/** Stamps are whole milliseconds. */
const STAMP_SLACK_MS = 2;

export class Oracle implements NodeWatcher, ResourceWatcher, ClientWatcher, DiskWatcher {
  readonly log = new CommittedLog();
  readonly #epochs = new EpochWatch();
  readonly decided = new Map<string, DecidedFact>();
  readonly tcc: TccWatch;
  /** Leaders by epoch, in order of establishment. */
  readonly serving = new Map<number, Serving>();
  readonly buggify: Buggify;
  readonly #world: World;
  readonly #clientLostMs: number;
  readonly #timerSlackMs: number;
  /** The highest floor in the committed log. */
  #floorMs = 0;
  readonly #nodes: () => readonly SimNode[];
  readonly #clients: ClientFacts;
  readonly #failpoint: (node: SimNode, name: FailpointName) => boolean;
  readonly #hooks: OracleHooks;
  readonly #votedNo = new Set<Gid>();
  readonly #effects = new Set<string>();
  readonly #delegation = new DelegationWatch();
  readonly #started = new Map<Gid, Started>();
  readonly #proposed = new Map<string, Proposed>();
  readonly #connected = new Map<string, Map<string, { count: number; since: number }>>();
  readonly #damagedAt = new Map<SimNode, number>();
  /** The end of each epoch's initial history: the log of its leader when that fixed it. */
  readonly #initialHistory = new Map<number, Zxid>();
  #lastStamp: { readonly epoch: number; readonly stampMs: number; readonly from: number } | undefined;

  constructor(
    world: World,
    { clientLostMs, turnMs }: { readonly clientLostMs: number; readonly turnMs: number },
    nodes: () => readonly SimNode[],
    clients: ClientFacts,
    failpoint: (node: SimNode, name: FailpointName) => boolean,
    buggify: Buggify,
    hooks: OracleHooks,
  ) {
    this.buggify = buggify;
    this.#world = world;
    this.tcc = new TccWatch(world);
    this.#clientLostMs = clientLostMs;
    this.#timerSlackMs = TIMER_SLACK_MS + TURNS_MAX * turnMs;
    this.#nodes = nodes;
    this.#clients = clients;
    this.#failpoint = failpoint;
    this.#hooks = hooks;
  }

  get decisions(): number {
    return this.decided.size;
  }

  // ---- nodes

  event(node: SimNode, name: string, fields: Readonly<Record<string, string | number | boolean>>): void {
    this.#world.mark(node.name, `! ${name}`, () => JSON.stringify(fields));
    this.#world.cover(typeof fields["kind"] === "string" ? `${name} ${fields["kind"]}` : name);
    if (name === "established") this.#established(node, Number(fields["epoch"]));
    // Sessions deliver in order and lose nothing: a gap is the leader's mistake, though the follower survives it.
    if (name === "session-gap")
      this.#fail("no-gaps", `${node.name} expected what follows ${String(fields["expected"])}, got ${String(fields["got"])}`);
    if (name !== "leader-serving") return;
    const epoch = Number(fields["epoch"]);
    this.serving.set(epoch, { node, life: node.life, at: this.#world.now });
    const applied = must(node.replica, "the replica of a serving node").applied;
    this.#report(this.log.established(`${node.name}/${node.life}`, epoch, applied));
  }

  failpoint(node: SimNode, name: FailpointName): boolean {
    const halts = this.#failpoint(node, name);
    if (halts) {
      this.#world.mark(node.name, `failpoint ${name}`);
      this.#world.cover(`failpoint ${name}`);
    }
    return halts;
  }

  died(node: SimNode): void {
    this.#hooks.onDied(node);
    for (const nodes of this.#connected.values()) nodes.delete(node.name);
  }

  damaged(node: SimNode): void {
    this.#epochs.forgot(node.name);
    this.#damagedAt.set(node, this.#world.now);
  }

  submitted(node: SimNode, requests: readonly PersistRequest[]): void {
    this.#hooks.onSubmitted(
      node,
      requests.some(({ op }) => op.kind === "epochs"),
    );
    for (const { op } of requests) {
      // The leader of an epoch is the first to make it current: nobody can be offered it before.
      if (op.kind === "epochs" && !this.#initialHistory.has(op.record.currentEpoch)) {
        const { submittedLast } = node.disk;
        this.#initialHistory.set(op.record.currentEpoch, submittedLast);
        if (op.record.currentEpoch > node.disk.epochs.currentEpoch)
          this.#report(this.#epochs.historyFixed(node.disk, op.record.currentEpoch, submittedLast, this.#nodes().length));
      }
      if (op.kind !== "append") continue;
      for (const { zxid } of op.entries) {
        const name = formatZxid(zxid);
        if (!this.#proposed.has(name)) this.#proposed.set(name, { from: node.proposingSince, at: this.#world.now });
      }
    }
  }

  applied(node: SimNode, from: Zxid, to: Zxid, installed: boolean): void {
    if (installed) {
      // The empty state before the first entry may be installed too, over a damaged log.
      if (!equalZxid(to, ZXID_ZERO) && !this.log.has(to))
        this.#fail("agreement", `${node.name} installed a snapshot at ${formatZxid(to)}, which nobody committed`);
      return;
    }
    const entries = node.disk.between(from, to);
    const last = entries?.at(-1);
    if (
      entries === undefined ||
      (last !== undefined && formatZxid(last.zxid) !== formatZxid(to)) ||
      (last === undefined && formatZxid(from) !== formatZxid(to))
    ) {
      this.#fail("durable-before-applied", `${node.name} applied ${formatZxid(from)}..${formatZxid(to)}, which its own log does not hold`);
      return;
    }
    const result = this.log.applied(node.name, from, entries);
    if ("invariant" in result) {
      this.#world.fail(result);
      return;
    }
    for (const entry of result.fresh) this.#committed(node, entry);
    const replica = must(node.replica, "the replica of a node that applied");
    this.#report(this.log.digest(node.name, to, replica.state.meta().digest));
  }

  truncated(entries: readonly Entry[]): void {
    if (entries.length > 0) this.#world.cover("entries-truncated");
    for (const { zxid } of entries) if (this.log.has(zxid)) this.#fail("agreement", `the committed entry ${formatZxid(zxid)} is truncated`);
  }

  /** currentEpoch = e says: the initial history of e is durable here. */
  madeCurrent(disk: Disk, epoch: number): void {
    const initial = this.#initialHistory.get(epoch);
    if (initial === undefined || disk.holds(initial)) return;
    this.#fail(
      "history-before-epoch",
      `${disk.name} makes epoch ${epoch} current without its initial history up to ${formatZxid(initial)}`,
    );
  }

  /** What must be durable at the sender before a message leaves it. */
  sent(node: SimNode, message: ControlMessage | SessionMessage): void {
    const { disk, name } = node;
    const say = (what: string): void => this.#fail("durable-before-sent", `${name} sends ${message.kind} before ${what} is durable`);
    switch (message.kind) {
      case "NEWEPOCH":
        if (disk.epochs.acceptedEpoch < message.epoch) say(`its promise of epoch ${message.epoch}`);
        return;
      case "ACKEPOCH":
        if (disk.epochs.acceptedEpoch < message.epoch) say(`its promise of epoch ${message.epoch}`);
        if (!disk.holds(message.last)) say(formatZxid(message.last));
        this.#report(this.#epochs.promised(disk, message.epoch, message.currentEpoch, message.last));
        return;
      case "ACKNEWLEADER":
        if (disk.epochs.currentEpoch < message.epoch) say(`currentEpoch ${message.epoch}`);
        if (!disk.holds(message.last)) say(formatZxid(message.last));
        return;
      case "ACK":
      case "PONG":
        if (!disk.holds(message.durable)) say(formatZxid(message.durable));
        return;
      default:
        return;
    }
  }

  /** How far the cluster has come when a linearizable read arrives. */
  readAsked(): Zxid {
    return this.log.last;
  }

  readAnswered(node: SimNode, mark: Zxid): void {
    const { applied } = must(node.replica, "the replica of a node that answers");
    if (compareZxid(applied, mark) < 0)
      this.#fail(
        "stale-read",
        `${node.name} answers a read at ${formatZxid(applied)}, but ${formatZxid(mark)} was committed before the read came`,
      );
  }

  /** Inside an epoch the stamp moves with its leader's monotonic clock, whatever the wall clocks do. */
  #checkStamp(zxid: Zxid, stampMs: number, { from, at }: Proposed): void {
    const before = this.#lastStamp;
    this.#lastStamp = { epoch: zxid.epoch, stampMs, from };
    if (before === undefined) return;
    if (stampMs < before.stampMs) this.#fail("stamps", `the stamp goes back from ${before.stampMs} to ${stampMs} at ${formatZxid(zxid)}`);
    if (before.epoch === zxid.epoch && stampMs - before.stampMs > at - before.from + STAMP_SLACK_MS)
      this.#fail(
        "stamps",
        `${formatZxid(zxid)} is stamped ${stampMs - before.stampMs} ms after its predecessor, ${at - before.from} ms have passed`,
      );
  }

  /** A leader takes office: its initial history counts as committed, so a quorum holds it as its current one. */
  #established(node: SimNode, epoch: number): void {
    const nodes = this.#nodes();
    const current = nodes.filter((other) => other.disk.epochs.currentEpoch >= epoch || this.#lostState(other));
    if (current.length * 2 > nodes.length) return;
    this.#fail(
      "established-quorum",
      `${node.name} is established in epoch ${epoch}, which is current only on ${current.map(({ name }) => name).join(", ")} of ${nodes.length}`,
    );
  }

  /** The first application of an entry anywhere: it must be safe by now. */
  #committed(node: SimNode, entry: CommittedEntry): void {
    const name = formatZxid(entry.zxid);
    const nodes = this.#nodes();
    // A holder that is still in an older epoch could follow a leader without this entry.
    const holds = ({ disk }: SimNode): boolean => disk.holds(entry.zxid) && disk.epochs.currentEpoch >= entry.zxid.epoch;
    const holders = nodes.filter((other) => holds(other) || this.#lostState(other));
    if (holders.length * 2 <= nodes.length)
      this.#fail(
        "commit-quorum",
        `${node.name} applies ${name}, which only ${holders.map((other) => other.name).join(", ")} of ${nodes.length} hold durably in its epoch`,
      );
    const stamped = codecs.command.decode(entry.payload);
    const proposed = this.#proposed.get(name) ?? { from: this.#world.now, at: this.#world.now };
    this.#proposed.delete(name);
    this.#learn(node, entry.zxid, stamped, proposed);
  }

  #lostState(node: SimNode): boolean {
    return node.disk.damage !== undefined || this.#world.now - (this.#damagedAt.get(node) ?? -Infinity) < DAMAGE_GRACE_MS;
  }

  #learn(node: SimNode, zxid: Zxid, stamped: StampedCommand, proposed: Proposed): void {
    const { command } = stamped;
    const { state } = must(node.replica, "the replica of a node that applied");
    this.tcc.learned(command, state);
    this.#checkStamp(zxid, stamped.stampMs, proposed);
    this.#world.mark("log", command.kind, () => `${formatZxid(zxid)} ${showCommand(command)}`);
    if (command.kind === "OPEN" || command.kind === "BEGIN") {
      const { gid, timeoutMs, client } = command;
      // A BEGIN that comes after the window of a gid without a record is refused at apply, and starts nothing.
      const late = command.kind === "BEGIN" && stamped.stampMs - gidTimeMs(gid) > TXN_LIMITS.commitWindowMs;
      if (!late && !this.#started.has(gid)) this.#started.set(gid, { at: proposed.from, timeoutMs, client, epoch: zxid.epoch });
      const delegated = command.kind === "BEGIN" && command.delegated && this.#delegation.begun(gid, state.lookup(gid));
      if (delegated) this.#world.cover("delegated");
    } else if (command.kind === "FLOOR") this.#floorMs = Math.max(this.#floorMs, command.timeMs);
    else if (command.kind === "FORGET") this.#world.cover("forget", command.gids.length);
    else if (command.kind === "DONE") this.#done(command.branches);
    else if (command.kind === "DECIDE") this.#decide(node, zxid, stamped, command, proposed);
  }

  #decide(node: SimNode, zxid: Zxid, stamped: StampedCommand, command: Extract<Command, { kind: "DECIDE" }>, proposed: Proposed): void {
    const { gid, decision, reason } = command;
    const found = must(node.replica, "the replica of a node that applied").state.lookup(gid);
    const inForce =
      found.kind === "transaction"
        ? found.transaction.decision
        : found.kind === "outcome"
          ? { decision: found.outcome.decision, zxid: found.outcome.zxid }
          : undefined;
    const before = this.decided.get(gid);
    if (before !== undefined) {
      this.#world.cover("decision-repeated");
      if (inForce !== undefined && inForce.decision !== before.decision)
        this.#fail(
          "I2-decision",
          `${gid}: ${before.zxid} says ${before.decision}, after ${formatZxid(zxid)} ${node.name} says ${inForce.decision}`,
        );
      return;
    }
    // Refused: it decides nothing.
    if (inForce === undefined || formatZxid(inForce.zxid) !== formatZxid(zxid)) return;
    if (inForce.decision !== decision)
      this.#fail("I2-decision", `${gid}: the record ${formatZxid(zxid)} says ${decision}, ${node.name} made ${inForce.decision} of it`);
    const branches = found.kind === "transaction" ? found.transaction.branches : found.kind === "outcome" ? found.outcome.branches : [];
    const yes = command.yes.map((branch) => ({ branch, participant: branches.find(({ id }) => id === branch)?.participant ?? "?" }));
    this.decided.set(gid, { gid, decision, zxid: formatZxid(zxid), yes: decision === "commit" ? yes : [], reason });
    this.#world.cover(decision === "commit" ? "commit" : `abort ${reason ?? "without a reason"}`);
    this.#report(this.#delegation.decided(gid, decision, branches));
    const delegated = this.#delegation.isDelegated(gid, branches) ? "delegated " : "";
    if (delegated !== "") this.#world.cover(`delegated ${decision}`);
    if (command.readOnly.length > 0)
      this.#world.cover(`read-only ${command.yes.length === 0 && decision === "commit" ? "only" : decision}`);
    const started = this.#started.get(gid);
    const carried = started !== undefined && started.epoch < zxid.epoch;
    if (carried) this.#world.cover(`carried-on ${delegated}${decision}`);
    this.tcc.decided(gid, decision, reason, carried);
    if (decision === "abort") this.#justify(gid, zxid, stamped.stampMs, command, started, proposed);
  }

  /** An acknowledgement in the log: the participant's commit is durable. */
  #done(branches: Extract<Command, { kind: "DONE" }>["branches"]): void {
    for (const { gid, branch } of branches) {
      const yes = this.decided.get(gid)?.yes.find((one) => one.branch === branch);
      if (yes !== undefined && !this.#effects.has(`${gid}/${branch}@${yes.participant}`))
        this.#fail("done-before-durable", `branch ${branch} of ${gid} is recorded as done, but ${yes.participant} has not committed it`);
    }
  }

  /** Every abort has a reason of its own; that a leader died is none. */
  #justify(
    gid: Gid,
    zxid: Zxid,
    stampMs: number,
    { reason, detail }: Extract<Command, { kind: "DECIDE" }>,
    started: Started | undefined,
    { from, at: proposedAt }: Proposed,
  ): void {
    const leader = this.serving.get(zxid.epoch);
    const say = (problem: string): void =>
      this.#fail("abort-reason", `${gid} aborted at ${formatZxid(zxid)} for ${String(reason)} (${detail}), but ${problem}`);
    switch (reason) {
      case undefined:
        return say("that is no reason");
      case "vote-no":
        if (!this.#votedNo.has(gid) && !this.#clients.votedNo.has(gid)) say("nobody voted no");
        return;
      case "client":
        if (!this.#clients.aborted.has(gid)) say("no client asked for it");
        return;
      case "client-lost": {
        const connection = leader === undefined ? undefined : this.#connected.get(started?.client ?? "")?.get(leader.node.name);
        if (connection !== undefined && connection.since <= from - this.#clientLostMs - this.#timerSlackMs)
          say(`client ${started?.client ?? "?"} has been connected to ${leader?.node.name ?? "?"} since ${connection.since}`);
        return;
      }
      case "timeout": {
        if (started === undefined) {
          // A Commit that came after its window: the record says for ever that it was never started. Or one whose BEGIN was not
          // taken again and again, until its time was over.
          const asked = this.#clients.commitAsked.get(gid);
          const waitedOut = asked !== undefined && proposedAt - asked.at >= asked.timeoutMs - this.#timerSlackMs;
          if (!waitedOut && stampMs <= gidTimeMs(gid) + TXN_LIMITS.commitWindowMs) say("it never started, and its window was open");
          return;
        }
        // A leader that could not propose BEGIN (overloaded, handing over) counts from the first time it was asked, and tries again.
        const heard = Math.min(started.at, this.#clients.commitAsked.get(gid)?.at ?? started.at);
        const since = Math.max(heard, leader?.at ?? 0);
        if (proposedAt - since < started.timeoutMs - this.#timerSlackMs)
          say(`only ${proposedAt - since} ms of ${started.timeoutMs} had passed under this leader`);
        return;
      }
      case "inquiry":
        if (stampMs < gidTimeMs(gid)) {
          // Made by a clock that ran ahead: its age counts from the first question to this leader.
          if (proposedAt - (leader?.at ?? proposedAt) <= TXN_LIMITS.commitWindowMs)
            say("its leader can not have been asked for long enough");
        } else if (stampMs < gidTimeMs(gid) + TXN_LIMITS.commitWindowMs)
          say(`its client may still commit it for ${gidTimeMs(gid) + TXN_LIMITS.commitWindowMs - stampMs} ms`);
        return;
      default:
        unreachable(reason);
    }
  }

  // ---- clients

  clientKnown(node: SimNode, client: string, known: boolean): void {
    let nodes = this.#connected.get(client);
    if (nodes === undefined) {
      nodes = new Map();
      this.#connected.set(client, nodes);
    }
    const connection = nodes.get(node.name) ?? { count: 0, since: 0 };
    if (known && connection.count === 0) connection.since = this.#world.now;
    connection.count += known ? 1 : -1;
    if (connection.count > 0) nodes.set(node.name, connection);
    else nodes.delete(node.name);
  }

  // ---- resources

  committed(resource: ResourceManager, gid: Gid, branch: string): void {
    this.#effects.add(`${gid}/${branch}@${resource.name}`);
    const fact = this.decided.get(gid);
    const delegated = this.#delegation.committed(gid, branch, resource.name);
    if (delegated !== "delegated") this.#report(delegated);
    else if (fact === undefined) return;
    assert(
      fact?.decision === "commit" && fact.yes.some((yes) => yes.branch === branch && yes.participant === resource.name),
      () =>
        `${resource.name} commits branch ${branch} of ${gid}, but the log says ${fact === undefined ? "nothing" : JSON.stringify(fact)}`,
    );
  }

  rolledBack(resource: ResourceManager, gid: Gid, branch: string): void {
    const fact = this.decided.get(gid);
    if (fact?.decision === "abort" || this.#clients.aborted.has(gid)) return;
    // A duplicate of a branch that the decision names read-only.
    if (fact?.decision === "commit" && !fact.yes.some((yes) => yes.branch === branch)) return this.#world.cover("read-only duplicate");
    // Forgotten. Not asked of the nodes: the one that knew may be down by the time the roll back takes effect.
    if (fact === undefined && gidTimeMs(gid) < this.#floorMs) return;
    this.#fail(
      "I1-atomicity",
      `${resource.name} rolls back the prepared branch ${branch} of ${gid}, but the log says ${fact === undefined ? "nothing" : fact.decision}`,
    );
  }

  votedNo(_resource: ResourceManager, gid: Gid, _branch: string): void {
    this.#votedNo.add(gid);
  }

  refused(resource: ResourceManager, gid: Gid, branch: string): void {
    this.#delegation.refused(gid, branch, resource.name);
  }

  #report(violation: Violation | undefined): void {
    if (violation !== undefined) this.#world.fail(violation);
  }

  #fail(invariant: string, message: string): void {
    this.#world.fail({ invariant, message });
  }
}

function showCommand(command: Command): string {
  return JSON.stringify(command, (_key, value: unknown) => (value instanceof Uint8Array ? `${value.length}B` : value));
}
