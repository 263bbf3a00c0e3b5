/**
 * The functions this room provides. Every decode throws WireError on malformed bytes: the caller drops the connection, never the process.
 */
import type { StampedCommand, StateChange } from "../txn/index.js";
import type { ControlMessage, SessionMessage } from "../zab/index.js";
import type { ClientFrame, CoordinatorFrame, NodeStatus, NodeView, ParticipantFrame, ServerFrame } from "./frames.js";

export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

export interface WireCodecs {
  readonly command: Codec<StampedCommand>;
  readonly stateChange: {
    encodeKey(change: StateChange): string;
    encodeValue(change: StateChange): Uint8Array | undefined;
    decode(key: string, value: Uint8Array): StateChange;
  };
  readonly control: Codec<readonly ControlMessage[]>;
  readonly session: Codec<readonly SessionMessage[]>;
  readonly clientFrame: Codec<ClientFrame>;
  readonly serverFrame: Codec<ServerFrame>;
  readonly participantFrame: Codec<ParticipantFrame>;
  readonly coordinatorFrame: Codec<CoordinatorFrame>;
  readonly nodeView: Codec<NodeView>;
  readonly nodeStatus: Codec<NodeStatus>;
}
