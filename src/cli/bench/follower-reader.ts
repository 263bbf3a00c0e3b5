/**
 * Quorum reads through one follower: a client that knows this node's endpoint and no other. The client library would ask the leader.
 *
 * A read that comes to a follower is passed on by it to the leader, which answers after a quorum has confirmed it.
 */
import { formatNodeId, messageOf, QuorateError, type NodeId, type Zxid } from "../../base/index.js";
import { Endpoint } from "../../client/endpoint.js";
import { nodeStatus } from "../../client/node-calls.js";
import { UNARY_METHODS } from "../../wire/index.js";

const READ_PATH = "/quorate.v1.Coordinator/Read";
const STATUS_TIMEOUT_MS = 5_000;
const READ_TIMEOUT_MS = 15_000;

export type Register = { readonly value: Uint8Array; readonly version: Zxid } | undefined;

export class FollowerReader {
  readonly #endpoint: Endpoint;

  private constructor(address: string) {
    this.#endpoint = new Endpoint(address);
  }

  /** Rejects with QUORATE_WRONG_STATE unless the node at this address follows a leader. */
  static async open(address: string): Promise<FollowerReader> {
    const reader = new FollowerReader(address);
    try {
      await reader.checkFollowing();
      return reader;
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /** The node that answers. Rejects with QUORATE_WRONG_STATE when it does not follow: then what was read did not go through a follower. */
  async checkFollowing(): Promise<NodeId> {
    const { address, status, error } = await nodeStatus(this.#endpoint, STATUS_TIMEOUT_MS);
    if (status?.role === "following" && status.phase === "broadcast") return status.id;
    const what =
      status === undefined ? `does not answer (${error ?? ""})` : `is ${formatNodeId(status.id)}, ${status.role}, ${status.phase}`;
    throw new QuorateError("QUORATE_WRONG_STATE", `reads are to go through a follower in broadcast, but ${address} ${what}`);
  }

  /** One register, linearizable. */
  async read(name: string): Promise<Register> {
    let bytes: Uint8Array;
    try {
      bytes = await this.#endpoint.unary(READ_PATH, UNARY_METHODS.Read.request.encode({ kind: "read", name }), READ_TIMEOUT_MS);
    } catch (error) {
      throw new QuorateError("QUORATE_UNREACHABLE", `${this.#endpoint.address} did not read ${name}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    const answer = UNARY_METHODS.Read.answer.decode(bytes);
    if (answer.kind !== "read") throw new QuorateError("QUORATE_INTERNAL", `the node answered read with ${answer.kind}`);
    const { value, version } = answer;
    return value === undefined || version === undefined ? undefined : { value, version };
  }

  close(): void {
    this.#endpoint.close();
  }
}
