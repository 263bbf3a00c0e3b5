/**
 * Unary calls to one node: its own status, and the planned hand-over of leadership.
 */
import { status as grpcStatus } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { ERROR_CODES, messageOf, QuorateError } from "../base/index.js";
import type { ErrorCode, NodeId, Outcome, Retry } from "../base/index.js";
import { codecs, moveLeaderRequestCodec, moveLeaderResponseCodec, statusRequestCodec } from "../wire/index.js";
import type { NodeStatus } from "../wire/index.js";
import type { Endpoint } from "./endpoint.js";

const SERVICE = "/quorate.v1.Coordinator";

/** What one endpoint said of itself. Exactly one of `status` and `error` is set. */
export interface EndpointStatus {
  /** `host:port`. */
  readonly address: string;
  readonly status: NodeStatus | undefined;
  readonly error: string | undefined;
}

export async function nodeStatus(endpoint: Endpoint, timeoutMs: number): Promise<EndpointStatus> {
  const { address } = endpoint;
  try {
    const bytes = await endpoint.unary(`${SERVICE}/Status`, statusRequestCodec.encode(undefined), timeoutMs);
    return { address, status: codecs.nodeStatus.decode(bytes), error: undefined };
  } catch (error) {
    return { address, status: undefined, error: (error as Partial<ServiceError>).details ?? messageOf(error) };
  }
}

/** Resolves with the new leader. Rejects with the node's QuorateError, or QUORATE_OUTCOME_UNKNOWN when it did not answer in time. */
export async function moveLeader(endpoint: Endpoint, to: NodeId | undefined, timeoutMs: number): Promise<NodeId> {
  try {
    const bytes = await endpoint.unary(`${SERVICE}/MoveLeader`, moveLeaderRequestCodec.encode(to), timeoutMs);
    return moveLeaderResponseCodec.decode(bytes);
  } catch (error) {
    throw unaryError(error);
  }
}

/** A failed unary call carries what is known in its metadata. */
function unaryError(error: unknown): QuorateError {
  const { code, details, metadata } = error as Partial<ServiceError>;
  const text = (name: string): string | undefined => metadata?.get(`quorate-${name}`)[0]?.toString();
  const named = text("code");
  if (named !== undefined && named in ERROR_CODES) {
    return new QuorateError(named as ErrorCode, details ?? messageOf(error), {
      outcome: text("outcome") as Outcome | undefined,
      retry: text("retry") as Retry | undefined,
      gid: text("gid"),
      cause: error,
    });
  }
  const timedOut = code === grpcStatus.DEADLINE_EXCEEDED;
  return new QuorateError(timedOut ? "QUORATE_OUTCOME_UNKNOWN" : "QUORATE_UNREACHABLE", details ?? messageOf(error), {
    retry: "safe",
    cause: error,
  });
}
