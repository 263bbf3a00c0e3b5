/**
 * etcd's requests, read by protobufjs with etcd's own field numbers; and unary calls, understood by the gRPC library.
 */
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRequest, putRequest, readStatus, readWritten } from "../bench/peers/etcd-codec.mjs";
import { GrpcConnection } from "../bench/peers/grpc-connection.mjs";

/** The part of rpc.proto that is used. */
const { root } = protobuf.parse(
  `syntax = "proto3";
  message ResponseHeader { uint64 cluster_id = 1; uint64 member_id = 2; int64 revision = 3; uint64 raft_term = 4; }
  message PutRequest { bytes key = 1; bytes value = 2; int64 lease = 3; bool prev_kv = 4; bool ignore_value = 5; bool ignore_lease = 6; }
  message RequestOp { oneof request { PutRequest request_put = 2; } }
  message Compare {
    enum CompareResult { EQUAL = 0; GREATER = 1; LESS = 2; NOT_EQUAL = 3; }
    enum CompareTarget { VERSION = 0; CREATE = 1; MOD = 2; VALUE = 3; LEASE = 4; }
    CompareResult result = 1; CompareTarget target = 2; bytes key = 3;
    oneof target_union { int64 version = 4; int64 create_revision = 5; int64 mod_revision = 6; bytes value = 7; }
  }
  message TxnRequest { repeated Compare compare = 1; repeated RequestOp success = 2; repeated RequestOp failure = 3; }
  message PutResponse { ResponseHeader header = 1; }
  message TxnResponse { ResponseHeader header = 1; bool succeeded = 2; }
  message StatusResponse {
    ResponseHeader header = 1; string version = 2; int64 dbSize = 3; uint64 leader = 4; uint64 raftIndex = 5; uint64 raftTerm = 6;
    uint64 raftAppliedIndex = 7;
  }`,
  { keepCase: true },
);
const VALUE = Buffer.from("v".repeat(300));

function decoded(type: string, bytes: Uint8Array): unknown {
  const message = root.lookupType(type);
  return message.toObject(message.decode(bytes), { bytes: String, enums: String, longs: String, oneofs: true });
}

function encoded(type: string, value: Record<string, unknown>): Buffer {
  const message = root.lookupType(type);
  return Buffer.from(message.encode(message.fromObject(value)).finish());
}

describe("requests", () => {
  test("a put is these bytes", () => {
    expect(putRequest("ab", Buffer.from([7, 8])).toString("hex")).toBe("0a0261621202" + "0708");
  });

  test("a put names key and value and nothing else", () => {
    const [key, value] = [Buffer.from("bench/1").toString("base64"), VALUE.toString("base64")];
    expect(decoded("PutRequest", putRequest("bench/1", VALUE))).toEqual({ key, value });
  });

  test("a create puts only where no key was ever created", () => {
    const [key, value] = [Buffer.from("bench/1").toString("base64"), VALUE.toString("base64")];
    expect(decoded("TxnRequest", createRequest("bench/1", VALUE))).toEqual({
      compare: [{ target: "CREATE", key, create_revision: "0", target_union: "create_revision" }],
      success: [{ request_put: { key, value }, request: "request_put" }],
    });
  });
});

describe("answers", () => {
  test("a revision, and whether the comparison held", () => {
    const header = { cluster_id: "14841639068965178418", member_id: "10276657743932975437", revision: 8_000_000_000, raft_term: 3 };
    const put = encoded("PutResponse", { header });
    expect(readWritten(Buffer.concat([Buffer.from("xx"), put]), 2, put.length + 2)).toEqual({ revision: 8_000_000_000, succeeded: false });
    const txn = encoded("TxnResponse", { header, succeeded: true });
    expect(readWritten(txn, 0, txn.length)).toEqual({ revision: 8_000_000_000, succeeded: true });
  });

  test("a status keeps all 64 bits of its ids", () => {
    const header = { member_id: "10276657743932975437" };
    const answer = {
      header,
      version: "3.4.23",
      dbSize: 20480,
      leader: "10276657743932975438",
      raftIndex: 300,
      raftTerm: 2,
      raftAppliedIndex: 299,
    };
    expect(readStatus(encoded("StatusResponse", answer))).toEqual({
      member: 10276657743932975437n.toString(16),
      leader: 10276657743932975438n.toString(16),
      version: "3.4.23",
      raftIndex: 300,
      appliedIndex: 299,
    });
  });

  test("a message that ends within a field is refused", () => {
    expect(() => readWritten(Buffer.from([0x10, 0x80]), 0, 2)).toThrow("in the middle of a field");
  });
});

describe("calls", () => {
  const server = new Server();
  let port = 0;
  const unary = {
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  } as const;

  beforeAll(async () => {
    server.addService(
      {
        echo: { ...unary, path: "/test.Echo/Echo" },
        repeat: { ...unary, path: "/test.Echo/Repeat" },
        refuse: { ...unary, path: "/test.Echo/Refuse" },
      },
      {
        echo: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done(null, call.request),
        repeat: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) =>
          done(null, Buffer.concat(Array.from({ length: 10_000 }, () => call.request))),
        refuse: (_: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done({ code: status.UNAVAILABLE, details: "not now" }),
      },
    );
    port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
  });
  afterAll(() => server.forceShutdown());

  /** Calls this method with each message, all at once; the answers or refusals in the messages' order. */
  function callAll(path: string, messages: readonly Buffer[]): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      const answers: string[] = [];
      let left = messages.length;
      const connection = new GrpcConnection({ host: "127.0.0.1", port }, path, {
        onUp() {
          messages.forEach((message, i) =>
            connection.call(message, (error, buffer, at, end) => {
              answers[i] = error ?? buffer.toString("latin1", at, end);
              left -= 1;
              if (left > 0) return;
              resolve(answers);
              connection.destroy();
            }),
          );
        },
        onDown: (reason) => reject(new Error(reason)),
      });
    });
  }

  test("each gets its own answer, far beyond what the server's first window takes", async () => {
    const messages = Array.from({ length: 3000 }, (_, i) => Buffer.from(`${i}:${"x".repeat(i % 700)}`));
    expect(await callAll("/test.Echo/Echo", messages)).toEqual(messages.map((message) => message.toString("latin1")));
  });

  test("answers longer than a frame are put together", async () => {
    const messages = [Buffer.from("abcdefg"), Buffer.alloc(0), Buffer.from("xyz")];
    expect(await callAll("/test.Echo/Repeat", messages)).toEqual(messages.map((message) => message.toString().repeat(10_000)));
  });

  test("a message that one frame cannot hold is refused where it is made", () => {
    const connection = new GrpcConnection({ host: "127.0.0.1", port }, "/test.Echo/Echo", { onUp() {}, onDown() {} });
    expect(() => connection.call(Buffer.alloc(16_385), () => undefined)).toThrow("does not fit into one frame");
    connection.destroy();
  });

  test("a refusal is not taken for an answer", async () => {
    expect(await callAll("/test.Echo/Refuse", [Buffer.from("a")])).toEqual(["refused"]);
    expect(await callAll("/test.Echo/Nothing", [Buffer.from("a")])).toEqual(["refused"]);
  });
});
