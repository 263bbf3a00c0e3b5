/**
 * Calls a service by gRPC, one unary call each: proto/quorate/v1/service.proto.
 */
import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { messageOf } from "../base/index.js";
import { CLIENT_CHANNEL_OPTIONS, decodeServiceAnswer, encodeServiceCall, SERVICE_CALL_PATH } from "../wire/index.js";
import { isNewWork, oneLine, type Caller, type CallerOptions, type ServiceCall, type ServiceSaid } from "./call.js";

export class GrpcCaller implements Caller {
  readonly #options: CallerOptions;
  readonly #client: Client;

  constructor(options: CallerOptions) {
    this.#options = options;
    this.#client = new Client(new URL(options.url).host, credentials.createInsecure(), {
      ...CLIENT_CHANNEL_OPTIONS,
      "grpc.max_receive_message_length": options.answerBytesMax,
    });
  }

  async call(call: ServiceCall): Promise<ServiceSaid> {
    const { clusterId, participant, forgottenBelowMs } = this.#options;
    const { phase, gid, branch, epoch, attempt, payload } = call;
    const shared = { cluster: clusterId, participant, forgottenBelowMs: forgottenBelowMs() };
    const message = encodeServiceCall({ phase, gid, branch, epoch, attempt, ...shared, payload });
    let bytes: Uint8Array;
    try {
      bytes = await this.#ask(message);
    } catch (error) {
      return this.#statusSaid(call, error as ServiceError);
    }
    try {
      return { kind: "done", vote: decodeServiceAnswer(bytes) };
    } catch (error) {
      throw new Error(`answered OK to ${phase} with a message that cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }

  close(): void {
    this.#client.close();
  }

  #ask(message: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<Uint8Array, Uint8Array>(
        SERVICE_CALL_PATH,
        (value) => Buffer.from(value.buffer, value.byteOffset, value.byteLength),
        (value) => value,
        message,
        new Metadata(),
        { deadline: Date.now() + this.#options.deadlineMs },
        (error, value) => {
          if (error !== null) reject(error);
          else if (value === undefined) reject(new Error("an answer without a message"));
          else resolve(value);
        },
      );
    });
  }

  #statusSaid(call: ServiceCall, error: ServiceError): ServiceSaid {
    const { phase } = call;
    const detail = oneLine(error.details ?? messageOf(error));
    const code = status[error.code] ?? String(error.code);
    if (error.code === status.DEADLINE_EXCEEDED) throw new Error(`no answer to ${phase} within ${this.#options.deadlineMs} ms`);
    if (error.code === status.FAILED_PRECONDITION) return { kind: "not-yet", detail: `answered ${code} to ${phase} (${detail})` };
    if (error.code !== status.ABORTED)
      throw new Error(`answered ${code} to ${phase} (${detail}); a service answers OK, ABORTED or FAILED_PRECONDITION`);
    if (isNewWork(phase)) return { kind: "refused", detail: detail === "" ? `answered ABORTED to ${phase}` : detail };
    throw new Error(`answered ABORTED to ${phase} (${detail}); what is decided cannot be refused, so it is asked again`);
  }
}
