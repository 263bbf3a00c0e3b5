/**
 * The published .proto files as an independent reader sees them: what codecs and services are held against.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const FILES = ["records", "peer", "session", "participant", "service", "coordinator"].map((name) => `quorate/v1/${name}.proto`);

export const PROTO_FOLDER = fileURLToPath(new URL("../../proto", import.meta.url));

let loaded: protobuf.Root | undefined;

/** Every message, enum and service of quorate.v1; read from disk once. */
export function schema(): protobuf.Root {
  if (loaded === undefined) {
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => join(PROTO_FOLDER, target);
    root.loadSync(FILES, { keepCase: false });
    root.resolveAll();
    loaded = root;
  }
  return loaded;
}
