/**
 * A service over gRPC on a free port of this machine, built from the published service.proto alone, by protobufjs.
 */
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall, type ServiceDefinition, type status } from "@grpc/grpc-js";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const PROTO = fileURLToPath(new URL("../../proto/quorate/v1/service.proto", import.meta.url));
/** Parsed on its own: the file stands alone. */
const { root } = protobuf.parse(readFileSync(PROTO, "utf8"));
const ServiceCall = root.lookupType("quorate.v1.ServiceCall");
const ServiceAnswer = root.lookupType("quorate.v1.ServiceAnswer");

export type GrpcCall = Record<string, unknown>;
export type GrpcAnswering = (
  call: GrpcCall,
) => { readonly vote?: number; readonly raw?: Uint8Array } | { readonly code: status; readonly details: string } | "silent";

export interface GrpcStub {
  readonly calls: GrpcCall[];
  readonly url: string;
  close(): void;
}

export async function startGrpcStub(answering: GrpcAnswering): Promise<GrpcStub> {
  const calls: GrpcCall[] = [];
  const published = root.lookupService("quorate.v1.Participant");
  const definition: ServiceDefinition = {
    Call: {
      path: `/quorate.v1.${published.name}/${published.methodsArray[0]?.name ?? ""}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: (bytes) => ServiceCall.toObject(ServiceCall.decode(bytes), { enums: String, longs: Number, defaults: true }),
      responseSerialize: (value: { vote?: number; raw?: Uint8Array }) =>
        Buffer.from(value.raw ?? ServiceAnswer.encode(ServiceAnswer.create(value)).finish()),
      responseDeserialize: () => undefined,
    },
  };
  const server = new Server();
  server.addService(definition, {
    Call(call: ServerUnaryCall<GrpcCall, unknown>, reply: sendUnaryData<unknown>) {
      calls.push(call.request);
      const said = answering(call.request);
      if (said === "silent") return;
      if ("code" in said) reply(said);
      else reply(null, said);
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { calls, url: `grpc://127.0.0.1:${port}`, close: () => server.forceShutdown() };
}
