/**
 * The byte level: varints, texts, growth of slabs, lifetimes.
 */
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { InvariantViolation } from "../../src/base/index.js";
import { codecs, WireError } from "../../src/wire/index.js";
import { ProtoReader } from "../../src/wire/proto-reader.js";
import { ProtoWriter } from "../../src/wire/proto-writer.js";
import * as arb from "./arbitraries.js";

describe("integers", () => {
  test("every safe integer round-trips, byte for byte as protobufjs writes it", () => {
    fc.assert(
      fc.property(arb.safe, (value) => {
        const w = new ProtoWriter(64);
        w.begin();
        w.uintPresent(1, value);
        const bytes = w.finish();
        expect(Buffer.from(bytes)).toEqual(Buffer.from(protobuf.Writer.create().uint32(8).uint64(value).finish()));
        const r = new ProtoReader(bytes);
        expect(r.tag()).toBe(8);
        expect(r.uint()).toBe(value);
        expect(r.tag()).toBe(0);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])("writing %d is an invariant violation", (value) => {
    const w = new ProtoWriter(64);
    w.begin();
    expect(() => w.uint(1, value)).toThrow(InvariantViolation);
  });

  test("integers above 2^53 - 1 are refused, not rounded", () => {
    const bytes = new Uint8Array([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]); // 2^53
    expect(() => new ProtoReader(bytes).uint()).toThrow("integer above 2^53 - 1");
    const all = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    expect(() => new ProtoReader(all).uint()).toThrow(WireError);
    expect(() => new ProtoReader(new Uint8Array(11).fill(0xff)).uint()).toThrow("varint longer than 10 bytes");
  });

  test("overlong varints are read as other parsers do", () => {
    expect(new ProtoReader(new Uint8Array([0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00])).uint()).toBe(1);
  });
});

describe("texts", () => {
  test("a text that is not UTF-8 is a WireError; U+FFFD itself is a text", () => {
    const r = (bytes: number[]): string => new ProtoReader(new Uint8Array([bytes.length, ...bytes])).text();
    expect(r([0xef, 0xbf, 0xbd])).toBe("\ufffd");
    expect(() => r([0xff])).toThrow("text is not UTF-8");
    expect(() => r([0xc3])).toThrow(WireError);
  });

  test("any Unicode text round-trips at any length", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 400 }), (text) => {
        const w = new ProtoWriter(32);
        w.begin();
        w.textPresent(1, text);
        const r = new ProtoReader(w.finish());
        expect(r.tag()).toBe(10);
        expect(r.text()).toBe(text);
      }),
    );
  });
});

test("short texts that were seen before are the same text, whatever else was seen in between", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary", maxLength: 6 }), { maxLength: 60 }), (texts) => {
      const wellFormed = texts.map((text) => Buffer.from(text, "utf8").toString("utf8"));
      for (const text of [...wellFormed, ...wellFormed]) {
        const encoded = Buffer.from(text, "utf8");
        expect(new ProtoReader(new Uint8Array([encoded.length, ...encoded])).text()).toBe(text);
      }
    }),
  );
});

describe("structure", () => {
  test("groups, field number 0 and unknown wire types are WireErrors", () => {
    for (const bytes of [[0x0b], [0x0c], [0x00], [0x02], [0x0e], [0x0f]]) {
      expect(() => {
        const r = new ProtoReader(new Uint8Array(bytes));
        r.skip(r.tag());
      }).toThrow(WireError);
    }
  });

  test("a nested length beyond its message is a WireError, even when the buffer goes on", () => {
    // ClientFrame.requests { length 2: request = 1 } holding a body that claims 5 bytes of the outer frame.
    expect(() => codecs.clientFrame.decode(new Uint8Array([0x12, 0x02, 0x12, 0x05, 0, 0, 0, 0, 0]))).toThrow("truncated");
  });

  test("a list of more than 65,536 items is a WireError before it fills the memory", () => {
    const empty = new Uint8Array(2 * 70_000);
    for (let i = 0; i < empty.length; i += 2) empty[i] = 0x1a;
    expect(() => codecs.participantFrame.decode(empty)).toThrow("more than 65536 items");
  });
});

describe("memory", () => {
  test("messages larger than a slab, and many messages on one slab, keep their bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 30 }), (payloads) => {
        const w = new ProtoWriter(128);
        const finished = payloads.map((payload) => {
          w.begin();
          const mark = w.mark();
          w.bytesPresent(3, payload);
          w.message(1, mark);
          return w.finish();
        });
        finished.forEach((bytes, index) => {
          const r = new ProtoReader(bytes);
          expect(r.tag()).toBe(10);
          r.enter();
          expect(r.tag()).toBe(26);
          expect(r.view()).toEqual(payloads[index]);
        });
      }),
    );
  });

  test("an encode that failed half-way leaves nothing in the next message", () => {
    const bad = { stampMs: -1, command: { kind: "FORGET" as const, gids: [] } };
    expect(() => codecs.command.encode(bad)).toThrow(InvariantViolation);
    const good = { stampMs: 7, command: { kind: "NOOP" as const } };
    expect(codecs.command.decode(codecs.command.encode(good))).toEqual(good);
  });

  test("a decoded command shares no memory with its bytes; entries of a frame do", () => {
    const put = {
      stampMs: 1,
      command: {
        kind: "PUT" as const,
        request: { client: "c", seq: 1, ackBelow: 0 },
        name: "n",
        value: new Uint8Array([1, 2, 3]),
        expect: undefined,
      },
    };
    const record = new Uint8Array(codecs.command.encode(put));
    const decoded = codecs.command.decode(record);
    record.fill(0);
    expect(decoded).toEqual(put);

    const zxid = { epoch: 1, counter: 1 };
    const frame = new Uint8Array(
      codecs.session.encode([
        { kind: "PROPOSE", epoch: 1, previous: zxid, entries: [{ zxid, payload: new Uint8Array([9]) }], commit: zxid },
      ]),
    );
    const [propose] = codecs.session.decode(frame);
    expect(propose?.kind === "PROPOSE" && propose.entries[0]?.payload.buffer === frame.buffer).toBe(true);
  });

  test("decoding from a part of a larger buffer stays inside that part", () => {
    const value = { stampMs: 3, command: { kind: "FLOOR" as const, timeMs: 9 } };
    const bytes = codecs.command.encode(value);
    const larger = Buffer.concat([Buffer.from([1, 2, 3]), bytes, Buffer.from([255, 255])]);
    expect(codecs.command.decode(larger.subarray(3, 3 + bytes.length))).toEqual(value);
  });
});
