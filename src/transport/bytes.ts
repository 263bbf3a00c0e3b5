/**
 * gRPC with bytes in and bytes out: encoding is the wire room's, and happens before a frame is handed to a stream.
 */
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { serviceShape } from "../wire/index.js";
import type { MethodShape, ServiceName } from "../wire/index.js";

/** grpc-js copies with Buffer's methods; other byte arrays get a Buffer over the same memory. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function asBytes(bytes: Buffer): Uint8Array {
  return bytes;
}

/** The service as the published .proto defines it, without any encoding. */
export function bytesService(service: ServiceName): ServiceDefinition {
  return Object.fromEntries(Object.entries(serviceShape(service)).map(([name, shape]) => [name, bytesMethod(shape)]));
}

export function bytesMethod(shape: MethodShape): MethodDefinition<Uint8Array, Uint8Array> {
  return {
    ...shape,
    requestSerialize: toBuffer,
    requestDeserialize: asBytes,
    responseSerialize: toBuffer,
    responseDeserialize: asBytes,
  };
}
