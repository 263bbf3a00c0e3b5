/**
 * Calls to one node, whatever its role: the unary service that clients of other languages use. A node that does not lead passes a call on.
 */
import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { ERROR_CODES, QuorateError, type ErrorCode, type NodeId, type Outcome, type Retry } from "../../src/base/index.js";
import type { Answer, Request } from "../../src/coordinator/index.js";
import { CLIENT_CHANNEL_OPTIONS, serviceShape, UNARY_METHOD_OF, UNARY_METHODS } from "../../src/wire/index.js";

const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
const asBytes = (bytes: Buffer): Uint8Array => bytes;
/** A node that was started again is dialed within this. */
const RECONNECT_MS = { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 500 };

export class NodeVoice {
  readonly node: NodeId;
  readonly #client: Client;
  readonly #paths = serviceShape("Coordinator");

  constructor(node: NodeId, address: string) {
    this.node = node;
    this.#client = new Client(address, credentials.createInsecure(), { ...CLIENT_CHANNEL_OPTIONS, ...RECONNECT_MS });
  }

  /** Rejects with the node's QuorateError, or with QUORATE_OUTCOME_UNKNOWN when it did not answer. */
  ask<K extends Answer["kind"]>(kind: K, body: Request, timeoutMs: number): Promise<Extract<Answer, { readonly kind: K }>> {
    const name = UNARY_METHOD_OF[body.kind];
    const method = UNARY_METHODS[name];
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, bytes?: Uint8Array): void => {
        if (error !== null) return reject(errorOf(error));
        const answer = method.answer.decode(bytes ?? new Uint8Array());
        if (answer.kind !== kind) return reject(new QuorateError("QUORATE_INTERNAL", `${name} was answered with ${answer.kind}`));
        resolve(answer as Extract<Answer, { readonly kind: K }>);
      };
      const options = { deadline: Date.now() + timeoutMs };
      const path = this.#paths[name]?.path ?? name;
      this.#client.makeUnaryRequest(path, toBuffer, asBytes, method.request.encode(body), new Metadata(), options, done);
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** A failed call carries what is known in its metadata; one that carries nothing may have done anything. */
function errorOf({ code, details, metadata }: ServiceError): QuorateError {
  const text = (name: string): string | undefined => metadata.get(`quorate-${name}`)[0]?.toString();
  const named = text("code");
  if (named !== undefined && Object.hasOwn(ERROR_CODES, named))
    return new QuorateError(named as ErrorCode, details, {
      outcome: text("outcome") as Outcome | undefined,
      retry: text("retry") as Retry | undefined,
      gid: text("gid"),
    });
  return new QuorateError("QUORATE_OUTCOME_UNKNOWN", `${status[code]}: ${details}`, { outcome: "unknown", retry: "same-request-id" });
}
