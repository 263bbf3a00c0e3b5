/**
 * The server for clients, participants, unary calls and health checks of one node, on gRPC.
 */
import { Server, status } from "@grpc/grpc-js";
import type { ClientSession, InstanceId } from "../coordinator/index.js";
import type { NodeView, ServiceName } from "../wire/index.js";
import { SERVER_OPTIONS } from "../wire/index.js";
import type { ClientServer, ClientServerOptions } from "./api.js";
import { bytesService } from "./bytes.js";
import { ClientStream } from "./client-stream.js";
import type { ServerShared } from "./client-stream.js";
import { Counters } from "./counters.js";
import { HealthService } from "./health-service.js";
import { InstanceStream } from "./instance-stream.js";
import { listen } from "./listen.js";
import type { RawServerStream } from "./stream.js";
import { TurnFlusher } from "./turn-flusher.js";
import { UnaryService } from "./unary-service.js";

const STREAM_SERVICES: readonly ServiceName[] = ["Session", "Participants", "Coordinator"];
/** "" is the node as a whole; the others are full service names, as gRPC's health protocol asks. */
const HEALTH_NAMES: readonly string[] = ["", ...STREAM_SERVICES.map((name) => `quorate.v1.${name}`)];
/** Streams of clients and instances on one node; each holds a few kilobytes and up to its own bounds when it does not read. */
const STREAMS_MAX = 20_000;
/** After the streams were ended: how long their last frames may take. */
const CLOSE_MS = 250;

/** Resolves when the port is bound. Rejects with a QuorateError that names the address. */
export async function createClientServer(options: ClientServerOptions): Promise<ClientServer> {
  const counters = new Counters();
  const flusher = new TurnFlusher();
  const clients = new Map<ClientSession, ClientStream>();
  const instances = new Map<InstanceId, InstanceStream>();
  let view: NodeView | undefined;
  let serving = false;
  let closing = false;
  let nextStream = 1;

  const shared: ServerShared = {
    handlers: options.handlers,
    flusher,
    counters,
    log: options.log,
    transactionTimeoutMs: options.transactionTimeoutMs,
    view: () => view,
  };
  const unary = new UnaryService(shared, options.unaryDeadlineMs);
  const health = new HealthService(HEALTH_NAMES);

  function refused(call: RawServerStream): boolean {
    if (closing) call.emit("error", { code: status.UNAVAILABLE, details: "this node is stopping: ask another node" });
    else if (clients.size + instances.size >= STREAMS_MAX) {
      counters.refused++;
      call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: `this node has ${STREAMS_MAX} streams, its limit: ask another node` });
    } else return false;
    return true;
  }

  const server = new Server(SERVER_OPTIONS);
  server.addService(bytesService("Session"), {
    Open(call: RawServerStream) {
      if (refused(call)) return;
      const session = nextStream++;
      clients.set(session, new ClientStream(call, session, shared, () => clients.delete(session)));
    },
  });
  server.addService(bytesService("Participants"), {
    Attach(call: RawServerStream) {
      if (refused(call)) return;
      const instance = nextStream++;
      instances.set(instance, new InstanceStream(call, instance, shared, () => instances.delete(instance)));
    },
  });
  server.addService(bytesService("Coordinator"), unary.implementation());
  health.addTo(server);
  const port = await listen(server, options.listenAddress, "clients and participants");

  function setServing(now: boolean): void {
    if (now === serving) return;
    serving = now;
    health.setAll(now ? "SERVING" : "NOT_SERVING");
  }

  function endStreams(): void {
    for (const stream of [...clients.values(), ...instances.values()]) stream.end(status.UNAVAILABLE, "this node is stopping");
    health.close();
  }

  return {
    port,
    answer: (session, request, answer) => clients.get(session)?.answer(request, answer),
    call: (call) => instances.get(call.instance)?.call(call),
    inquiryAnswers: (instance, answers) => instances.get(instance)?.inquiryAnswers(answers),
    setView(now) {
      view = now;
      unary.viewChanged();
      setServing(now.established && !closing);
      for (const stream of clients.values()) stream.pushView();
      for (const stream of instances.values()) stream.pushView();
    },
    flush: () => flusher.flush(),
    stats: () => counters.snapshot(),
    close(graceMs) {
      closing = true;
      unary.close();
      setServing(false);
      return new Promise((resolve) => {
        // tryShutdown stops listening, tells every connection to take no new streams, and ends when the last stream has.
        const graceTimer = setTimeout(endStreams, graceMs);
        const forceTimer = setTimeout(() => server.forceShutdown(), graceMs + CLOSE_MS);
        server.tryShutdown(() => {
          clearTimeout(graceTimer);
          clearTimeout(forceTimer);
          endStreams();
          resolve();
        });
      });
    },
  };
}
