/**
 * The published .proto files themselves.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { serviceShape, UNARY_METHODS, type ServiceName } from "../../src/wire/index.js";
import { PROTO_FOLDER, schema } from "./proto-files.js";

const FILES = ["records", "peer", "session", "participant", "service", "coordinator"];

/** Every nested namespace of the package, depth first. */
function all(space: protobuf.NamespaceBase): protobuf.ReflectionObject[] {
  return space.nestedArray.flatMap((one) => [one, ...(one instanceof protobuf.Namespace ? all(one) : [])]);
}

describe("published .proto files", () => {
  test("the folder holds all six files", () => {
    for (const file of FILES) expect(readFileSync(join(PROTO_FOLDER, `quorate/v1/${file}.proto`), "utf8")).toContain("package quorate.v1;");
  });

  test("every enum starts with an _UNSPECIFIED 0 and numbers are dense", () => {
    const enums = all(schema()).filter((one) => one instanceof protobuf.Enum);
    expect(enums.length).toBeGreaterThan(15);
    for (const one of enums) {
      expect(one.valuesById[0], one.fullName).toMatch(/_UNSPECIFIED$/);
      expect(Object.values(one.values).sort((a, b) => a - b)).toEqual(Object.keys(one.values).map((_, index) => index));
    }
  });

  test("no 64-bit or signed surprise: integers are uint32 or uint64, as the codecs read them", () => {
    const scalars = new Set(["uint32", "uint64", "bool", "string", "bytes", "double"]);
    for (const one of all(schema())) {
      if (!(one instanceof protobuf.Type)) continue;
      for (const field of one.fieldsArray) {
        expect(field.resolvedType !== null || scalars.has(field.type), `${one.fullName}.${field.name}: ${field.type}`).toBe(true);
      }
    }
  });

  test("the list of services says what the files say", () => {
    const services = all(schema()).filter((one) => one instanceof protobuf.Service);
    expect(services.map((one) => one.name).sort()).toEqual(["Coordinator", "Participant", "Participants", "Peer", "Session"]);
    for (const service of services) {
      const published = service.methodsArray.map((method) => [
        method.name,
        {
          path: `/quorate.v1.${service.name}/${method.name}`,
          requestStream: method.requestStream === true,
          responseStream: method.responseStream === true,
        },
      ]);
      expect(Object.entries(serviceShape(service.name as ServiceName))).toEqual(published);
    }
  });

  test("streams and calls are what the transport opens", () => {
    expect(serviceShape("Session")).toEqual({
      Open: { path: "/quorate.v1.Session/Open", requestStream: true, responseStream: true },
    });
    expect(serviceShape("Participants")).toEqual({
      Attach: { path: "/quorate.v1.Participants/Attach", requestStream: true, responseStream: true },
    });
    expect(serviceShape("Peer")["Snapshot"]).toEqual({ path: "/quorate.v1.Peer/Snapshot", requestStream: false, responseStream: true });
  });

  test("every unary method of the service has its codecs, and no other", () => {
    expect(Object.keys(serviceShape("Coordinator")).sort()).toEqual([...Object.keys(UNARY_METHODS), "MoveLeader", "Status"].sort());
  });
});
