/**
 * Unary calls on this node: served by its own replica while it leads, passed on to the leader otherwise.
 *
 * To the replica they are the requests of one stream that never goes down; its number is outside those of the transport.
 */
import type { Gid, QuorateError } from "../base/index.js";
import type { Answer, ClientSession, Request } from "../coordinator/index.js";

/** The transport numbers its streams from 1. */
export const UNARY_SESSION: ClientSession = 0;

interface Waiting {
  readonly body: Request;
  readonly resolve: (answer: Answer) => void;
  readonly timer: NodeJS.Timeout;
}

export class UnaryRequests {
  readonly #submit: (request: number, body: Request) => void;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;

  /** `submit` hands one request to the replica. */
  constructor(submit: (request: number, body: Request) => void) {
    this.#submit = submit;
  }

  /** Unanswered. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Always resolves: at the deadline with an unknown outcome. */
  ask(body: Request, deadlineMs: number): Promise<Answer> {
    return new Promise((resolve) => {
      const request = this.#next++;
      const timer = setTimeout(() => this.answer(request, deadlinePassed(body, deadlineMs)), deadlineMs);
      this.#waiting.set(request, { body, resolve, timer });
      this.#submit(request, body);
    });
  }

  /** An answer for a request that has given up is dropped. */
  answer(request: number, answer: Answer): void {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined) return;
    this.#waiting.delete(request);
    clearTimeout(waiting.timer);
    waiting.resolve(answer);
  }

  /** The node ends: what waits has an unknown outcome. */
  close(): void {
    for (const [request, { body }] of this.#waiting) this.answer(request, unknownOutcome(body, "the node is stopping"));
  }
}

function deadlinePassed(body: Request, deadlineMs: number): Answer {
  return unknownOutcome(body, `no answer within ${Math.round(deadlineMs)} ms`);
}

/** A read changed nothing, whatever happened to it. */
export function unknownOutcome(body: Request, why: string): Answer {
  const reads = body.kind === "read" || body.kind === "outcome" || body.kind === "list" || body.kind === "noop";
  const gid = "gid" in body ? body.gid : undefined;
  return {
    kind: "error",
    code: reads ? "QUORATE_NO_QUORUM" : "QUORATE_OUTCOME_UNKNOWN",
    message: `${body.kind}: ${why}`,
    outcome: gid === undefined ? undefined : "unknown",
    retry: reads ? "safe" : "same-request-id",
    gid,
    version: undefined,
  };
}

export function errorAnswer(error: QuorateError): Answer {
  return {
    kind: "error",
    code: error.code,
    message: error.message,
    outcome: error.outcome,
    retry: error.retry,
    gid: error.gid as Gid | undefined,
    version: undefined,
  };
}
