/**
 * The requests of one client that are not answered yet: where each one is, and what may be said of it when time runs out.
 *
 * Pure: time comes in as a parameter, links are opaque, answers and local failures go out through the request's own callback.
 * What it decides: when a request is sent again, and whether one that got no answer certainly did nothing or may have taken
 * effect. It does not choose the leader and does not write frames.
 *
 * Invariant: a request is reported as "nothing happened" only if it was never written to any stream, or every stream it was
 * written to answered that nothing was proposed.
 */
import { unreachable } from "../base/index.js";
import type { ErrorCode, Gid, Outcome, Retry } from "../base/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import { requestBytes } from "../wire/index.js";
import { backoffMs } from "./backoff.js";

export type AnswerCallback = (answer: Answer) => void;
export type ErrorAnswer = Extract<Answer, { kind: "error" }>;

export interface Pending<L> {
  /** Unique on every stream of this client: requests keep their number when they are sent again. */
  readonly request: number;
  readonly body: Request;
  readonly deadlineMs: number;
  readonly done: AnswerCallback;
  /** The stream it is queued for or was written to; undefined while it waits for a leader or for its next attempt. */
  link: L | undefined;
  /** The leader's epoch it was given to. */
  epoch: number;
  /** Written to `link`, and not only queued for it. */
  written: boolean;
  everWritten: boolean;
  /** Some stream it was written to went away without an answer: it may have taken effect. */
  uncertain: boolean;
  /** The last answer that said "nothing was proposed". */
  refusal: ErrorAnswer | undefined;
  attempts: number;
  dueMs: number;
}

/** What is known about the endpoints when a request runs out of time: for the message. */
export interface Surroundings {
  /** One line per endpoint. */
  readonly report: string;
  /** At least one endpoint is a node that answers. */
  readonly reachable: boolean;
}

export interface RequestTableOptions {
  readonly inFlightMax: number;
  readonly random: () => number;
  readonly surroundings: () => Surroundings;
}

/** Above every limit of the cluster, below what a stream carries: one request must never break the stream of the others. */
const REQUEST_BYTES_MAX = 2 * 1024 * 1024;
const RESEND = { delayMsMin: 5, delayMsMax: 250 } as const;

export class RequestTable<L> {
  readonly #options: RequestTableOptions;
  readonly #inFlight = new Map<number, Pending<L>>();
  /** Given to the current leader and not written yet, in order; read from #queueHead so that taking is cheap. */
  #queue: Pending<L>[] = [];
  #queueHead = 0;
  /** Waiting for their next attempt, unordered: short, only refusals come here. */
  #later: Pending<L>[] = [];
  #leader: L | undefined;
  #epoch = 0;
  #lastRequest = 0;
  /** No deadline is before this. A lower bound, so that answered requests cost nothing. */
  #earliestMs = Infinity;

  constructor(options: RequestTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#inFlight.size;
  }

  get hasQueued(): boolean {
    return this.#queueHead < this.#queue.length;
  }

  /** Time of the next `tick` that can matter; Infinity: none. */
  get wakeMs(): number {
    let wake = this.#earliestMs;
    for (const pending of this.#later) if (pending.dueMs < wake) wake = pending.dueMs;
    return wake;
  }

  /** `done` is called exactly once, never from inside this call, unless it is refused here for its size or a full table: then at once. */
  add(body: Request, deadlineMs: number, done: AnswerCallback): Pending<L> {
    const pending: Pending<L> = {
      request: ++this.#lastRequest,
      body,
      deadlineMs,
      done,
      link: this.#leader,
      epoch: this.#epoch,
      written: false,
      everWritten: false,
      uncertain: false,
      refusal: undefined,
      attempts: 0,
      dueMs: 0,
    };
    if (requestBytes(body) > REQUEST_BYTES_MAX) {
      done(failure(pending, "QUORATE_TOO_LARGE", `the request is larger than ${REQUEST_BYTES_MAX} bytes; nothing was sent`, "never"));
      return pending;
    }
    if (this.#inFlight.size >= this.#options.inFlightMax) {
      done(
        failure(
          pending,
          "QUORATE_OVERLOADED",
          `this client has ${this.#inFlight.size} requests in flight, its limit; wait for answers`,
          "safe",
        ),
      );
      return pending;
    }
    this.#inFlight.set(pending.request, pending);
    if (deadlineMs < this.#earliestMs) this.#earliestMs = deadlineMs;
    if (this.#leader !== undefined) this.#queue.push(pending);
    return pending;
  }

  /** The requests to write to `link` now, as one frame of about `bytesMax`; they count as written from here on. */
  take(link: L, bytesMax: number): readonly Pending<L>[] {
    const batch: Pending<L>[] = [];
    let bytes = 0;
    while (this.#queueHead < this.#queue.length && bytes < bytesMax) {
      const pending = this.#queue[this.#queueHead] as Pending<L>;
      if (pending.link === link && !pending.written && this.#inFlight.has(pending.request)) {
        bytes += requestBytes(pending.body);
        pending.written = true;
        pending.everWritten = true;
        batch.push(pending);
      }
      this.#queueHead++;
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    }
    return batch;
  }

  /** Another leader, another epoch of the same one, or none: everything that waits or is unanswered elsewhere goes to it, in order. */
  leaderIs(link: L | undefined, epoch: number): void {
    this.#leader = link;
    this.#epoch = epoch;
    this.#queue = [];
    this.#queueHead = 0;
    if (link === undefined) {
      for (const pending of this.#inFlight.values()) if (!pending.written) pending.link = undefined;
      return;
    }
    this.#later = this.#later.filter((pending) => pending.refusal?.code === "QUORATE_OVERLOADED" && pending.epoch === epoch);
    const still = new Set(this.#later);
    for (const pending of this.#inFlight.values()) {
      if (still.has(pending)) continue;
      if (pending.written) {
        if (pending.link === link && pending.epoch === epoch) continue;
        // The former leader may still answer it; if it cannot be repeated, that is the only hope.
        if (!repeatable(pending.body)) continue;
        pending.uncertain = true;
      }
      this.#give(pending);
    }
  }

  /** The stream is gone: what was written to it and not answered may have taken effect. */
  lost(link: L): void {
    for (const pending of [...this.#inFlight.values()]) {
      if (pending.link !== link) continue;
      pending.link = undefined;
      if (!pending.written) continue;
      pending.written = false;
      pending.uncertain = true;
      if (!repeatable(pending.body)) this.#finish(pending, this.#outOfTime(pending, "the connection to the leader was lost"));
    }
    if (this.#leader === link) this.leaderIs(undefined, this.#epoch);
  }

  answer(link: L, request: number, answer: Answer, nowMs: number): void {
    const pending = this.#inFlight.get(request);
    if (pending === undefined) return;
    if (answer.kind !== "error") {
      // A decision is final whoever reports it, so a late answer of a former leader is as good as any.
      this.#finish(pending, answer);
      return;
    }
    if (pending.link !== link || !pending.written) return;
    if (nothingProposed(answer)) {
      pending.refusal = answer;
      this.#postpone(pending, nowMs);
    } else if (answer.code === "QUORATE_OUTCOME_UNKNOWN" && answer.retry === "same-request-id" && repeatable(pending.body)) {
      pending.uncertain = true;
      this.#postpone(pending, nowMs);
    } else {
      this.#finish(pending, pending.uncertain ? withoutPresumption(pending.body, answer) : answer);
    }
  }

  /** Sends again what is due, and ends what is out of time. */
  tick(nowMs: number): void {
    if (this.#later.length > 0) {
      const due = this.#later.filter((pending) => pending.dueMs <= nowMs);
      if (due.length > 0) {
        this.#later = this.#later.filter((pending) => pending.dueMs > nowMs);
        if (this.#leader !== undefined) for (const pending of due) if (this.#inFlight.has(pending.request)) this.#give(pending);
      }
    }
    if (nowMs < this.#earliestMs) return;
    const late: Pending<L>[] = [];
    let earliest = Infinity;
    for (const pending of this.#inFlight.values()) {
      if (pending.deadlineMs <= nowMs) late.push(pending);
      else if (pending.deadlineMs < earliest) earliest = pending.deadlineMs;
    }
    this.#earliestMs = earliest;
    for (const pending of late) this.#finish(pending, this.#outOfTime(pending, "the deadline passed"));
  }

  /** The caller does not want to wait any longer. Never sent again from here on. */
  cancel(pending: Pending<L>): void {
    if (!this.#inFlight.has(pending.request)) return;
    const sent = maybeTookEffect(pending);
    this.#finish(
      pending,
      sent
        ? unknown(pending, "cancelled after the request was sent")
        : failure(pending, "QUORATE_CANCELLED", "cancelled; nothing happened", "safe"),
    );
  }

  /** The client closes: everything ends now. */
  close(): void {
    for (const pending of [...this.#inFlight.values()]) {
      const sent = maybeTookEffect(pending);
      this.#finish(
        pending,
        sent
          ? unknown(pending, "the client was closed before the answer came")
          : failure(pending, "QUORATE_CLOSED", "the client was closed before the request was sent; nothing happened", "safe"),
      );
    }
  }

  #give(pending: Pending<L>): void {
    pending.link = this.#leader;
    pending.epoch = this.#epoch;
    pending.written = false;
    this.#queue.push(pending);
  }

  #postpone(pending: Pending<L>, nowMs: number): void {
    pending.link = undefined;
    pending.written = false;
    pending.dueMs = nowMs + backoffMs(pending.attempts++, RESEND, this.#options.random);
    this.#later.push(pending);
  }

  #finish(pending: Pending<L>, answer: Answer): void {
    this.#inFlight.delete(pending.request);
    pending.done(answer);
  }

  #outOfTime(pending: Pending<L>, what: string): ErrorAnswer {
    const refusal = pending.refusal;
    if (maybeTookEffect(pending)) return unknown(pending, what);
    if (refusal !== undefined) {
      return failure(pending, refusal.code, `${what}; the last answer was: ${refusal.message}; nothing was proposed`, "safe");
    }
    const { report, reachable } = this.#options.surroundings();
    if (pending.everWritten) {
      return failure(
        pending,
        "QUORATE_NO_QUORUM",
        `${what} and the leader had not answered; nothing is changed by this request (${report})`,
        "safe",
      );
    }
    if (this.#leader !== undefined)
      return failure(pending, "QUORATE_TIMEOUT", `${what} before the request was sent; nothing happened`, "safe");
    return reachable
      ? failure(pending, "QUORATE_NO_QUORUM", `${what} and no leader with a majority was found; nothing was sent (${report})`, "safe")
      : failure(pending, "QUORATE_UNREACHABLE", `${what} and no endpoint answered; nothing was sent (${report})`, "safe");
  }
}

/** May be sent again although an earlier send may have taken effect: the cluster recognises it, or it changes nothing. */
export function repeatable(body: Request): boolean {
  switch (body.kind) {
    case "open":
      return body.gid !== undefined;
    case "resolve":
      return false;
    case "enlist":
    case "commit":
    case "abort":
    case "outcome":
    case "list":
    case "put":
    case "read":
    case "retry":
    case "noop":
      return true;
    default:
      return unreachable(body);
  }
}

function changesNothing(body: Request): boolean {
  return body.kind === "outcome" || body.kind === "list" || body.kind === "read" || body.kind === "noop";
}

function maybeTookEffect<L>(pending: Pending<L>): boolean {
  return (pending.uncertain || pending.written) && !changesNothing(pending.body);
}

function nothingProposed(answer: ErrorAnswer): boolean {
  return (
    answer.retry === "safe" &&
    (answer.code === "QUORATE_NOT_LEADER" || answer.code === "QUORATE_NO_QUORUM" || answer.code === "QUORATE_OVERLOADED")
  );
}

/** A refusal of a repeated request says nothing about its first send, unless it names the outcome. */
function withoutPresumption(body: Request, answer: ErrorAnswer): ErrorAnswer {
  return answer.outcome === undefined && !changesNothing(body) ? { ...answer, outcome: "unknown" } : answer;
}

export function gidOf(body: Request): Gid | undefined {
  return "gid" in body ? body.gid : undefined;
}

function failure<L>(pending: Pending<L>, code: ErrorCode, message: string, retry: Retry, outcome?: Outcome): ErrorAnswer {
  return { kind: "error", code, message: `${pending.body.kind}: ${message}`, outcome, retry, gid: gidOf(pending.body), version: undefined };
}

function unknown<L>(pending: Pending<L>, what: string): ErrorAnswer {
  const gid = gidOf(pending.body);
  const how = gid === undefined ? "repeat it with the same request id" : `ask outcome("${gid}"), or repeat it with the same gid`;
  return failure(pending, "QUORATE_OUTCOME_UNKNOWN", `${what}; it may or may not have taken effect: ${how}`, "same-request-id", "unknown");
}
