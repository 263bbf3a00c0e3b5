/**
 * Handlers for node:http and express: the same function shape, with or without a body that was parsed before.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpServiceOptions } from "./contract.js";
import { Endpoint, type CallBody, type HttpReply } from "./endpoint.js";

/**
 * For `http.createServer(nodeHandler({ handlers }))`, or for one route of a server. Answers every request itself.
 * Throws QUORATE_INVALID_ARGUMENT naming the option.
 */
export function nodeHandler<Handle = undefined, Payload = unknown>(
  options: HttpServiceOptions<Handle, Payload>,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const endpoint = new Endpoint(options as HttpServiceOptions);
  return async (request, response) => {
    const body = await readBody(request, endpoint.bodyBytesMax);
    if (body === "gone") return;
    const reply = body === "too-long" ? endpoint.tooLong() : await endpoint.answer(request.method ?? "", request.headers, body);
    send(response, reply, body === "too-long");
  };
}

/** A request of express. Other frameworks with the same habits fit too. */
export type ParsedRequest = IncomingMessage & { readonly body?: unknown };

/** For `app.post("/quorate", expressHandler({ handlers }))`, with or without `express.json()` before it. */
export function expressHandler<Handle = undefined, Payload = unknown>(
  options: HttpServiceOptions<Handle, Payload>,
): (request: ParsedRequest, response: ServerResponse) => Promise<void> {
  const endpoint = new Endpoint(options as HttpServiceOptions);
  return async (request, response) => {
    const read = bodyBefore(request) ?? (await readBody(request, endpoint.bodyBytesMax));
    if (read === "gone") return;
    const reply = read === "too-long" ? endpoint.tooLong() : await endpoint.answer(request.method ?? "", request.headers, read);
    send(response, reply, read === "too-long");
  };
}

/** What a body parser left; undefined when the body is still to be read. */
function bodyBefore({ body, readableEnded }: ParsedRequest): CallBody | undefined {
  if (body instanceof Uint8Array) return { bytes: body };
  if (typeof body === "string") return { bytes: new TextEncoder().encode(body) };
  if (body !== undefined) return { parsed: body };
  return readableEnded ? { bytes: new Uint8Array(0) } : undefined;
}

async function readBody(request: IncomingMessage, bytesMax: number): Promise<CallBody | "too-long" | "gone"> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // Leaving the loop early would destroy the connection before it is answered.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) return "too-long";
      chunks.push(chunk);
    }
  } catch {
    return "gone";
  }
  return { bytes: Buffer.concat(chunks) };
}

function send(response: ServerResponse, { status, body }: HttpReply, last: boolean): void {
  const text = body === undefined ? "" : JSON.stringify(body);
  response.writeHead(status, {
    "content-length": Buffer.byteLength(text),
    ...(text === "" ? {} : { "content-type": "application/json" }),
    ...(status === 405 ? { allow: "POST" } : {}),
    // What is left of the body is not read, so the connection cannot serve another call.
    ...(last ? { connection: "close" } : {}),
  });
  response.end(text);
}
