/**
 * The unary Coordinator service, for clients without the library.
 *
 * Decides what a call's errors look like in gRPC; what it means is decided by the handlers.
 */
import type { sendUnaryData, ServerUnaryCall, UntypedServiceImplementation } from "@grpc/grpc-js";
import { performance } from "node:perf_hooks";
import { randomFillSync } from "node:crypto";
import type { NodeId } from "../base/index.js";
import { messageOf, QuorateError, uuid7 } from "../base/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import type { NodeView, UnaryMethod } from "../wire/index.js";
import { codecs, moveLeaderRequestCodec, moveLeaderResponseCodec, statusRequestCodec, UNARY_METHODS, WireError } from "../wire/index.js";
import { defaulted } from "./client-stream.js";
import type { ServerShared } from "./client-stream.js";
import { answerOfThrown, errorAnswer, grpcErrorOf } from "./grpc-status.js";
import { unaryProblem } from "./request-check.js";

type RawUnaryCall = ServerUnaryCall<Uint8Array, Uint8Array>;
type Done = sendUnaryData<Uint8Array>;

/** Unary calls under way on this node; each holds a promise and a call object. */
export const UNARY_PENDING_MAX = 8_192;

export class UnaryService {
  readonly #shared: ServerShared;
  readonly #deadlineMs: number;
  readonly #random = new Uint32Array(64);
  #randomAt = this.#random.length;
  #pending = 0;
  #viewAtMs = 0;
  #closing = false;

  constructor(shared: ServerShared, deadlineMs: number) {
    this.#shared = shared;
    this.#deadlineMs = deadlineMs;
  }

  /** From now on calls are refused: another node takes them. */
  close(): void {
    this.#closing = true;
  }

  viewChanged(): void {
    this.#viewAtMs = performance.now();
  }

  implementation(): UntypedServiceImplementation {
    const methods = Object.entries(UNARY_METHODS).map(([name, method]) => [
      name,
      (call: RawUnaryCall, done: Done): void => this.#serve(call, done, () => this.#request(name, method, call)),
    ]);
    return {
      ...(Object.fromEntries(methods) as UntypedServiceImplementation),
      Status: (call: RawUnaryCall, done: Done): void => {
        this.#serve(call, done, async () => {
          statusRequestCodec.decode(call.request);
          return codecs.nodeStatus.encode(await this.#shared.handlers.onStatus());
        });
      },
      MoveLeader: (call: RawUnaryCall, done: Done): void => {
        this.#serve(call, done, async () => {
          const to: NodeId | undefined = moveLeaderRequestCodec.decode(call.request);
          return moveLeaderResponseCodec.encode(await this.#shared.handlers.onMoveLeader(to));
        });
      },
    };
  }

  #serve(call: RawUnaryCall, done: Done, work: () => Promise<Uint8Array>): void {
    const refuse = (answer: Extract<Answer, { kind: "error" }>): void => done(grpcErrorOf(answer));
    if (this.#closing) {
      refuse(errorAnswer("QUORATE_NOT_LEADER", "this node is stopping; nothing was proposed: ask another node", "safe"));
      return;
    }
    if (this.#pending >= UNARY_PENDING_MAX) {
      refuse(
        errorAnswer(
          "QUORATE_OVERLOADED",
          `${this.#pending} unary calls are under way on this node; the limit is ${UNARY_PENDING_MAX}`,
          "safe",
        ),
      );
      return;
    }
    this.#pending++;
    this.#shared.counters.received(call.request.length, 1);
    void work()
      .then(
        (bytes) => {
          this.#shared.counters.sent(bytes.length, 1);
          done(null, bytes);
        },
        (error: unknown) => {
          if (error instanceof WireError) refuse(errorAnswer("QUORATE_INVALID_ARGUMENT", error.message, "never"));
          else {
            const answer = error instanceof Refused ? error.answer : answerOfThrown(error);
            if (answer.code === "QUORATE_INTERNAL")
              this.#shared.log.error({ path: call.getPath(), err: error }, `a unary call failed: ${messageOf(error)}`);
            refuse(answer);
          }
        },
      )
      .finally(() => this.#pending--);
  }

  async #request(name: string, method: UnaryMethod, call: RawUnaryCall): Promise<Uint8Array> {
    const body = this.#completed(method.request.decode(call.request));
    const problem = unaryProblem(body);
    if (problem !== undefined) throw new Refused(errorAnswer(problem.code, problem.message, "never"));
    const leftMs = this.#leftMs(call);
    if (leftMs <= 0) throw new QuorateError("QUORATE_TIMEOUT", "the call's deadline had passed when it arrived", { retry: "safe" });
    const answer = await this.#shared.handlers.onUnary(body, leftMs);
    if (answer.kind === "error") throw new Refused(answer);
    if (answer.kind !== method.answerKind) throw new QuorateError("QUORATE_INTERNAL", `${name} was answered with ${answer.kind}`);
    return method.answer.encode(answer);
  }

  #leftMs(call: RawUnaryCall): number {
    const deadline = Number(call.getDeadline());
    return Number.isFinite(deadline) ? deadline - Date.now() : this.#deadlineMs;
  }

  /** Fills in what a caller without the library leaves out. */
  #completed(body: Request): Request {
    // A lone put is nobody's retry: it gets an id of its own, with a time that the cluster's floor has not passed.
    if (body.kind === "put" && body.request.client.length === 0) {
      return { ...body, request: { client: uuid7(this.#clusterTimeMs(), this.#random32), seq: 1, ackBelow: 0 } };
    }
    return defaulted(body, this.#shared.transactionTimeoutMs);
  }

  /** The cluster's clock: as of the last view, and the time since on this node's monotonic one. */
  #clusterTimeMs(): number {
    const view: NodeView | undefined = this.#shared.view();
    return view === undefined ? Date.now() : view.clusterTimeMs + (performance.now() - this.#viewAtMs);
  }

  readonly #random32 = (): number => {
    if (this.#randomAt === this.#random.length) {
      randomFillSync(this.#random);
      this.#randomAt = 0;
    }
    return this.#random[this.#randomAt++] as number;
  };
}

/** An error answer on its way to the caller. */
class Refused extends Error {
  readonly answer: Extract<Answer, { kind: "error" }>;

  constructor(answer: Extract<Answer, { kind: "error" }>) {
    super(answer.message);
    this.answer = answer;
  }
}
