/**
 * One call as HTTP brings it, checked, handed to its handler, and what is answered. No framework, no sockets.
 *
 * Rule: 2xx is only for work that is done. Whatever a handler throws is 409 (a Refusal of new work), 425 (NotYet) or 500.
 */
import { messageOf, QuorateError } from "../base/index.js";
import { readCall, type Headers } from "./call-headers.js";
import { NotYet, Refusal } from "./contract.js";
import type { CallBarrier, HttpServiceOptions, ServiceCall, ServicePhase } from "./contract.js";

export const BODY_BYTES_MAX = 64 * 1024;
const DETAIL_CHARS_MAX = 300;
/** Thrown through a barrier, so that it takes back its mark. */
const READ_ONLY = new Error("nothing was written");
const RESULTS = "return nothing for yes, throw a Refusal for no";

/** `parsed`: a framework has read and parsed the body already. */
export type CallBody = { readonly bytes: Uint8Array } | { readonly parsed: unknown };

export interface HttpReply {
  readonly status: number;
  /** A JSON object, or nothing. */
  readonly body: Readonly<Record<string, string>> | undefined;
}

type Handler = (call: ServiceCall, handle: unknown) => unknown;

export class Endpoint {
  readonly bodyBytesMax: number;
  readonly #handlers: Readonly<Partial<Record<ServicePhase, Handler>>>;
  readonly #barrier: CallBarrier<unknown> | undefined;
  readonly #options: { readonly participant: string | undefined; readonly cluster: string | undefined };
  readonly #onError: (error: unknown, call: ServiceCall) => void;

  /** Throws QUORATE_INVALID_ARGUMENT naming the option. */
  constructor(options: HttpServiceOptions<never, never> | HttpServiceOptions) {
    const { bodyBytesMax = BODY_BYTES_MAX, participant, cluster, onError } = options;
    if (!Number.isInteger(bodyBytesMax) || bodyBytesMax < 1)
      throw invalid(`bodyBytesMax must be a whole number above 0, got ${bodyBytesMax}`);
    this.bodyBytesMax = bodyBytesMax;
    this.#handlers = checkedHandlers(options.handlers);
    this.#barrier = options.barrier as CallBarrier<unknown> | undefined;
    this.#options = { participant, cluster };
    this.#onError =
      onError ?? ((error, call) => console.error(`quorate: ${call.phase} of branch ${call.branch} of ${call.gid} failed:`, error));
  }

  /** Never rejects. `method`: of the request; `body`: read by the caller within `bodyBytesMax`. */
  async answer(method: string, headers: Headers, body: CallBody): Promise<HttpReply> {
    if (method !== "POST") return reply(405, `the method is ${method}; calls are POST`);
    const call = readCall(headers, this.#options);
    if (typeof call === "string") return reply(400, call);
    const handler = this.#handlers[call.phase];
    if (handler === undefined) {
      const known = Object.keys(this.#handlers).join(", ");
      return reply(400, `header quorate-phase is ${call.phase}, but this service has ${known}: register it with the other kind`);
    }
    const newWork = call.phase === "prepare" || call.phase === "try";
    const payload = newWork ? payloadOf(body, headers) : { payload: undefined };
    if ("status" in payload) return payload;
    return this.#run(handler, { ...call, ...payload }, newWork);
  }

  /** The body was longer than `bodyBytesMax` and was not read to its end. */
  tooLong(): HttpReply {
    return reply(413, `the body is longer than ${this.bodyBytesMax} bytes, the limit bodyBytesMax of this service`);
  }

  async #run(handler: Handler, call: ServiceCall, newWork: boolean): Promise<HttpReply> {
    let value: unknown;
    const run = async (handle: unknown): Promise<unknown> => {
      value = await handler(call, handle);
      if (newWork && !this.#isResult(value, call.phase))
        throw new TypeError(`the handler of ${call.phase} returned ${shown(value)}; ${RESULTS}`);
      // Who wrote nothing keeps no mark either: a repetition then reads again and says the same, where a mark would make it a yes.
      if (value === "read-only" && this.#barrier !== undefined) throw READ_ONLY;
      return value;
    };
    try {
      if (this.#barrier === undefined) await run(undefined);
      else {
        const { phase, gid, branch, epoch, cluster, participant } = call;
        const result = await this.#barrier.call({ gid, branch, phase, epoch, cluster, participant }, run);
        if (result.kind === "refused") return reply(409, result.detail);
      }
      return value === "read-only" ? { status: 200, body: { vote: "read-only" } } : { status: 200, body: undefined };
    } catch (error) {
      if (error === READ_ONLY) return { status: 200, body: { vote: "read-only" } };
      return this.#failed(error, call, newWork);
    }
  }

  /** What is no text may be work that a barrier carries out. */
  #isResult(value: unknown, phase: ServicePhase): boolean {
    if (value === undefined || value === "yes" || (value === "read-only" && phase === "prepare")) return true;
    return this.#barrier !== undefined && typeof value === "object" && value !== null;
  }

  #failed(error: unknown, call: ServiceCall, newWork: boolean): HttpReply {
    if (error instanceof Refusal && newWork) return reply(409, error.message);
    if (error instanceof NotYet) return reply(425, error.message);
    try {
      this.#onError(error, call);
    } catch {
      // A logger that fails must not turn into a success or a crash; the error itself is in the answer.
    }
    return reply(500, messageOf(error));
  }
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : `a value of type ${typeof value}`;
}

function reply(status: number, detail: string): HttpReply {
  return { status, body: { detail: detail.slice(0, DETAIL_CHARS_MAX) } };
}

function payloadOf(body: CallBody, headers: Headers): { readonly payload: unknown } | HttpReply {
  if ("parsed" in body) return { payload: body.parsed };
  if (body.bytes.length === 0) return { payload: undefined };
  const type = headers["content-type"];
  if (typeof type !== "string" || !/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type))
    return reply(415, `header content-type is ${String(type)}, but the payload of a call is application/json`);
  try {
    return { payload: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body.bytes)) as unknown };
  } catch (error) {
    // It comes from the transaction's client and will be the same each time.
    return reply(409, `the payload is no JSON: ${messageOf(error)}`);
  }
}

const SETS: readonly (readonly ServicePhase[])[] = [
  ["prepare", "commit", "rollback"],
  ["try", "confirm", "cancel"],
];

function checkedHandlers(handlers: object): Readonly<Partial<Record<ServicePhase, Handler>>> {
  const given = handlers as Readonly<Record<string, unknown>>;
  const set = SETS.find((phases) => phases.every((phase) => typeof given[phase] === "function"));
  if (set === undefined) throw invalid("handlers must have the functions prepare, commit and rollback, or try, confirm and cancel");
  return Object.fromEntries(set.map((phase) => [phase, (given[phase] as Handler).bind(handlers)]));
}

function invalid(message: string): QuorateError {
  return new QuorateError("QUORATE_INVALID_ARGUMENT", message);
}
