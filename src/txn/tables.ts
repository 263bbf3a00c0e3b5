/**
 * The tables of the replicated state and the note of what changed since the last checkpoint.
 *
 * Decides how the state is kept, not what a record does to it. Values of transactions, registers and participants are immutable;
 * outcomes are packed (outcome-store.ts) and clients mutable inside (client-memory.ts).
 */
import { assert, compareZxid, gidTimeMs, SERVICE_PARTICIPANT_KINDS, SERVICE_PREFIX, unreachable } from "../base/index.js";
import type { Gid, ServiceKind, Zxid } from "../base/index.js";
import type { ClientMemory, KnownParticipant, Lookup, Register, StateChange, StateMeta, TxnLimits } from "./api.js";
import { ClientMemories } from "./client-memory.js";
import { FEATURE_LEVEL, SERVICE_LEVEL } from "./limits.js";
import { OutcomeStore } from "./outcome-store.js";
import { BUCKET_MS, BucketCounts } from "./time-buckets.js";
import { registeredKind } from "./services.js";
import { owes } from "./transaction.js";
import type { FinishedOutcome, Transaction } from "./transaction.js";

const EXPIRED: Lookup = Object.freeze({ kind: "expired" });
const NONE: Lookup = Object.freeze({ kind: "none" });

export class Tables {
  readonly limits: TxnLimits;
  readonly transactions = new Map<Gid, Transaction>();
  readonly outcomes = new OutcomeStore();
  readonly registers = new Map<string, Register>();
  /** Those registers that are registrations of services; replaced when one changes. */
  services: ReadonlyMap<string, Register> = new Map();
  /** By the service's name: its kind, of those that are registered and can be read. */
  readonly serviceKinds = new Map<string, ServiceKind>();
  readonly participants = new Map<string, KnownParticipant>();
  readonly clients = new ClientMemories();
  floorMs = 0;
  stampMs = 0;
  digest = 0;
  featureLevel = FEATURE_LEVEL;
  open = 0;
  sealed = 0;
  /** Aborted and still owed acknowledgements that FORGET may take all the same: found here without a walk over all transactions. */
  readonly abortedUnfinished = new Set<Gid>();
  /** The gids of `transactions` by their own time. */
  readonly #ages = new BucketCounts();

  #dirtyTransactions = new Map<Gid, Transaction | undefined>();
  /** Outcomes that an earlier version stored one by one: their keys are to go when their pages are stored. */
  #singles: Gid[] = [];
  #dirtyRegisters = new Map<string, Register | undefined>();
  #dirtyParticipants = new Map<string, KnownParticipant>();
  #dirtyClients = new Set<string>();
  /** Loaded clients, until all are there: their order is that of their last use. */
  #memories: ClientMemory[] = [];
  /** The last zxid applied before the last takeChanges: a transaction opened after it is in no checkpoint yet. */
  #takenAt: Zxid | undefined = undefined;
  #applied: Zxid | undefined = undefined;

  constructor(limits: TxnLimits) {
    this.limits = limits;
  }

  /** Every apply passes here first: the log is applied in order and each entry once. */
  advance(zxid: Zxid): void {
    const applied = this.#applied;
    assert(
      applied === undefined || compareZxid(zxid, applied) > 0,
      () =>
        `apply of ${zxid.epoch}:${zxid.counter} after ${applied?.epoch ?? 0}:${applied?.counter ?? 0}: entries are applied once and in order`,
    );
    this.#takenAt ??= { epoch: zxid.epoch, counter: zxid.counter - 1 };
    this.#applied = zxid;
  }

  /** Record first, then the floor. */
  lookup(gid: Gid): Lookup {
    const transaction = this.transactions.get(gid);
    if (transaction !== undefined) return { kind: "transaction", transaction };
    const outcome = this.outcomes.get(gid);
    if (outcome !== undefined) return { kind: "outcome", outcome };
    return gidTimeMs(gid) < this.floorMs ? EXPIRED : NONE;
  }

  /**
   * Every gid whose own time is below this is forgotten for ever: participants may drop what they keep of it. The greatest multiple
   * of BUCKET_MS for which this is known; a function of the state alone, so equal on every replica that applied the same entries.
   *
   * Safe on any node, at any time after it was read:
   * 1. The floor is at or above it and no record of such a gid is left, open ones included.
   * 2. None can come back. Every record that starts a gid looks it up first, and a gid without a record below the floor is expired:
   *    OPEN, ENLIST and BEGIN are refused, and so is a DECIDE. The floor never goes down.
   * 3. A commit record went only after every yes voter acknowledged a durable commit, or an operator settled its branch by hand: no
   *    participant waits to be told of one. Whoever asks about an aborted or unknown gid hears "roll back" from the floor, which is
   *    what its record said.
   * 4. Applied means committed: what one node has applied, every later leader has too, so none of this is ever taken back.
   * Hence it never goes down along the log either: what is added is at or above the floor, and the rest is only removed.
   */
  forgottenBelowMs(): number {
    const floorMs = this.floorMs - (this.floorMs % BUCKET_MS);
    return Math.min(floorMs, this.outcomes.oldestMs, this.#ages.oldestMs);
  }

  /** Stores a new or changed transaction; `before` is what it replaces. */
  putTransaction(next: Transaction, before: Transaction | undefined): void {
    if (before === undefined) this.#ages.add(gidTimeMs(next.gid));
    else this.#uncount(before);
    if (next.state === "open") this.open++;
    else if (next.state === "sealed") this.sealed++;
    else if (this.mayGoUnacknowledged(next)) this.abortedUnfinished.add(next.gid);
    this.transactions.set(next.gid, next);
    this.#dirtyTransactions.set(next.gid, next);
  }

  /**
   * An aborted transaction may be dropped before everybody has acknowledged it: whoever holds a branch in doubt asks, and hears "roll
   * back" from the floor. Not while one is left that nobody asks about: a branch that was tried, and any branch of a service. It has to
   * be told, however long its participant is away.
   */
  mayGoUnacknowledged({ decision, branches }: Transaction): boolean {
    if (decision?.decision !== "abort") return false;
    for (const branch of branches) {
      if (!owes(branch, "abort")) continue;
      if (branch.kind === "tcc" || this.#isService(branch.participant)) return false;
    }
    return true;
  }

  removeTransaction(before: Transaction): void {
    this.#uncount(before);
    this.#ages.remove(gidTimeMs(before.gid));
    this.transactions.delete(before.gid);
    const taken = this.#takenAt;
    if (taken !== undefined && compareZxid(before.openedZxid, taken) > 0) this.#dirtyTransactions.delete(before.gid);
    else this.#dirtyTransactions.set(before.gid, undefined);
  }

  putOutcome(outcome: FinishedOutcome): void {
    this.outcomes.set(outcome);
  }

  removeOutcome(gid: Gid): void {
    this.outcomes.remove(gid);
  }

  putRegister(register: Register): void {
    this.#setRegister(register);
    this.#dirtyRegisters.set(register.name, register);
  }

  putParticipant(participant: KnownParticipant): void {
    this.participants.set(participant.name, participant);
    this.#dirtyParticipants.set(participant.name, participant);
  }

  clientChanged(client: string): void {
    this.#dirtyClients.add(client);
  }

  meta(): StateMeta {
    return { floorMs: this.floorMs, stampMs: this.stampMs, digest: this.digest, featureLevel: this.featureLevel };
  }

  takeChanges(): StateChange[] {
    const changes: StateChange[] = [];
    for (const [key, value] of this.#dirtyTransactions) changes.push({ kind: "transaction", key, value });
    for (const page of this.outcomes.takeChanges())
      changes.push({ kind: "outcomes", key: String(page.page), value: page.rows.length === 0 ? undefined : page });
    for (const key of this.#singles) changes.push({ kind: "outcome", key, value: undefined });
    this.#singles = [];
    for (const [key, value] of this.#dirtyRegisters) changes.push({ kind: "register", key, value });
    for (const [key, value] of this.#dirtyParticipants) changes.push({ kind: "participant", key, value });
    for (const key of this.#dirtyClients) changes.push({ kind: "client", key, value: this.clients.get(key)?.toMemory() });
    changes.push({ kind: "meta", key: "meta", value: this.meta() });
    this.#clean();
    this.#takenAt = this.#applied;
    return changes;
  }

  /** One piece of a stored state, of which {@link loaded} is the end. Only of tables that nothing was applied to. */
  load(change: StateChange): void {
    switch (change.kind) {
      case "transaction":
        if (change.value !== undefined) this.putTransaction(change.value, undefined);
        return;
      case "outcomes":
        if (change.value !== undefined) this.outcomes.load(change.value);
        return;
      case "outcome":
        if (change.value !== undefined) this.#singles.push(this.#loadSingle(change.value));
        return;
      case "register":
        if (change.value !== undefined) this.#setRegister(change.value);
        return;
      case "participant":
        if (change.value !== undefined) this.participants.set(change.key, change.value);
        return;
      case "client":
        if (change.value !== undefined) this.#memories.push(change.value);
        return;
      case "meta":
        return this.#loadMeta(change.value);
      default:
        return unreachable(change);
    }
  }

  /** The stored state is whole, and nothing of it is a change. */
  loaded(): void {
    this.clients.restore(this.#memories);
    this.#memories = [];
    // Transactions may have been read before the participants that say whether they may go.
    for (const transaction of this.transactions.values()) {
      if (this.mayGoUnacknowledged(transaction)) this.abortedUnfinished.add(transaction.gid);
      else this.abortedUnfinished.delete(transaction.gid);
    }
    this.#clean();
    // What was stored one by one is to be stored in pages.
    if (this.#singles.length === 0) this.outcomes.clean();
  }

  #loadSingle(outcome: FinishedOutcome): Gid {
    this.outcomes.set(outcome);
    return outcome.gid;
  }

  #loadMeta(meta: StateMeta): void {
    assert(
      meta.featureLevel <= FEATURE_LEVEL,
      () => `the state was written at feature level ${meta.featureLevel}; this version knows ${FEATURE_LEVEL}: start the newer version`,
    );
    this.floorMs = meta.floorMs;
    this.stampMs = meta.stampMs;
    this.digest = meta.digest;
    this.featureLevel = meta.featureLevel;
  }

  #setRegister(register: Register): void {
    this.registers.set(register.name, register);
    if (!register.name.startsWith(SERVICE_PREFIX)) return;
    this.services = new Map(this.services).set(register.name, register);
    const service = register.name.slice(SERVICE_PREFIX.length);
    const kind = registeredKind(register.value);
    if (kind === undefined) this.serviceKinds.delete(service);
    else this.serviceKinds.set(service, kind);
  }

  #isService(participant: string): boolean {
    const kind = this.participants.get(participant)?.participantKind;
    return this.featureLevel >= SERVICE_LEVEL && kind !== undefined && SERVICE_PARTICIPANT_KINDS.has(kind);
  }

  #uncount(before: Transaction): void {
    if (before.state === "open") this.open--;
    else if (before.state === "sealed") this.sealed--;
    else this.abortedUnfinished.delete(before.gid);
  }

  #clean(): void {
    this.#dirtyTransactions = new Map();
    this.#dirtyRegisters = new Map();
    this.#dirtyParticipants = new Map();
    this.#dirtyClients = new Set();
  }
}
