/**
 * The codecs against protobufjs's reading of the published .proto files, both ways.
 */
import { OUTCOME_PAGE_ROWS, OUTCOME_ROW_WORDS, OUTCOME_SHAPE_WORD } from "../../src/txn/index.js";
import fc from "fast-check";
import type { Arbitrary } from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import type { Gid } from "../../src/base/index.js";
import type { Request } from "../../src/coordinator/index.js";
import { join } from "node:path";
import type { Codec } from "../../src/wire/index.js";
import { codecs, controlFrameCodec, snapshotFrameCodec, UNARY_METHOD_OF, UNARY_METHODS, WireError } from "../../src/wire/index.js";
import * as arb from "./arbitraries.js";
import * as generic from "./generic.js";
import { PROTO_FOLDER } from "./proto-files.js";

interface Case<T> {
  readonly message: string;
  readonly codec: Codec<T>;
  readonly values: Arbitrary<T>;
  readonly toGeneric: (value: T) => generic.Generic;
}

function erase<T>(one: Case<T>): Case<unknown> {
  return one as unknown as Case<unknown>;
}

const list = <T>(values: Arbitrary<T>): Arbitrary<T[]> => fc.array(values, { maxLength: 5 });

const CASES: readonly Case<unknown>[] = [
  erase({ message: "LogRecord", codec: codecs.command, values: arb.stamped, toGeneric: generic.logRecord }),
  erase({ message: "ControlFrame", codec: codecs.control, values: list(arb.control), toGeneric: (m) => generic.controlFrame(m) }),
  erase({
    message: "ControlFrame",
    codec: controlFrameCodec,
    values: fc.record({ messages: list(arb.control), proof: arb.safe }),
    toGeneric: (f) => generic.controlFrame(f.messages, f.proof),
  }),
  erase({ message: "FollowFrame", codec: codecs.session, values: list(arb.sessionMessage), toGeneric: generic.followFrame }),
  erase({ message: "ClientFrame", codec: codecs.clientFrame, values: arb.clientFrame, toGeneric: generic.clientFrame }),
  erase({ message: "ServerFrame", codec: codecs.serverFrame, values: arb.serverFrame, toGeneric: generic.serverFrame }),
  erase({
    message: "ParticipantFrame",
    codec: codecs.participantFrame,
    values: arb.participantFrame,
    toGeneric: generic.participantFrame,
  }),
  erase({
    message: "CoordinatorFrame",
    codec: codecs.coordinatorFrame,
    values: arb.coordinatorFrame,
    toGeneric: generic.coordinatorFrame,
  }),
  erase({ message: "NodeView", codec: codecs.nodeView, values: arb.view, toGeneric: generic.nodeView }),
  erase({ message: "NodeStatus", codec: codecs.nodeStatus, values: arb.status, toGeneric: generic.nodeStatus }),
  erase({
    message: "SnapshotFrame",
    codec: snapshotFrameCodec,
    values: fc.record({
      entries: list(fc.record({ key: arb.text, value: arb.bytes })),
      end: fc.option(fc.record({ entries: arb.safe, crc32c: arb.uint32 }), { nil: undefined }),
    }),
    toGeneric: ({ entries, end }) => (end === undefined ? { entries } : { entries, end }),
  }),
];

/** The schema of a later version: every message has got fields that this one does not know. */
function laterSchema(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(PROTO_FOLDER, target);
  root.loadSync(["quorate/v1/peer.proto", "quorate/v1/participant.proto"], { keepCase: false });
  const extend = (space: protobuf.NamespaceBase): void => {
    for (const member of space.nestedArray) {
      if (member instanceof protobuf.Type) {
        member.add(new protobuf.Field("laterText", 900, "string"));
        member.add(new protobuf.Field("laterInt", 901, "uint64"));
        member.add(new protobuf.Field("laterFixed32", 902, "fixed32"));
        member.add(new protobuf.Field("laterFixed64", 903, "fixed64"));
      }
      if (member instanceof protobuf.Namespace) extend(member);
    }
  };
  extend(root);
  root.resolveAll();
  return root;
}

/** The value with the later fields set in it and in everything inside it. */
function withLaterFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withLaterFields);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return {
    ...Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withLaterFields(member)])),
    laterText: "later",
    laterInt: 2 ** 40,
    laterFixed32: 7,
    laterFixed64: 2 ** 33,
  };
}

const later = laterSchema();

describe.each(CASES)("$message", ({ message, codec, values, toGeneric }) => {
  test("what is encoded reads as the same message under the published .proto", () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(generic.plain(message, codec.encode(value))).toEqual(generic.plainOf(message, toGeneric(value)));
      }),
    );
  });

  test("what protobufjs writes under the published .proto decodes to the same value", () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(codec.decode(generic.encodeGeneric(message, toGeneric(value)))).toEqual(value);
      }),
    );
  });

  test("encode and decode are inverse", () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(codec.decode(codec.encode(value))).toEqual(value);
      }),
    );
  });

  test("fields of a later version are skipped, at every depth", () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = generic.encodeGeneric(message, withLaterFields(toGeneric(value)) as generic.Generic, later);
        expect(codec.decode(bytes)).toEqual(value);
      }),
      { numRuns: 50 },
    );
  });

  test("every truncation decodes or is a WireError", () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = codec.encode(value);
        for (let length = 0; length < bytes.length; length += 1 + Math.floor(bytes.length / 200)) {
          onlyWireError(() => codec.decode(bytes.subarray(0, length)));
        }
      }),
      { numRuns: 30 },
    );
  });

  test("damaged and random bytes decode or are a WireError", () => {
    fc.assert(
      fc.property(values, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }), (value, damage) => {
        const bytes = new Uint8Array(codec.encode(value));
        for (const [at, byte] of damage) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        onlyWireError(() => codec.decode(bytes));
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => onlyWireError(() => codec.decode(bytes))),
      { numRuns: 500 },
    );
  });
});

function onlyWireError(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
  }
}

describe("stored state", () => {
  test("values read as the same message under the published .proto, and back", () => {
    fc.assert(
      fc.property(arb.stateChange, (change) => {
        const { message, value } = generic.storedValue(change);
        const bytes = codecs.stateChange.encodeValue(change);
        expect(bytes).toBeDefined();
        expect(generic.plain(message, bytes as Uint8Array)).toEqual(generic.plainOf(message, value));
        expect(codecs.stateChange.decode(codecs.stateChange.encodeKey(change), generic.encodeGeneric(message, value))).toEqual(change);
      }),
    );
  });

  test("keys are a letter and the name", () => {
    fc.assert(
      fc.property(arb.stateChange, (change) => {
        const letter = { transaction: "t/", outcomes: "q/", outcome: "o/", register: "r/", participant: "p/", client: "c/", meta: "" }[
          change.kind
        ];
        expect(codecs.stateChange.encodeKey(change)).toBe(letter + change.key);
      }),
    );
  });

  test("a page of outcomes without rows, of half a row, or with a row of no shape is a WireError", () => {
    const shape = { group: "q", decision: "commit" as const, reason: undefined, branches: [] };
    expect([OUTCOME_PAGE_ROWS, OUTCOME_ROW_WORDS, OUTCOME_SHAPE_WORD]).toEqual([1024, 10, 9]);
    const decode = (rows: Uint32Array, shapes = [shape]): unknown => {
      const bytes = codecs.stateChange.encodeValue({ kind: "outcomes", key: "3", value: { page: 3, rows, shapes } });
      return codecs.stateChange.decode("q/3", bytes as Uint8Array);
    };
    expect(decode(new Uint32Array(10))).toMatchObject({ kind: "outcomes", key: "3" });
    expect(() => decode(new Uint32Array(0))).toThrow(WireError);
    expect(() => decode(new Uint32Array(15))).toThrow(/no multiple of 40/);
    expect(() => decode(new Uint32Array(10 * 1025))).toThrow(/1025 rows/);
    expect(() => decode(new Uint32Array(10), [])).toThrow(/a row of shape 0 in a page of 0 shapes/);
  });

  test("a removal has no value", () => {
    expect(codecs.stateChange.encodeValue({ kind: "register", key: "a", value: undefined })).toBeUndefined();
  });

  test("a value under another key is a WireError", () => {
    fc.assert(
      fc.property(arb.stateChange, (change) => {
        fc.pre(change.kind !== "meta");
        const bytes = codecs.stateChange.encodeValue(change) as Uint8Array;
        expect(() => codecs.stateChange.decode(`${codecs.stateChange.encodeKey(change)}x`, bytes)).toThrow(WireError);
      }),
    );
  });

  test("random keys and bytes are a WireError or a change", () => {
    fc.assert(
      fc.property(fc.constantFrom("t/", "o/", "r/", "p/", "c/", "meta", "x/", ""), fc.uint8Array(), (key, bytes) =>
        onlyWireError(() => codecs.stateChange.decode(key, bytes)),
      ),
    );
  });
});

describe("unary Coordinator messages", () => {
  test("requests read as their own message under the published .proto, and back", () => {
    fc.assert(
      fc.property(arb.request, (body) => {
        const { message, value } = generic.requestMember(body);
        const codec: Codec<Request> = UNARY_METHODS[UNARY_METHOD_OF[body.kind]].request;
        expect(generic.plain(message, codec.encode(body))).toEqual(generic.plainOf(message, value));
        expect(codec.decode(generic.encodeGeneric(message, value))).toEqual(body);
      }),
    );
  });

  test("answers read as their own message under the published .proto, and back", () => {
    fc.assert(
      fc.property(arb.answer, (answer) => {
        fc.pre(answer.kind !== "error" && answer.kind !== "ok");
        const { message, value } = generic.answerMember(answer);
        const method = Object.values(UNARY_METHODS).find((one) => accepts(() => one.answer.encode(answer)));
        if (method === undefined) throw new Error(`no method answers ${answer.kind}`);
        expect(generic.plain(message, method.answer.encode(answer))).toEqual(generic.plainOf(message, value));
        expect(method.answer.decode(generic.encodeGeneric(message, value))).toEqual(answer);
      }),
    );
  });

  test("a list without state and limit is all, 100 at most", () => {
    expect(UNARY_METHODS.List.request.decode(new Uint8Array(0))).toEqual({ kind: "list", state: "all", limit: 100 });
  });
});

function accepts(encode: () => unknown): boolean {
  try {
    encode();
    return true;
  } catch {
    return false;
  }
}

describe("what must not be guessed", () => {
  test("a record of an unknown command is a WireError, not a command that does nothing", () => {
    const unknown = generic.encodeGeneric("LogRecord", { stampMs: 5 });
    expect(() => codecs.command.decode(unknown)).toThrow("LogRecord: no command that this version knows");
  });

  test("a decision without its value is a WireError", () => {
    const bytes = generic.encodeGeneric("LogRecord", { stampMs: 5, decide: { gid: "q-1" } });
    expect(() => codecs.command.decode(bytes)).toThrow("decision is missing");
  });

  test("an enum value of a later version is a WireError", () => {
    const bytes = generic.encodeGeneric("LogRecord", { stampMs: 5, decide: { gid: "q-1", decision: 9 } });
    expect(() => codecs.command.decode(bytes)).toThrow("decision has the unknown value 9");
  });

  test("a branch that is tried has a mode of its own, which a version that knows none of it stops at", () => {
    const branch = { id: "b", participant: "p", mode: "asked" as const, payload: new Uint8Array(0), kind: "tcc" as const };
    const bytes = codecs.command.encode({ stampMs: 5, command: { kind: "ENLIST", gid: "q-1" as Gid, branch } });
    expect(generic.plain("LogRecord", bytes)).toMatchObject({ enlist: { branch: { mode: "BRANCH_MODE_TCC_ASKED" } } });
    const later = generic.encodeGeneric("LogRecord", { stampMs: 5, enlist: { gid: "q-1", branch: { id: "b", mode: 5 } } });
    expect(() => codecs.command.decode(later)).toThrow("mode has the unknown value 5");
  });

  test("a vote in answer to commit, and done in answer to prepare, are WireErrors", () => {
    const frame = (reply: generic.Generic): Uint8Array => generic.encodeGeneric("ParticipantFrame", { replies: [reply] });
    expect(() => codecs.participantFrame.decode(frame({ phase: "BRANCH_PHASE_COMMIT", vote: { vote: "VOTE_YES" } }))).toThrow(
      "a vote in answer to commit",
    );
    expect(() => codecs.participantFrame.decode(frame({ phase: "BRANCH_PHASE_PREPARE", done: {} }))).toThrow("done in answer to prepare");
  });

  test("an error code of a later version keeps its outcome and retry", () => {
    const bytes = generic.encodeGeneric("ServerFrame", {
      answers: [{ request: 1, error: { code: "QUORATE_LATER", message: "m", outcome: "OUTCOME_UNKNOWN", retry: "RETRY_SAME_REQUEST_ID" } }],
    });
    expect(codecs.serverFrame.decode(bytes).answers[0]?.answer).toMatchObject({
      code: "QUORATE_INTERNAL",
      message: "QUORATE_LATER (unknown to this version): m",
      outcome: "unknown",
      retry: "same-request-id",
    });
  });
});
