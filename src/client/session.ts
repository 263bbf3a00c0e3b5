/**
 * Sends requests to whoever leads, in one frame per turn of the event loop, and brings back the answers.
 *
 * The shell around RequestTable: it owns the timer, the flush and the promises; what is repeated and what is unknown is decided
 * in the table, who leads in the pool.
 */
import { performance } from "node:perf_hooks";
import { QuorateError, uuid7 } from "../base/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import { codecs, FRAME_BYTES_MAX } from "../wire/index.js";
import { errorOf } from "./answer-error.js";
import { ClusterClock } from "./cluster-clock.js";
import { EndpointPool } from "./endpoint-pool.js";
import type { SessionLink } from "./endpoint-pool.js";
import { random32, randomFloat } from "./entropy.js";
import type { EventListener } from "./events.js";
import { RequestTable } from "./request-table.js";
import type { AnswerCallback, Pending } from "./request-table.js";

/** The timer is not set closer than this: deadlines are kept to the nearest few milliseconds. */
const TIMER_MS_MIN = 2;

export interface SessionOptions {
  readonly seeds: readonly string[];
  readonly translateAddress: (address: string) => string;
  readonly requestTimeoutMs: number;
  readonly inFlightMax: number;
  readonly onEvent: EventListener;
}

export interface CallOptions {
  /** Milliseconds until the call gives up. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A request on its way. */
export interface Sent {
  readonly pending: Pending<SessionLink>;
  /** Rejects with a QuorateError for every error answer. */
  readonly answer: Promise<Answer>;
}

export class Session {
  /** What this client calls itself on its streams and in the transactions it opens: a UUID v7 in 32 hex digits. */
  readonly client: string;
  readonly clock: ClusterClock;
  readonly pool: EndpointPool;
  readonly #options: SessionOptions;
  readonly #table: RequestTable<SessionLink>;
  #leader: SessionLink | undefined;
  #flushing = false;
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Infinity;
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.clock = new ClusterClock(() => performance.now(), Date.now);
    this.client = uuid7(Date.now(), random32);
    this.#table = new RequestTable<SessionLink>({
      inFlightMax: options.inFlightMax,
      random: randomFloat,
      surroundings: () => ({ report: this.pool.report(), reachable: this.pool.reachable }),
    });
    this.pool = new EndpointPool({
      seeds: options.seeds,
      translateAddress: options.translateAddress,
      client: this.client,
      clock: this.clock,
      onEvent: options.onEvent,
      handlers: {
        onLeader: (link, epoch) => {
          this.#leader = link;
          this.#table.leaderIs(link, epoch);
          this.#scheduleFlush();
        },
        onLinkLost: (link) => this.#table.lost(link),
        onAnswers: (link, answers) => this.#answered(link, answers),
        onDrain: () => this.#scheduleFlush(),
      },
    });
  }

  get inFlight(): number {
    return this.#table.size;
  }

  /**
   * The cheap form: no promise, the answer (or a local failure in the same shape) goes to `done`, exactly once, later in another
   * turn; at once only when the client is closed or has too many requests in flight.
   */
  submit(body: Request, done: AnswerCallback, timeoutMs = this.#options.requestTimeoutMs): Pending<SessionLink> {
    const deadlineMs = performance.now() + timeoutMs;
    if (this.#closed) throw new QuorateError("QUORATE_CLOSED", "the client is closed", { retry: "never" });
    const pending = this.#table.add(body, deadlineMs, done);
    if (deadlineMs < this.#timerMs) this.#arm();
    this.#scheduleFlush();
    return pending;
  }

  /** Throws QUORATE_CANCELLED when the signal has fired already, QUORATE_CLOSED after close. */
  send(body: Request, options: CallOptions = {}): Sent {
    const signal = options.signal;
    if (signal?.aborted === true) {
      throw new QuorateError("QUORATE_CANCELLED", `${body.kind}: cancelled before the request was sent; nothing happened`, {
        retry: "safe",
        cause: signal.reason,
      });
    }
    let settle: AnswerCallback = () => undefined;
    const answer = new Promise<Answer>((resolve, reject) => {
      settle = (value) => {
        signal?.removeEventListener("abort", cancel);
        if (value.kind === "error") reject(errorOf(value, signal?.aborted === true ? signal.reason : undefined));
        else resolve(value);
      };
    });
    const cancel = (): void => this.cancel(pending);
    const pending = this.submit(body, (value) => settle(value), options.timeoutMs);
    signal?.addEventListener("abort", cancel);
    return { pending, answer };
  }

  /** Ends the wait now: cancelled if it was never written, outcome unknown otherwise. It is not sent again. */
  cancel(pending: Pending<SessionLink>): void {
    this.#table.cancel(pending);
    this.#checkDrained();
  }

  request(body: Request, options: CallOptions = {}): Promise<Answer> {
    try {
      return this.send(body, options).answer;
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** Takes no new requests from here on, and waits up to `timeoutMs` for the answers to those in flight. */
  async drain(timeoutMs: number): Promise<void> {
    this.#closed = true;
    if (this.#table.size === 0 || timeoutMs <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#drained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends everything now. */
  close(): void {
    this.#closed = true;
    this.#table.close();
    clearTimeout(this.#timer);
    this.pool.close();
  }

  #scheduleFlush(): void {
    if (this.#flushing || !this.#table.hasQueued) return;
    this.#flushing = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    const link = this.#leader;
    if (link === undefined) return;
    while (this.#table.hasQueued && link.keeper.writable) {
      const requests = this.#table.take(link, FRAME_BYTES_MAX);
      if (requests.length > 0) link.keeper.write(codecs.clientFrame.encode({ hello: undefined, requests }));
    }
  };

  #answered(link: SessionLink, answers: readonly { readonly request: number; readonly answer: Answer }[]): void {
    const now = performance.now();
    for (const { request, answer } of answers) {
      try {
        this.#table.answer(link, request, answer, now);
      } catch (error) {
        // A callback's own error must not cost the other answers of the frame; it still surfaces.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    if (this.#table.wakeMs < this.#timerMs) this.#arm();
    this.#checkDrained();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timerMs = this.#table.wakeMs;
    if (this.#timerMs === Infinity) return;
    this.#timer = setTimeout(this.#tick, Math.max(TIMER_MS_MIN, this.#timerMs - performance.now()));
  }

  readonly #tick = (): void => {
    this.#table.tick(performance.now());
    this.#arm();
    this.#scheduleFlush();
    this.#checkDrained();
  };

  #checkDrained(): void {
    if (this.#closed && this.#table.size === 0) this.#drained?.();
  }
}
