/**
 * Probes and metrics on bare node:http, so that they answer when everything else is sick.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isQuorateError, messageOf, QuorateError } from "../base/index.js";

export interface AdminHandlers {
  /** Ready: takes part in a cluster that serves. The fields are shown either way. */
  readonly readiness: () => { readonly ready: boolean } & Readonly<Record<string, unknown>>;
  readonly version: () => Readonly<Record<string, unknown>>;
  readonly metrics: () => string;
  /** Undefined: failpoints are not enabled in this process. Takes the rules' text and returns those in force. */
  readonly failpoints: ((text: string | undefined) => Readonly<Record<string, unknown>>) | undefined;
}

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

const BODY_BYTES_MAX = 16 * 1024;
const REQUEST_TIMEOUT_MS = 5000;

/** Throws QUORATE_CONFIG when the address cannot be bound. */
export async function startAdmin(listen: { readonly host: string; readonly port: number }, handlers: AdminHandlers): Promise<AdminServer> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => void serve(request, response, handlers));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(bindError(listen, error));
    });
    server.listen(listen.port, listen.host, resolve);
  });
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : listen.port, close: () => closeServer(server) };
}

async function serve(request: IncomingMessage, response: ServerResponse, handlers: AdminHandlers): Promise<void> {
  try {
    const route = `${request.method ?? ""} ${(request.url ?? "").split("?", 1)[0] ?? ""}`;
    if (route === "GET /livez") send(response, 200, { live: true });
    else if (route === "GET /readyz") {
      const readiness = handlers.readiness();
      send(response, readiness.ready ? 200 : 503, readiness);
    } else if (route === "GET /version") send(response, 200, handlers.version());
    else if (route === "GET /metrics") {
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end(handlers.metrics());
    } else if (route === "GET /failpoints" && handlers.failpoints !== undefined) send(response, 200, handlers.failpoints(undefined));
    else if (route === "PUT /failpoints" && handlers.failpoints !== undefined)
      send(response, 200, handlers.failpoints(await bodyOf(request)));
    else send(response, 404, { error: "not found", paths: ["/livez", "/readyz", "/version", "/metrics"] });
  } catch (error) {
    send(response, isQuorateError(error) ? 400 : 500, {
      error: messageOf(error),
      code: isQuorateError(error) ? error.code : "QUORATE_INTERNAL",
    });
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  request.setEncoding("utf8");
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > BODY_BYTES_MAX) throw new QuorateError("QUORATE_TOO_LARGE", `the body is above ${BODY_BYTES_MAX} bytes`);
  }
  return text;
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function bindError(listen: { readonly host: string; readonly port: number }, error: NodeJS.ErrnoException): QuorateError {
  const fix = error.code === "EADDRINUSE" ? "another process listens there; choose another port with --admin-listen" : messageOf(error);
  return new QuorateError("QUORATE_CONFIG", `adminListen ${listen.host}:${listen.port} cannot be bound: ${fix}`, { cause: error });
}
