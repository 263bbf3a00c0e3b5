/**
 * What encoding and decoding cost: nanoseconds per record or item, one core. `npm run build` first.
 *
 * Prints one JSON line per case. QUORATE_DIST names another build folder than dist.
 */
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import protobuf from "protobufjs";
import { join, resolve } from "node:path";

const dist = process.env.QUORATE_DIST ?? "dist";
const { codecs } = await import(pathToFileURL(resolve(dist, "src/wire/index.js")).href);
const { version } = createRequire(import.meta.url)("protobufjs/package.json");

const gid = "q-0192f0c1a2b37c4d8e9f0a1b2c3d4e5f";
const client = "0192f0c1a2b37c4d8e9f0a1b2c3d4e5f";
const payload = new Uint8Array(256).fill(7);
const branch = (id, bytes) => ({ id, participant: `${id}-db`, mode: "asked", payload: bytes });

const stamped = {
  PUT: { kind: "PUT", request: { client, seq: 123_456, ackBelow: 123_000 }, name: "accounts/4711", value: payload, expect: undefined },
  BEGIN: { kind: "BEGIN", gid, client, timeoutMs: 10_000, branches: [branch("orders", payload), branch("stock", payload)], votes: [] },
  DECIDE: { kind: "DECIDE", gid, decision: "commit", reason: undefined, detail: "", yes: ["orders", "stock"], readOnly: [] },
  DONE: { kind: "DONE", branches: Array.from({ length: 64 }, () => ({ gid, branch: "orders" })) },
};

function measure(name, items, run) {
  const rounds = [];
  for (let round = 0; round < 12; round++) {
    const at = process.hrtime.bigint();
    const times = Math.max(1, Math.floor(100_000 / items));
    for (let i = 0; i < times; i++) run();
    rounds.push(Number(process.hrtime.bigint() - at) / (times * items));
  }
  // The first rounds warm the compiler up. The fastest round is what it costs; the median says what the machine was doing besides.
  const sorted = rounds.slice(4).sort((a, b) => a - b);
  console.log(JSON.stringify({ case: name, ns: Math.round(sorted[0]), nsMedian: Math.round(sorted[Math.floor(sorted.length / 2)]) }));
}

function both(name, codec, value, items) {
  const bytes = codec.encode(value);
  measure(`${name} encode (${Math.round(bytes.length / items)} B each)`, items, () => codec.encode(value));
  measure(`${name} decode`, items, () => codec.decode(bytes));
  return bytes;
}

for (const [name, command] of Object.entries(stamped)) both(`record ${name}`, codecs.command, { stampMs: 1_764_000_000_000, command }, 1);

const record = codecs.command.encode({ stampMs: 1_764_000_000_000, command: stamped.PUT });
const entries = Array.from({ length: 700 }, (_, i) => ({ zxid: { epoch: 7, counter: 5_000_000_000 + i }, payload: record }));
const zxid = { epoch: 7, counter: 4_999_999_999 };
both("PROPOSE entry, 700 a frame", codecs.session, [{ kind: "PROPOSE", epoch: 7, previous: zxid, entries, commit: zxid }], 700);
both("ACK", codecs.session, [{ kind: "ACK", epoch: 7, durable: zxid }], 1);
both("PING", codecs.control, [{ kind: "PING", epoch: 7, seq: 12_345, commit: zxid }], 1);

const list = (one) => Array.from({ length: 500 }, (_, i) => one(i + 1_000_000));
both(
  "client put, 500 a frame",
  codecs.clientFrame,
  {
    hello: undefined,
    requests: list((request) => ({ request, body: { kind: "put", ...stamped.PUT, kind: "put" } })),
  },
  500,
);
both(
  "client commit, 500 a frame",
  codecs.clientFrame,
  {
    hello: undefined,
    requests: list((request) => ({ request, body: { ...stamped.BEGIN, kind: "commit" } })),
  },
  500,
);
both(
  "server answer, 500 a frame",
  codecs.serverFrame,
  {
    view: undefined,
    answers: list((request) => ({ request, answer: { kind: "decided", gid, decision: "commit", reason: undefined, detail: "", zxid } })),
  },
  500,
);
both(
  "participant call, 500 a frame",
  codecs.coordinatorFrame,
  {
    view: undefined,
    calls: list(() => ({ phase: "prepare", gid, branch: "orders", epoch: 7, attempt: 1, payload })),
    answers: [],
  },
  500,
);
both(
  "participant reply, 500 a frame",
  codecs.participantFrame,
  {
    hello: undefined,
    replies: list(() => ({ phase: "prepare", gid, branch: "orders", result: { kind: "vote", vote: "yes", detail: "" } })),
    inquiries: [],
  },
  500,
);

// The same record by protobufjs's reflection, for comparison.
const published = new protobuf.Root();
published.resolvePath = (_origin, target) => join(fileURLToPath(new URL("../../proto", import.meta.url)), target);
published.loadSync("quorate/v1/records.proto", { keepCase: false });
const LogRecord = published.lookupType("quorate.v1.LogRecord");
const message = LogRecord.decode(record);
measure(`record PUT encode by protobufjs ${version}`, 1, () => LogRecord.encode(message).finish());
measure(`record PUT decode by protobufjs ${version}`, 1, () => LogRecord.decode(record));
