/**
 * One leader of the commit path: the real state machine and the real driver, joined as the replica joins them.
 *
 * Time is abstract: a leader's clock stands still until a move sets it to the moment the driver asked to be woken, so a timer fires
 * before or after anything else that may happen. The cluster's clock is separate, and a move may take it past the commit window.
 */
import { gidTimeMs } from "../base/index.js";
import type { Gid, Zxid } from "../base/index.js";
import { createCoordinator } from "../coordinator/index.js";
import type { Abilities, BranchReply, CoordinatorOptions, CoordinatorReady, Inquiry, Request } from "../coordinator/index.js";
import { createStateMachine, TXN_LIMITS } from "../txn/index.js";
import type { StampedCommand } from "../txn/index.js";
import { Automaton } from "./automaton.js";
import type { Subject } from "./automaton.js";
import { heapText } from "./heap.js";

/** Long waits are further apart than any number of ticks: calls are repeated by the network, not by a timer. */
const NEVER_MS = 3_600_000;
const START_MS = 1_000;

const OPTIONS: CoordinatorOptions = {
  transactionTimeoutMs: 1_000,
  clientLostMs: NEVER_MS,
  inquiryMarginMs: 1_000,
  retryDelayMsMin: 100,
  retryDelayMsMax: 100,
  attemptsBeforePause: 5,
  callTimeoutMs: NEVER_MS,
  breakerFailures: 100,
  breakerOpenMs: NEVER_MS,
  retentionMs: NEVER_MS,
  floorIntervalMs: NEVER_MS,
  doneBatchMax: 1,
  doneDelayMs: 0,
  forgetBatchMax: 100,
  openTransactionsMax: 1_000,
  delegation: true,
};

export interface LogEntry {
  readonly entry: StampedCommand;
  readonly zxid: Zxid;
}

export type LeaderInput =
  /** `name` is the number of the entry among all that were ever proposed. */
  | { readonly kind: "apply"; readonly name: number; readonly logged: LogEntry }
  | { readonly kind: "establish"; readonly epoch: number }
  | { readonly kind: "resign" }
  | { readonly kind: "request"; readonly request: number; readonly body: Request }
  | { readonly kind: "reply"; readonly instance: number; readonly reply: BranchReply }
  | { readonly kind: "inquiry"; readonly instance: number; readonly inquiry: Inquiry }
  | {
      readonly kind: "reattach";
      readonly from: number | undefined;
      readonly to: number;
      readonly participant: string;
      readonly abilities: Partial<Abilities>;
    }
  /** The clock goes to the next timer. */
  | { readonly kind: "tick" }
  /** The cluster's clock passes the commit window and the margin of inquiries. */
  | { readonly kind: "age" };

export interface LeaderView {
  /** What it would stamp on its proposals. */
  readonly stampMs: number;
  /** A timer is set that is not out of reach. */
  readonly timerSet: boolean;
}

export type LeaderAutomaton = Automaton<LeaderInput, CoordinatorReady, LeaderView>;

export function createLeaderAutomaton(gid: Gid): LeaderAutomaton {
  return new Automaton(() => new Leader(gid));
}

class Leader implements Subject<LeaderInput, CoordinatorReady, LeaderView> {
  readonly #state = createStateMachine();
  readonly #stampNow = (): number => this.#stampMs;
  readonly #random32 = (): number => 0;
  readonly #driver = createCoordinator(this.#state, OPTIONS, this.#random32, this.#stampNow);
  readonly #gid: Gid;
  #stampMs: number;
  #nowMs = START_MS;
  #wakeAtMs = Infinity;
  /** The state machine is a function of this. */
  #applied = "";

  constructor(gid: Gid) {
    this.#gid = gid;
    this.#stampMs = gidTimeMs(gid);
  }

  step(input: LeaderInput): CoordinatorReady {
    const driver = this.#driver;
    switch (input.kind) {
      case "apply": {
        const { entry, zxid } = input.logged;
        this.#applied += heapText(input.logged);
        driver.applied(entry, zxid, this.#state.apply(entry, zxid), this.#nowMs);
        break;
      }
      case "establish":
        driver.establish(input.epoch, this.#nowMs);
        break;
      case "resign":
        driver.resign(this.#nowMs);
        break;
      case "request":
        driver.request(1, input.request, input.body, this.#nowMs);
        break;
      case "reply":
        driver.replies(input.instance, [input.reply], this.#nowMs);
        break;
      case "inquiry":
        driver.inquiries(input.instance, [input.inquiry], this.#nowMs);
        break;
      case "reattach":
        if (input.from !== undefined) driver.instanceDown(input.from, this.#nowMs);
        driver.instanceUp(input.to, input.participant, "kv", this.#nowMs, input.abilities);
        break;
      case "tick":
        this.#nowMs = Math.max(this.#nowMs, this.#wakeAtMs);
        driver.tick(this.#nowMs);
        break;
      case "age":
        this.#stampMs = gidTimeMs(this.#gid) + TXN_LIMITS.commitWindowMs + OPTIONS.inquiryMarginMs + 1;
        break;
    }
    const ready = driver.drain(this.#nowMs);
    this.#wakeAtMs = ready.wakeAtMs;
    return ready;
  }

  view(): LeaderView {
    return { stampMs: this.#stampMs, timerSet: this.#wakeAtMs < this.#nowMs + NEVER_MS / 2 };
  }

  /** Nothing is left out: order matters wherever the driver keeps one. */
  looseText(): string {
    return this.text();
  }

  text(): string {
    const declared = new Map<object, string>([
      [this.#state, "the state machine after these entries"],
      [this.#stampNow, "the stamp below"],
      [this.#random32, "zero"],
      [OPTIONS, "constant options"],
    ]);
    return heapText([this.#driver, this.#applied, this.#stampMs, this.#nowMs, this.#wakeAtMs], declared);
  }
}
