/**
 * A real HTTP server on a free port of this machine, whose behaviour a test decides request by request.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface StubCall {
  readonly gid: string;
  readonly branch: string;
  readonly phase: string;
  readonly attempt: number;
  readonly epoch: number;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export class HttpStub implements AsyncDisposable {
  readonly calls: StubCall[] = [];
  readonly #server: Server;
  /** Behaviour from now on. */
  handle: (call: StubCall, response: ServerResponse) => Promise<void> | void;

  private constructor(handle: HttpStub["handle"]) {
    this.handle = handle;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** `port` 0: a free one. */
  static async start(handle: HttpStub["handle"], port = 0): Promise<HttpStub> {
    const stub = new HttpStub(handle);
    await new Promise<void>((resolve, reject) => stub.#server.once("error", reject).listen(port, "127.0.0.1", resolve));
    return stub;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/quorate`;
  }

  phases(gid: string): string[] {
    return this.calls.filter((call) => call.gid === gid).map((call) => call.phase);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const header = (name: string): string => String(request.headers[`quorate-${name}`] ?? "");
    const call: StubCall = {
      gid: header("gid"),
      branch: header("branch"),
      phase: header("phase"),
      attempt: Number(header("attempt")),
      epoch: Number(header("epoch")),
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: Buffer.concat(chunks).toString("utf8"),
    };
    this.calls.push(call);
    await this.handle(call, response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export function answer(response: ServerResponse, status: number, body?: unknown, contentType = "application/json"): void {
  const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  response.writeHead(status, text === "" ? {} : { "content-type": contentType }).end(text);
}
