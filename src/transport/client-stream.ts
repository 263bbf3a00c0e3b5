/**
 * One client's stream: requests in, answers out.
 *
 * Decides what ends the stream (no hello, malformed frames, a client that does not read) and which requests are answered here (malformed
 * ones, and those beyond what one client may have unanswered). Everything else goes to the handlers.
 */
import { status } from "@grpc/grpc-js";
import type { Logger } from "../base/index.js";
import type { Answer, ClientSession, Request } from "../coordinator/index.js";
import { answerBytes, codecs, FRAME_BYTES_MAX, WireError } from "../wire/index.js";
import type { ClientFrame, NodeView, ServerFrame } from "../wire/index.js";
import type { ClientServerHandlers } from "./api.js";
import { Batch } from "./batch.js";
import type { Counters } from "./counters.js";
import { errorAnswer, headerText } from "./grpc-status.js";
import { clientHelloProblem, requestProblem } from "./request-check.js";
import { AcceptedStream } from "./stream.js";
import type { RawServerStream } from "./stream.js";
import { Flushable } from "./turn-flusher.js";
import type { TurnFlusher } from "./turn-flusher.js";

/** Requests of one stream without an answer; also what the client library keeps in flight at most. */
export const CLIENT_REQUESTS_MAX = 65_536;
/** Answers, and their bytes, that may wait for a client that does not read. */
const ANSWERS_WAITING_MAX = 2 * CLIENT_REQUESTS_MAX;
const ANSWER_BYTES_WAITING_MAX = 64 * 1024 * 1024;
/** A stream that never says hello holds memory for nobody. */
export const HELLO_TIMEOUT_MS = 10_000;

type ServerAnswer = ServerFrame["answers"][number];
type ClientRequest = ClientFrame["requests"][number];

/** What the streams of one server share. */
export interface ServerShared {
  readonly handlers: ClientServerHandlers;
  readonly flusher: TurnFlusher;
  readonly counters: Counters;
  readonly log: Logger;
  readonly transactionTimeoutMs: number;
  readonly view: () => NodeView | undefined;
}

export class ClientStream extends Flushable {
  readonly session: ClientSession;
  readonly #shared: ServerShared;
  readonly #stream: AcceptedStream;
  readonly #onGone: () => void;
  readonly #answers = new Batch<ServerAnswer>();
  readonly #helloTimer: NodeJS.Timeout;
  #client: string | undefined;
  #unanswered = 0;
  #viewDue = false;

  constructor(call: RawServerStream, session: ClientSession, shared: ServerShared, onGone: () => void) {
    super();
    this.session = session;
    this.#shared = shared;
    this.#onGone = onGone;
    this.#stream = new AcceptedStream(call, {
      onFrame: (bytes) => this.#frame(bytes),
      onDrain: () => this.flush(),
      onGone: () => this.#gone(),
    });
    this.#helloTimer = setTimeout(() => this.end(status.DEADLINE_EXCEEDED, `no hello within ${HELLO_TIMEOUT_MS} ms`), HELLO_TIMEOUT_MS);
    this.#stream.accept();
  }

  answer(request: number, answer: Answer): void {
    if (this.#unanswered > 0) this.#unanswered--;
    this.#push(request, answer);
  }

  pushView(): void {
    if (this.#client === undefined) return;
    this.#viewDue = true;
    this.#shared.flusher.mark(this);
  }

  flush(): void {
    const stream = this.#stream;
    while ((this.#viewDue || this.#answers.length > 0) && !stream.blocked && !stream.done) {
      const view = this.#viewDue ? this.#shared.view() : undefined;
      this.#viewDue = false;
      const answers = this.#answers.take(FRAME_BYTES_MAX);
      const frame = codecs.serverFrame.encode({ view, answers });
      this.#shared.counters.sent(frame.length, answers.length);
      stream.send(frame);
    }
  }

  /** Ends the stream with a status that says why. What was collected for it is still sent if the stream takes it. */
  end(code: status, details: string): void {
    if (this.#stream.done) return;
    this.flush();
    this.#stream.fail(code, headerText(details));
    this.#gone();
  }

  #push(request: number, answer: Answer): void {
    if (this.#stream.done) return;
    this.#answers.push({ request, answer }, answerBytes(answer));
    this.#shared.flusher.mark(this);
    if (this.#answers.length > ANSWERS_WAITING_MAX || this.#answers.bytes > ANSWER_BYTES_WAITING_MAX) {
      // From the event loop: an answer is given inside a call of the replica.
      setImmediate(() => this.#cutOff());
    }
  }

  #cutOff(): void {
    if (this.#stream.done) return;
    const details = `the client does not read: ${this.#answers.length} answers of ${this.#answers.bytes} bytes wait for it`;
    this.#answers.clear();
    this.#refuse(status.RESOURCE_EXHAUSTED, details);
  }

  #refuse(code: status, details: string): void {
    this.#shared.counters.refused++;
    this.#shared.log.warn(
      { remote: this.#stream.remote, session: this.session, client: this.#client },
      `a client's stream is ended: ${details}`,
    );
    this.end(code, details);
  }

  #gone(): void {
    clearTimeout(this.#helloTimer);
    this.#answers.clear();
    this.#onGone();
    if (this.#client === undefined) return;
    this.#client = undefined;
    this.#shared.handlers.onClientDown(this.session);
  }

  #frame(bytes: Uint8Array): void {
    let frame: ClientFrame;
    try {
      frame = codecs.clientFrame.decode(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#refuse(status.INVALID_ARGUMENT, error.message);
      return;
    }
    this.#shared.counters.received(bytes.length, frame.requests.length);
    if (this.#client === undefined || frame.hello !== undefined) this.#hello(frame);
    else if (frame.requests.length > 0) this.#requests(frame.requests);
  }

  #hello({ hello, requests }: ClientFrame): void {
    if (hello === undefined) this.#refuse(status.INVALID_ARGUMENT, "the first frame must hold hello");
    else if (this.#client !== undefined) this.#refuse(status.INVALID_ARGUMENT, "hello was sent twice");
    else if (requests.length > 0) this.#refuse(status.INVALID_ARGUMENT, "the frame with hello must hold nothing else");
    else {
      const problem = clientHelloProblem(hello);
      if (problem !== undefined) {
        this.#refuse(status.INVALID_ARGUMENT, problem);
        return;
      }
      clearTimeout(this.#helloTimer);
      this.#client = hello.client;
      if (this.#shared.view() !== undefined) this.pushView();
      this.#shared.handlers.onClientUp(this.session, hello.client);
    }
  }

  #requests(requests: readonly ClientRequest[]): void {
    const taken: ClientRequest[] = [];
    for (const one of requests) {
      const problem = requestProblem(one.body);
      if (problem !== undefined) this.#push(one.request, errorAnswer(problem.code, problem.message, "never"));
      else if (this.#unanswered >= CLIENT_REQUESTS_MAX) {
        const message = `the client has ${this.#unanswered} unanswered requests on this stream; the limit is ${CLIENT_REQUESTS_MAX}`;
        this.#push(one.request, errorAnswer("QUORATE_OVERLOADED", message, "safe"));
      } else {
        this.#unanswered++;
        taken.push(withDefaults(one, this.#shared.transactionTimeoutMs));
      }
    }
    if (taken.length > 0) this.#shared.handlers.onRequests(this.session, taken);
  }
}

function withDefaults(one: ClientRequest, timeoutMs: number): ClientRequest {
  const body = defaulted(one.body, timeoutMs);
  return body === one.body ? one : { request: one.request, body };
}

/**
 * An absent timeout is the cluster's default. An absent client stays absent: such a transaction is nobody's stream's, also when a node
 * passes on over a stream of its own what came to it as a unary call.
 */
export function defaulted(body: Request, timeoutMs: number): Request {
  if ((body.kind !== "open" && body.kind !== "commit") || body.timeoutMs !== 0) return body;
  return { ...body, timeoutMs };
}
