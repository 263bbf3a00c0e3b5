/**
 * Calls to services that take part over gRPC: proto/quorate/v1/service.proto.
 */
import { decodeMessage, type ProtoReader } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

/** The numbers are the published ones. */
const PHASES = { prepare: 1, commit: 2, rollback: 3, try: 4, confirm: 5, cancel: 6 } as const;
export type ServicePhaseName = keyof typeof PHASES;

export interface ServiceCallMessage {
  readonly phase: ServicePhaseName;
  readonly gid: string;
  readonly branch: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly cluster: string;
  readonly participant: string;
  readonly payload: Uint8Array;
  readonly forgottenBelowMs: number;
}

export const SERVICE_CALL_PATH = "/quorate.v1.Participant/Call";

const VOTE_TAG = 1 << 3;
const READ_ONLY = 2;
const writer = new ProtoWriter(64 * 1024);

export function encodeServiceCall(call: ServiceCallMessage): Uint8Array {
  writer.begin(call.payload.length);
  writer.uint(9, call.forgottenBelowMs);
  writer.bytes(8, call.payload);
  writer.text(7, call.participant);
  writer.text(6, call.cluster);
  writer.uint(5, call.attempt);
  writer.uint(4, call.epoch);
  writer.text(3, call.branch);
  writer.text(2, call.gid);
  writer.uint(1, PHASES[call.phase]);
  return writer.finish();
}

/** ServiceAnswer. Throws WireError, also for a vote of another version: it must not pass for a yes. */
export function decodeServiceAnswer(bytes: Uint8Array): "yes" | "read-only" {
  return decodeMessage("ServiceAnswer", bytes, (reader: ProtoReader) => {
    let vote = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === VOTE_TAG) vote = reader.uint32();
      else reader.skip(tag);
    }
    if (vote > READ_ONLY) throw new WireError(`vote ${vote} is none of 0, 1 and 2`);
    return vote === READ_ONLY ? "read-only" : "yes";
  });
}
