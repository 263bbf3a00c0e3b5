/**
 * A plugin for fastify: `app.register(fastifyService({ handlers }), { prefix: "/quorate" })`.
 */
import type { HttpServiceOptions } from "./contract.js";
import { Endpoint } from "./endpoint.js";
import type { Headers } from "./call-headers.js";

export interface ScopedReply {
  code(status: number): unknown;
  header(name: string, value: string): unknown;
  send(body?: unknown): unknown;
}

export interface ScopedRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly body: unknown;
}

/** As much of a fastify instance as is used, so that nothing of fastify is imported. */
export interface FastifyScope {
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(
    type: string,
    options: { readonly parseAs: "buffer"; readonly bodyLimit: number },
    parser: (request: never, body: Buffer, done: (error: Error | null, body?: unknown) => void) => void,
  ): unknown;
  route(options: {
    readonly method: "POST";
    readonly url: string;
    readonly handler: (request: ScopedRequest, reply: ScopedReply) => Promise<unknown>;
  }): unknown;
}

/** Body parsers are changed inside the plugin's own scope only. Throws QUORATE_INVALID_ARGUMENT naming the option. */
export function fastifyService<Handle = undefined, Payload = unknown>(
  options: HttpServiceOptions<Handle, Payload>,
): (scope: FastifyScope) => Promise<void> {
  const endpoint = new Endpoint(options as HttpServiceOptions);
  const handle = async ({ method, headers, body }: ScopedRequest, reply: ScopedReply): Promise<unknown> => {
    const bytes = body instanceof Uint8Array ? body : new Uint8Array(0);
    const answer = await endpoint.answer(method, headers, { bytes });
    reply.code(answer.status);
    reply.header("content-type", "application/json");
    return reply.send(answer.body === undefined ? "{}" : JSON.stringify(answer.body));
  };
  return (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: endpoint.bodyBytesMax }, (_request, body, done) => done(null, body));
    scope.route({ method: "POST", url: "/", handler: handle });
    return Promise.resolve();
  };
}
