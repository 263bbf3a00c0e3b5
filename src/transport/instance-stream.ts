/**
 * One participant instance's stream: calls out, replies and inquiries in.
 *
 * Decides what ends the stream: no hello, malformed frames, an instance that does not read.
 */
import { status } from "@grpc/grpc-js";
import type { BranchCall, InquiryAnswer, InstanceId } from "../coordinator/index.js";
import { callBytes, codecs, FRAME_BYTES_MAX, WireError } from "../wire/index.js";
import type { FrameCall, ParticipantFrame } from "../wire/index.js";
import { Batch } from "./batch.js";
import { HELLO_TIMEOUT_MS } from "./client-stream.js";
import type { ServerShared } from "./client-stream.js";
import { headerText } from "./grpc-status.js";
import { participantFrameProblem, participantHelloProblem } from "./request-check.js";
import { AcceptedStream } from "./stream.js";
import type { RawServerStream } from "./stream.js";
import { Flushable } from "./turn-flusher.js";

/** Calls and answers, and their bytes, that may wait for an instance that does not read. */
const ITEMS_WAITING_MAX = 262_144;
const BYTES_WAITING_MAX = 64 * 1024 * 1024;
/** About what an inquiry's answer takes on the wire. */
const ANSWER_BYTES = 100;

export class InstanceStream extends Flushable {
  readonly instance: InstanceId;
  readonly #shared: ServerShared;
  readonly #stream: AcceptedStream;
  readonly #onGone: () => void;
  readonly #calls = new Batch<FrameCall>();
  readonly #answers = new Batch<InquiryAnswer>();
  readonly #helloTimer: NodeJS.Timeout;
  #participant: string | undefined;
  #viewDue = false;

  constructor(call: RawServerStream, instance: InstanceId, shared: ServerShared, onGone: () => void) {
    super();
    this.instance = instance;
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

  call(call: BranchCall): void {
    if (this.#stream.done) return;
    this.#calls.push(call, callBytes(call));
    this.#collected();
  }

  inquiryAnswers(answers: readonly InquiryAnswer[]): void {
    if (this.#stream.done) return;
    for (const answer of answers) this.#answers.push(answer, ANSWER_BYTES);
    this.#collected();
  }

  pushView(): void {
    if (this.#participant === undefined) return;
    this.#viewDue = true;
    this.#shared.flusher.mark(this);
  }

  flush(): void {
    const stream = this.#stream;
    while ((this.#viewDue || this.#calls.length > 0 || this.#answers.length > 0) && !stream.blocked && !stream.done) {
      const view = this.#viewDue ? this.#shared.view() : undefined;
      this.#viewDue = false;
      const answers = this.#answers.take(FRAME_BYTES_MAX / 2);
      const calls = this.#calls.take(FRAME_BYTES_MAX / 2);
      const frame = codecs.coordinatorFrame.encode({ view, calls, answers });
      this.#shared.counters.sent(frame.length, calls.length + answers.length);
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

  #collected(): void {
    this.#shared.flusher.mark(this);
    if (this.#calls.length + this.#answers.length > ITEMS_WAITING_MAX || this.#calls.bytes > BYTES_WAITING_MAX) {
      // From the event loop: a call is given inside a call of the replica.
      setImmediate(() => this.#cutOff());
    }
  }

  #cutOff(): void {
    if (this.#stream.done) return;
    const details = `the instance does not read: ${this.#calls.length} calls of ${this.#calls.bytes} bytes wait for it`;
    this.#calls.clear();
    this.#answers.clear();
    this.#refuse(status.RESOURCE_EXHAUSTED, details);
  }

  #refuse(code: status, details: string): void {
    const { counters, log } = this.#shared;
    counters.refused++;
    const fields = { remote: this.#stream.remote, instance: this.instance, participant: this.#participant };
    log.warn(fields, `a participant's stream is ended: ${details}`);
    this.end(code, details);
  }

  #gone(): void {
    clearTimeout(this.#helloTimer);
    this.#calls.clear();
    this.#answers.clear();
    this.#onGone();
    if (this.#participant === undefined) return;
    this.#participant = undefined;
    this.#shared.handlers.onInstanceDown(this.instance);
  }

  #frame(bytes: Uint8Array): void {
    let frame: ParticipantFrame;
    try {
      frame = codecs.participantFrame.decode(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#refuse(status.INVALID_ARGUMENT, error.message);
      return;
    }
    const { hello, replies, inquiries } = frame;
    this.#shared.counters.received(bytes.length, replies.length + inquiries.length);
    const problem = this.#helloProblem(hello) ?? participantFrameProblem(frame);
    if (problem !== undefined) {
      this.#refuse(status.INVALID_ARGUMENT, problem);
      return;
    }
    if (hello !== undefined) this.#hello(hello);
    const { handlers } = this.#shared;
    if (replies.length > 0) handlers.onReplies(this.instance, replies);
    if (inquiries.length > 0) handlers.onInquiries(this.instance, inquiries);
  }

  #helloProblem(hello: ParticipantFrame["hello"]): string | undefined {
    if (hello === undefined) return this.#participant === undefined ? "the first frame must hold hello" : undefined;
    return this.#participant === undefined ? participantHelloProblem(hello) : "hello was sent twice";
  }

  #hello({ participant, participantKind, instance, version, ...abilities }: NonNullable<ParticipantFrame["hello"]>): void {
    clearTimeout(this.#helloTimer);
    this.#participant = participant;
    this.#shared.log.info({ participant, participantKind, instance, version, remote: this.#stream.remote }, "a participant is attached");
    if (this.#shared.view() !== undefined) this.pushView();
    this.#shared.handlers.onInstanceUp(this.instance, participant, participantKind, abilities);
  }
}
