/**
 * Messages of the standard health service, grpc.health.v1.
 */
import { decodeMessage, type ProtoReader } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";

/** The numbers are the standard's. */
export const HEALTH_STATUS = { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;
export type HealthStatus = keyof typeof HEALTH_STATUS;

const LENGTH = 2;
const writer = new ProtoWriter(1024);

/** HealthCheckRequest: the service that is asked about. */
export function decodeHealthRequest(bytes: Uint8Array): string {
  return decodeMessage("HealthCheckRequest", bytes, (reader: ProtoReader) => {
    let service = "";
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH)) service = reader.text();
      else reader.skip(tag);
    }
    return service;
  });
}

/** HealthCheckResponse. */
export function encodeHealthResponse(status: HealthStatus): Uint8Array {
  writer.begin();
  writer.uint(1, HEALTH_STATUS[status]);
  return writer.finish();
}

/** HealthListResponse: a map from service to its HealthCheckResponse. */
export function encodeHealthList(statuses: ReadonlyMap<string, HealthStatus>): Uint8Array {
  writer.begin();
  for (const [service, status] of [...statuses].reverse()) {
    const entry = writer.mark();
    const value = writer.mark();
    writer.uint(1, HEALTH_STATUS[status]);
    writer.message(2, value);
    writer.text(1, service);
    writer.message(1, entry);
  }
  return writer.finish();
}
