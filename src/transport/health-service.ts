/**
 * gRPC's standard health service: Check, List and Watch of grpc.health.v1.
 *
 * Decides who is told of a change; the statuses are set from outside.
 */
import { status, type sendUnaryData, type Server, type ServerUnaryCall, type ServerWritableStream } from "@grpc/grpc-js";
import { decodeHealthRequest, encodeHealthList, encodeHealthResponse, WireError, type HealthStatus } from "../wire/index.js";
import { bytesMethod } from "./bytes.js";

type RawUnaryCall = ServerUnaryCall<Uint8Array, Uint8Array>;
type Watcher = ServerWritableStream<Uint8Array, Uint8Array>;
type Done = sendUnaryData<Uint8Array>;

const DEFINITION = Object.fromEntries(
  ["Check", "List", "Watch"].map((name) => [
    name,
    bytesMethod({ path: `/grpc.health.v1.Health/${name}`, requestStream: false, responseStream: name === "Watch" }),
  ]),
);

export class HealthService {
  readonly #statuses: Map<string, HealthStatus>;
  readonly #watchers = new Map<Watcher, { readonly service: string; told: HealthStatus }>();

  /** `services` start as NOT_SERVING; "" is the server as a whole. */
  constructor(services: readonly string[]) {
    this.#statuses = new Map(services.map((name) => [name, "NOT_SERVING"]));
  }

  /** Every service, and whoever watches one is told if it is news. */
  setAll(now: HealthStatus): void {
    for (const name of this.#statuses.keys()) this.#statuses.set(name, now);
    for (const [call, watched] of this.#watchers) {
      const current = this.#statusOf(watched.service);
      if (current === watched.told) continue;
      watched.told = current;
      call.write(encodeHealthResponse(current));
    }
  }

  addTo(server: Server): void {
    server.addService(DEFINITION, {
      Check: (call: RawUnaryCall, done: Done) => {
        const service = requestOf(call.request, (details) => done({ code: status.INVALID_ARGUMENT, details }));
        if (service === undefined) return;
        const current = this.#statuses.get(service);
        if (current !== undefined) done(null, encodeHealthResponse(current));
        else done({ code: status.NOT_FOUND, details: `no service ${JSON.stringify(service)} here; "" is the node as a whole` });
      },
      List: (_call: RawUnaryCall, done: Done) => done(null, encodeHealthList(this.#statuses)),
      Watch: (call: Watcher) => {
        const service = requestOf(call.request, (details) => call.emit("error", { code: status.INVALID_ARGUMENT, details }));
        if (service === undefined) return;
        // The standard: a service that is not known is told as SERVICE_UNKNOWN, and the watch goes on.
        const told = this.#statusOf(service);
        this.#watchers.set(call, { service, told });
        call.on("cancelled", () => {
          this.#watchers.delete(call);
          call.end();
        });
        call.on("error", () => this.#watchers.delete(call));
        call.write(encodeHealthResponse(told));
      },
    });
  }

  /** Ends every watch: a server that is to stop waits for its streams. */
  close(): void {
    for (const call of this.#watchers.keys()) call.end();
    this.#watchers.clear();
  }

  #statusOf(service: string): HealthStatus {
    return this.#statuses.get(service) ?? "SERVICE_UNKNOWN";
  }
}

function requestOf(bytes: Uint8Array, refuse: (details: string) => void): string | undefined {
  try {
    return decodeHealthRequest(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    refuse(error.message);
    return undefined;
  }
}
