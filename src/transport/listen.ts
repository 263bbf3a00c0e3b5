/**
 * Binding a gRPC server to its address, with errors an operator can act upon.
 */
import type { Server } from "@grpc/grpc-js";
import { logVerbosity, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";
import { messageOf, QuorateError } from "../base/index.js";

/** Resolves with the port really bound. Rejects with a QuorateError that names the address. `purpose`: who connects there. */
export function listen(server: Server, address: string, purpose: string): Promise<number> {
  // grpc-js would write a line of its own to stderr; what fails is in the rejection. GRPC_VERBOSITY keeps its meaning.
  if (process.env["GRPC_VERBOSITY"] === undefined) setLogVerbosity(logVerbosity.NONE);
  return new Promise((resolve, reject) => {
    const refuse = (error: unknown): void => {
      reject(
        new QuorateError("QUORATE_CONFIG", `cannot listen on ${address} for ${purpose}: ${reasonOf(messageOf(error))}`, { cause: error }),
      );
    };
    try {
      server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else refuse(error);
      });
    } catch (error) {
      refuse(error);
    }
  });
}

function reasonOf(message: string): string {
  if (message.includes("EADDRINUSE")) return "the address is in use (EADDRINUSE); stop the other process or choose another port";
  if (message.includes("EACCES")) return "not permitted (EACCES); ports below 1024 need privileges";
  if (message.includes("EADDRNOTAVAIL")) return "this host has no such address (EADDRNOTAVAIL)";
  return message;
}
