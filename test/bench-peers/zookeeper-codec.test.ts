/**
 * The bytes of ZooKeeper's client protocol as `zookeeper.jute` defines them, written out by hand.
 */
import { describe, expect, test } from "vitest";
import { InBuffer } from "../bench/peers/out-buffer.mjs";
import {
  FRAME_OVERHEAD,
  readConnected,
  readReply,
  writeCloseSession,
  writeConnect,
  writeCreate,
  writePing,
  writeSetData,
} from "../bench/peers/zookeeper-codec.mjs";

const VALUE = Buffer.from([1, 2, 3]);

/** What a writer put behind seven bytes of something else, as hex digits. */
function written(write: (buffer: Buffer, at: number) => number): string {
  const buffer = Buffer.alloc(200, 0xee);
  const end = write(buffer, 7);
  expect(buffer.subarray(0, 7).equals(Buffer.alloc(7, 0xee))).toBe(true);
  expect(buffer.subarray(end).every((byte) => byte === 0xee)).toBe(true);
  return buffer.toString("hex", 7, end);
}

function hex(...parts: readonly string[]): string {
  return parts.join("").replaceAll(" ", "");
}

describe("frames that are sent", () => {
  test("a connect request asks for a new session with this timeout", () => {
    expect(written((buffer, at) => writeConnect(buffer, at, 30_000))).toBe(
      hex(
        "0000002d", // 45 bytes follow
        "00000000", // protocolVersion
        "0000000000000000", // lastZxidSeen
        "00007530", // timeOut
        "0000000000000000", // sessionId
        "00000010 00000000000000000000000000000000", // passwd
        "00", // readOnly
      ),
    );
  });

  test("a create makes a persistent node that the world may change", () => {
    expect(written((buffer, at) => writeCreate(buffer, at, 5, "/ab", VALUE))).toBe(
      hex(
        "00000035", // 53 bytes follow
        "00000005 00000001", // xid, type create
        "00000003 2f6162", // path
        "00000003 010203", // data
        "00000001 0000001f", // one ACL: all permissions
        `00000005 ${Buffer.from("world").toString("hex")}`,
        `00000006 ${Buffer.from("anyone").toString("hex")}`,
        "00000000", // flags
      ),
    );
  });

  test("a setData overwrites any version", () => {
    expect(written((buffer, at) => writeSetData(buffer, at, 0x01020304, "/ab", VALUE))).toBe(
      hex("0000001a", "01020304 00000005", "00000003 2f6162", "00000003 010203", "ffffffff"),
    );
  });

  test("a ping and the end of a session are headers alone", () => {
    expect(written(writePing)).toBe(hex("00000008", "fffffffe 0000000b"));
    expect(written((buffer, at) => writeCloseSession(buffer, at, 9))).toBe(hex("00000008", "00000009 fffffff5"));
  });

  test("no frame is longer than its path, its value and the room reserved for the rest", () => {
    const path = "/a-longer-path";
    for (const write of [writeCreate, writeSetData])
      expect(write(Buffer.alloc(500), 0, 1, path, VALUE)).toBeLessThanOrEqual(FRAME_OVERHEAD + path.length + VALUE.length);
    expect(writeConnect(Buffer.alloc(500), 0, 1)).toBeLessThanOrEqual(FRAME_OVERHEAD);
  });
});

describe("frames that are received", () => {
  test("a connect response tells the session and its timeout", () => {
    const record = Buffer.from(hex("00000000", "00009c40", "0123456789abcdef", "00000010", "00".repeat(16), "00"), "hex");
    expect(readConnected(record, 0)).toEqual({ timeoutMs: 40_000, session: 0x0123456789abcdefn });
  });

  test("a reply tells which request failed and how", () => {
    const record = Buffer.from(hex("ee", "00000007", "0000000100000002", "ffffff92"), "hex");
    expect(readReply(record, 1)).toEqual({ xid: 7, zxid: 0x100000002n, error: -110 });
  });

  test("bytes become the same frames however they are cut", () => {
    const frames = ["a", "bcd", "", "efghijk"];
    const stream = Buffer.concat(frames.map((text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)])));
    for (let first = 0; first <= stream.length; first++)
      for (let second = first; second <= stream.length; second++) {
        const taken: string[] = [];
        const reader = new InBuffer();
        for (const chunk of [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)])
          reader.push(chunk, (buffer, at, end) => {
            const next = at + 1 + (buffer[at] ?? 0);
            if (next > end) return -1;
            taken.push(buffer.toString("latin1", at + 1, next));
            return next;
          });
        expect(taken).toEqual(frames);
      }
  });
});
