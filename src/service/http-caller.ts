/**
 * Calls a service by HTTP/1.1 POST.
 *
 * On node:http alone: undici takes longer to load than all of gRPC does, between a node's birth and its first vote. Redirects
 * are not followed, nothing is decoded, and both the time and the size of an answer are bounded.
 */
import { Agent, request, type ClientRequest, type IncomingMessage } from "node:http";
import { messageOf, PRODUCT_VERSION } from "../base/index.js";
import { isNewWork, type Caller, type CallerOptions, type ServiceCall, type ServiceSaid } from "./call.js";
import { readAnswer, type HttpAnswer } from "./http-answer.js";

const IDLE_CONNECTIONS_MAX = 16;
const ENDED = "this node has ended the call";

export class HttpCaller implements Caller {
  readonly #options: CallerOptions;
  readonly #agent: Agent;
  readonly #target: { readonly hostname: string; readonly port: string; readonly path: string };
  readonly #running = new Set<ClientRequest>();
  #closed = false;

  constructor(options: CallerOptions) {
    this.#options = options;
    const { hostname, port, pathname, search } = new URL(options.url);
    // A URL writes IPv6 addresses in brackets, a socket does not.
    this.#target = { hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? "80" : port, path: pathname + search };
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.connectionsMax, maxFreeSockets: IDLE_CONNECTIONS_MAX });
  }

  async call(call: ServiceCall): Promise<ServiceSaid> {
    const endsAtMs = performance.now() + this.#options.deadlineMs;
    let answer: HttpAnswer;
    try {
      answer = await this.#ask(call, endsAtMs);
    } catch (error) {
      // A connection that the service closed while it was idle: the call says nothing of the service yet, and is idempotent.
      if (!(error instanceof StaleConnection)) throw error;
      answer = await this.#ask(call, endsAtMs);
    }
    return readAnswer(call.phase, answer);
  }

  close(): void {
    // A request on a destroyed agent still goes out.
    this.#closed = true;
    for (const running of this.#running) running.destroy(new Error(ENDED));
    this.#agent.destroy();
  }

  #ask(call: ServiceCall, endsAtMs: number): Promise<HttpAnswer> {
    if (this.#closed) return Promise.reject(new Error(ENDED));
    return new Promise((resolve, reject) => {
      const asked = request({ ...this.#target, method: "POST", agent: this.#agent, headers: this.#headers(call) });
      this.#running.add(asked);
      let late = false;
      const end = (error: unknown): void => {
        clearTimeout(timer);
        this.#running.delete(asked);
        reject(late ? new Error(`no answer to ${call.phase} within ${this.#options.deadlineMs} ms`) : this.#failure(asked, call, error));
      };
      const timer = setTimeout(
        () => {
          late = true;
          asked.destroy(new Error("late"));
        },
        Math.max(1, endsAtMs - performance.now()),
      );
      asked.on("error", end);
      // Whoever listens owns the socket: what it says from here on is nobody's, and an error of it would end this process.
      asked.on("upgrade", (_, socket) => {
        socket.on("error", () => undefined).destroy();
        end(new Error(`answered 101 to ${call.phase}; a service answers 2xx, 409 or 425`));
      });
      asked.on("response", (response) => {
        this.#collect(call, response).then(
          (answer) => {
            clearTimeout(timer);
            this.#running.delete(asked);
            resolve(answer);
          },
          (error: unknown) => {
            asked.destroy();
            end(error);
          },
        );
      });
      asked.end(call.payload);
    });
  }

  async #collect(call: ServiceCall, response: IncomingMessage): Promise<HttpAnswer> {
    const status = response.statusCode ?? 0;
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > this.#options.answerBytesMax) throw new AnswerTooLarge(status, call.phase, this.#options.answerBytesMax);
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof AnswerTooLarge) throw error;
      throw new Error(`answered ${status} to ${call.phase}, and the connection broke before the end of the answer`, { cause: error });
    }
    return { status, contentType: response.headers["content-type"], body: Buffer.concat(chunks) };
  }

  #headers(call: ServiceCall): Readonly<Record<string, string | number>> {
    const { clusterId, participant, forgottenBelowMs } = this.#options;
    return {
      "quorate-gid": call.gid,
      "quorate-branch": call.branch,
      "quorate-phase": call.phase,
      "quorate-attempt": call.attempt,
      "quorate-epoch": call.epoch,
      "quorate-cluster": clusterId,
      "quorate-participant": participant,
      "quorate-forgotten-below": forgottenBelowMs(),
      accept: "application/json",
      "user-agent": `quorate/${PRODUCT_VERSION}`,
      "content-length": call.payload.length,
      ...(isNewWork(call.phase) && call.payload.length > 0 ? { "content-type": "application/json" } : {}),
    };
  }

  #failure(asked: ClientRequest, call: ServiceCall, error: unknown): Error {
    const { code } = error as NodeJS.ErrnoException;
    if (asked.reusedSocket && (code === "ECONNRESET" || code === "EPIPE")) return new StaleConnection();
    // node tries every address of a name and puts what they said into one error without a message.
    const said = error instanceof AggregateError ? error.errors.map(messageOf).join(", ") : messageOf(error);
    return error instanceof Error && code === undefined && !(error instanceof AggregateError)
      ? error
      : new Error(`no answer to ${call.phase}: ${said}`, { cause: error });
  }
}

class StaleConnection extends Error {
  constructor() {
    super("the connection was closed while it was idle, twice");
  }
}

class AnswerTooLarge extends Error {
  constructor(status: number, phase: string, bytesMax: number) {
    super(`answered ${status} to ${phase} with more than ${bytesMax} bytes, the limit serviceAnswerBytesMax`);
  }
}
