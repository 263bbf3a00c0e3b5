/**
 * The published .proto files, and the gRPC services they define.
 *
 * The files are the truth: paths and streaming of every method come from them, at start, and never from a second list in code.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { must } from "../base/index.js";

const FILES = ["records", "peer", "session", "participant", "coordinator"].map((name) => `quorate/v1/${name}.proto`);

/** The folder of the .proto files: searched upward, because this module runs from src and from dist/src. */
export function protoFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, "proto");
    if (existsSync(join(candidate, must(FILES[0], "a proto file")))) return candidate;
    if (folder === dirname(folder)) throw new Error("the folder proto/quorate/v1 of this package is missing: install the package again");
  }
}

let loaded: protobuf.Root | undefined;

/** Every message, enum and service of quorate.v1; read from disk once. */
export function schema(): protobuf.Root {
  if (loaded === undefined) {
    const folder = protoFolder();
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => join(folder, target);
    root.loadSync(FILES, { keepCase: false });
    root.resolveAll();
    loaded = root;
  }
  return loaded;
}

export type ServiceName = "Peer" | "Session" | "Participants" | "Coordinator";

export interface MethodShape {
  /** "/quorate.v1.Session/Open" */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** The methods of a service by their names. */
export function serviceShape(service: ServiceName): Readonly<Record<string, MethodShape>> {
  const methods = schema().lookupService(`quorate.v1.${service}`).methods;
  return Object.fromEntries(
    Object.entries(methods).map(([name, shape]) => [
      name,
      {
        path: `/quorate.v1.${service}/${name}`,
        requestStream: shape.requestStream === true,
        responseStream: shape.responseStream === true,
      },
    ]),
  );
}
