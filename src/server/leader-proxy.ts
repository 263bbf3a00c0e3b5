/**
 * Requests that came to a node that does not lead, passed on to the leader by the client library.
 *
 * One client for the life of the node, made when it is first needed: tools of other languages may call any node, busy ones stream.
 */
import { isQuorateError, messageOf, QuorateError, type NodeId } from "../base/index.js";
import { connect, type Quorate } from "../client/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import { errorAnswer } from "./unary-requests.js";

export class LeaderProxy {
  readonly #endpoints: readonly string[];
  #client: Promise<Quorate> | undefined;

  /** `endpoints`: every member's client address. */
  constructor(endpoints: readonly string[]) {
    this.#endpoints = endpoints;
  }

  /** Always resolves. */
  async ask(body: Request, deadlineMs: number): Promise<Answer> {
    const startedMs = performance.now();
    try {
      const client = await this.#connected(deadlineMs);
      const leftMs = Math.max(1, deadlineMs - (performance.now() - startedMs));
      return await new Promise<Answer>((resolve) => client.submit(body, resolve, leftMs));
    } catch (error) {
      return errorAnswer(asQuorateError(error));
    }
  }

  /** Rejects with a QuorateError. */
  async moveLeader(to: NodeId | undefined, deadlineMs: number): Promise<NodeId> {
    const client = await this.#connected(deadlineMs);
    return client.moveLeader(to, { timeoutMs: deadlineMs });
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    await client?.close({ drainMs: 0 });
  }

  #connected(timeoutMs: number): Promise<Quorate> {
    if (this.#client !== undefined) return this.#client;
    const connecting = connect({ endpoints: this.#endpoints, connectTimeoutMs: timeoutMs });
    this.#client = connecting;
    connecting.catch(() => {
      if (this.#client === connecting) this.#client = undefined;
    });
    return connecting;
  }
}

function asQuorateError(error: unknown): QuorateError {
  return isQuorateError(error) ? error : new QuorateError("QUORATE_INTERNAL", messageOf(error), { cause: error });
}
