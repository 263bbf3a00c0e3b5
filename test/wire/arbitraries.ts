/**
 * Arbitrary values of everything that travels or is stored. Optional members are explicit, as decoding makes them.
 */
import fc from "fast-check";
import type { Arbitrary } from "fast-check";
import type { Gid, NodeId, Zxid } from "../../src/base/index.js";
import { ERROR_CODES, gid, nodeId } from "../../src/base/index.js";
import type { ErrorCode } from "../../src/base/index.js";
import type { Answer, BranchReply, BranchView, Inquiry, InquiryAnswer, Request, TransactionView } from "../../src/coordinator/index.js";
import { OUTCOME_ROW_WORDS, OUTCOME_SHAPE_WORD } from "../../src/txn/index.js";
import type {
  BranchRecord,
  BranchSpec,
  ClientMemory,
  Command,
  DecisionRecord,
  FinishedOutcome,
  OutcomePage,
  StampedCommand,
  StateChange,
} from "../../src/txn/index.js";
import type {
  ClientFrame,
  CoordinatorFrame,
  FrameCall,
  NodeStatus,
  NodeView,
  ParticipantFrame,
  ServerFrame,
} from "../../src/wire/index.js";
import type { Configuration, ControlMessage, Entry, Membership, SessionMessage } from "../../src/zab/index.js";

const hexDigit = fc.constantFrom(..."0123456789abcdef");
export const client: Arbitrary<string> = fc.string({ unit: hexDigit, minLength: 32, maxLength: 32 });
export const gidText: Arbitrary<Gid> = client.map((hex) => gid(`q-${hex}`));
/** Any text that is Unicode: what JSON, SQL and people may bring. */
export const text: Arbitrary<string> = fc.string({ unit: "grapheme", maxLength: 40 });
export const name: Arbitrary<string> = fc.stringMatching(/^[a-z][a-z0-9_-]{0,20}$/);
export const bytes: Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 300 });
export const safe: Arbitrary<number> = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.constantFrom(0, 127, 128, 16383, 16384, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35, 2 ** 49, 2 ** 53 - 1),
  fc.maxSafeNat(),
);
export const uint32: Arbitrary<number> = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffffffff }));
const fraction: Arbitrary<number> = fc.double({ min: 0, max: 1e12, noNaN: true }).map((value) => value + 0);
export const node: Arbitrary<NodeId> = fc.integer({ min: 1, max: 255 }).map(nodeId);
export const zxidValue: Arbitrary<Zxid> = fc.record({ epoch: uint32, counter: safe });
const maybe = <T>(arbitrary: Arbitrary<T>): Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const list = <T>(arbitrary: Arbitrary<T>): Arbitrary<T[]> => fc.array(arbitrary, { maxLength: 4 });

export const branch: Arbitrary<BranchSpec> = fc.record(
  {
    id: name,
    participant: name,
    mode: fc.constantFrom("asked", "brought"),
    payload: bytes,
    kind: fc.constant("tcc" as const),
  },
  { requiredKeys: ["id", "participant", "mode", "payload"] },
);
const branchKind = fc.constantFrom("2pc" as const, "tcc" as const);
const vote = fc.constantFrom("yes" as const, "read-only" as const, "no" as const);
const votes = list(fc.record({ branch: name, vote }));
const decision = fc.constantFrom("commit" as const, "abort" as const);
const reason = maybe(
  fc.constantFrom("vote-no" as const, "timeout" as const, "client" as const, "client-lost" as const, "inquiry" as const),
);
const heuristicOutcome = fc.constantFrom("committed" as const, "rolled-back" as const, "mixed" as const, "hazard" as const);
const requestId = fc.record({ client, seq: safe, ackBelow: safe });
const gidBranch: Arbitrary<Inquiry> = fc.record({ gid: gidText, branch: name });
const kind = <K extends string>(value: K): Arbitrary<K> => fc.constant(value);

const maybeEmpty = fc.oneof(fc.constant(""), name);
export const command: Arbitrary<Command> = fc.oneof(
  fc.record({ kind: kind("OPEN"), gid: gidText, client, timeoutMs: safe, branches: list(branch) }),
  fc.record({ kind: kind("ENLIST"), gid: gidText, branch }),
  fc.record({ kind: kind("BEGIN"), gid: gidText, client, timeoutMs: safe, branches: list(branch), votes, delegated: fc.boolean() }),
  fc.record({
    kind: kind("DECIDE"),
    gid: gidText,
    decision,
    reason,
    detail: text,
    yes: list(name),
    readOnly: list(name),
    refusedBy: maybeEmpty,
  }),
  fc.record({ kind: kind("DONE"), branches: list(gidBranch) }),
  fc.record({ kind: kind("FORGET"), gids: list(gidText) }),
  fc.record({ kind: kind("FLOOR"), timeMs: safe }),
  fc.record({ kind: kind("HEURISTIC"), gid: gidText, branch: name, outcome: heuristicOutcome, by: text, note: text }),
  fc.record({ kind: kind("REGISTER"), participant: name, participantKind: name }),
  fc.record({ kind: kind("PUT"), request: requestId, name: text, value: bytes, expect: maybe(zxidValue) }),
  fc.record({ kind: kind("NOOP") }),
);
export const stamped: Arbitrary<StampedCommand> = fc.record({ stampMs: safe, command });

// ---- state

const branchRecord: Arbitrary<BranchRecord> = fc.record({
  id: name,
  participant: name,
  mode: fc.constantFrom("asked", "brought"),
  payload: bytes,
  kind: branchKind,
  vote: maybe(vote),
  done: fc.boolean(),
  heuristic: maybe(fc.record({ outcome: text, by: text, note: text })),
});
const decisionRecord: Arbitrary<DecisionRecord> = fc.record({ decision, reason, detail: text, zxid: zxidValue, stampMs: safe });
const finished: Arbitrary<FinishedOutcome> = fc.record({
  gid: gidText,
  decision,
  reason,
  zxid: zxidValue,
  stampMs: safe,
  branches: list(fc.record({ id: name, participant: name, kind: branchKind, vote: maybe(vote), heuristic: maybe(text) })),
});
const outcomePage: Arbitrary<OutcomePage> = fc
  .record({
    page: fc.nat(),
    shapes: fc.array(
      fc.record({
        group: name,
        decision,
        reason,
        branches: list(fc.record({ id: name, participant: name, kind: branchKind, vote: maybe(vote), heuristic: maybe(text) })),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    rows: fc.array(fc.array(uint32, { minLength: OUTCOME_ROW_WORDS, maxLength: OUTCOME_ROW_WORDS }), { minLength: 1, maxLength: 20 }),
  })
  .map(({ page, shapes, rows }) => ({
    page,
    shapes,
    rows: Uint32Array.from(rows.flatMap((row) => row.map((word, i) => (i === OUTCOME_SHAPE_WORD ? word % shapes.length : word)))),
  }));
const memory: Arbitrary<ClientMemory> = fc.record({
  client,
  ackBelow: safe,
  answers: list(fc.record({ seq: safe, outcome: fc.constantFrom("put" as const, "version-conflict" as const), version: zxidValue })),
  lastStampMs: safe,
});
/** Changes that have a value: a removal has no bytes. */
export const stateChange: Arbitrary<StateChange> = fc.oneof(
  fc
    .record({
      gid: gidText,
      state: fc.constantFrom("open" as const, "sealed" as const, "decided" as const),
      client,
      timeoutMs: safe,
      openedZxid: zxidValue,
      openedStampMs: safe,
      branches: list(branchRecord),
      delegated: fc.boolean(),
      decision: maybe(decisionRecord),
    })
    .map((value): StateChange => ({ kind: "transaction", key: value.gid, value })),
  outcomePage.map((value): StateChange => ({ kind: "outcomes", key: String(value.page), value })),
  finished.map((value): StateChange => ({ kind: "outcome", key: value.gid, value })),
  fc.record({ name: text, value: bytes, version: zxidValue }).map((value): StateChange => ({ kind: "register", key: value.name, value })),
  fc.record({ name, participantKind: name }).map((value): StateChange => ({ kind: "participant", key: value.name, value })),
  memory.map((value): StateChange => ({ kind: "client", key: value.client, value })),
  fc
    .record({ floorMs: safe, stampMs: safe, digest: safe, featureLevel: uint32 })
    .map((value): StateChange => ({ kind: "meta", key: "meta", value })),
);

// ---- peers

export const control: Arbitrary<ControlMessage> = fc.oneof(
  fc.record({
    kind: kind("NOTIFY"),
    round: safe,
    state: fc.constantFrom("looking" as const, "following" as const, "leading" as const, "observing" as const),
    vote: fc.record({ leader: node, epoch: uint32, zxid: zxidValue }),
    settledEpoch: uint32,
    nonVoting: fc.boolean(),
    configVersion: zxidValue,
    wantsReply: fc.boolean(),
  }),
  fc.record({ kind: kind("PING"), epoch: uint32, seq: safe, commit: zxidValue }),
  fc.record({ kind: kind("PONG"), epoch: uint32, seq: safe, durable: zxidValue }),
  fc.record({ kind: kind("ABDICATE"), epoch: uint32, successor: maybe(node) }),
);
const membership: Arbitrary<Membership> = fc.record({
  version: zxidValue,
  members: list(
    fc.record({ id: node, peerAddress: text, clientAddress: text, role: fc.constantFrom("voter" as const, "observer" as const) }),
  ),
});
export const configuration: Arbitrary<Configuration> = fc.record({ current: membership, next: maybe(membership) });
export const entry: Arbitrary<Entry> = fc.record({ zxid: zxidValue, payload: bytes });
export const sessionMessage: Arbitrary<SessionMessage> = fc.oneof(
  fc.record({
    kind: kind("CEPOCH"),
    acceptedEpoch: uint32,
    configVersion: zxidValue,
    damage: maybe(fc.constantFrom("log" as const, "identity" as const)),
  }),
  fc.record({ kind: kind("NEWEPOCH"), epoch: uint32 }),
  fc.record({
    kind: kind("ACKEPOCH"),
    epoch: uint32,
    currentEpoch: maybe(uint32),
    last: zxidValue,
    base: zxidValue,
    lineage: list(zxidValue),
  }),
  fc.record({ kind: kind("REFUSE"), acceptedEpoch: uint32, reason: text }),
  fc.record({ kind: kind("DIFF"), from: zxidValue }),
  fc.record({ kind: kind("TRUNC"), to: zxidValue }),
  fc.record({ kind: kind("SNAP"), at: zxidValue, snapshotId: text }),
  fc.record({ kind: kind("NEWLEADER"), epoch: uint32, last: zxidValue, configuration }),
  fc.record({ kind: kind("ACKNEWLEADER"), epoch: uint32, last: zxidValue }),
  fc.record({ kind: kind("UPTODATE"), epoch: uint32, commit: zxidValue }),
  fc.record({ kind: kind("PROPOSE"), epoch: uint32, previous: zxidValue, entries: list(entry), commit: zxidValue }),
  fc.record({ kind: kind("ACK"), epoch: uint32, durable: zxidValue }),
  fc.record({ kind: kind("COMMIT"), epoch: uint32, commit: zxidValue }),
);

// ---- clients

export const request: Arbitrary<Request> = fc.oneof(
  fc.record({ kind: kind("open"), gid: maybe(gidText), client, timeoutMs: safe, branches: list(branch) }),
  fc.record({ kind: kind("enlist"), gid: gidText, branch }),
  fc.record({ kind: kind("commit"), gid: gidText, client, timeoutMs: safe, branches: list(branch), votes }),
  fc.record({ kind: kind("abort"), gid: gidText }),
  fc.record({ kind: kind("outcome"), gid: gidText, wait: fc.boolean() }),
  fc.record({
    kind: kind("list"),
    state: fc.constantFrom("open" as const, "in-doubt" as const, "finished" as const, "all" as const),
    limit: fc.integer({ min: 1, max: 1000 }),
  }),
  fc.record({ kind: kind("put"), request: requestId, name: text, value: bytes, expect: maybe(zxidValue) }),
  fc.record({ kind: kind("read"), name: text }),
  fc.record({ kind: kind("retry"), gid: gidText }),
  fc.record({
    kind: kind("resolve"),
    gid: gidText,
    branch: name,
    outcome: fc.constantFrom("committed" as const, "rolled-back" as const),
    by: text,
    note: text,
  }),
  fc.record({ kind: kind("noop") }),
);
const branchView: Arbitrary<BranchView> = fc.record({
  id: name,
  participant: name,
  mode: name,
  kind: branchKind,
  vote: maybe(vote),
  done: fc.boolean(),
  phase: name,
  attempts: uint32,
  lastError: maybe(text),
  heuristic: maybe(text),
  payload: maybe(bytes),
});
export const transactionView: Arbitrary<TransactionView> = fc.record({
  gid: gidText,
  state: fc.constantFrom(
    "open" as const,
    "preparing" as const,
    "committing" as const,
    "aborting" as const,
    "committed" as const,
    "aborted" as const,
    "expired" as const,
    "unknown" as const,
  ),
  decision: maybe(decision),
  reason: maybe(text),
  detail: maybe(text),
  decidedAt: maybe(zxidValue),
  openedMs: maybe(safe),
  branches: list(branchView),
});
const errorCode = fc.constantFrom(...(Object.keys(ERROR_CODES) as ErrorCode[]));
export const answer: Arbitrary<Answer> = fc.oneof(
  fc.record({ kind: kind("opened"), gid: gidText }),
  fc.record({ kind: kind("enlisted"), gid: gidText }),
  fc.record({ kind: kind("decided"), gid: gidText, decision, reason: maybe(text), detail: text, zxid: zxidValue }),
  fc.record({ kind: kind("transaction"), transaction: transactionView }),
  fc.record({ kind: kind("transactions"), transactions: list(transactionView) }),
  fc.record({ kind: kind("put"), version: zxidValue }),
  fc.record({ kind: kind("read"), value: maybe(bytes), version: maybe(zxidValue) }),
  fc.record({ kind: kind("ok") }),
  fc.record({
    kind: kind("error"),
    code: errorCode,
    message: text,
    outcome: maybe(fc.constantFrom("committed" as const, "aborted" as const, "unknown" as const)),
    retry: fc.constantFrom("safe" as const, "same-request-id" as const, "never" as const),
    gid: maybe(gidText),
    version: maybe(zxidValue),
  }),
);
const role = fc.constantFrom("looking" as const, "following" as const, "leading" as const);
export const view: Arbitrary<NodeView> = fc.record({
  clusterId: text,
  node,
  role,
  established: fc.boolean(),
  epoch: uint32,
  leader: maybe(node),
  leaderAddress: text,
  clusterTimeMs: safe,
  members: list(fc.record({ id: node, clientAddress: text })),
  forgottenBelowMs: safe,
});
export const clientFrame: Arbitrary<ClientFrame> = fc.record({
  hello: maybe(fc.record({ client, version: text })),
  requests: list(fc.record({ request: safe, body: request })),
});
export const serverFrame: Arbitrary<ServerFrame> = fc.record({
  view: maybe(view),
  answers: list(fc.record({ request: safe, answer })),
});

// ---- participants

const settlePhase = fc.constantFrom("commit" as const, "rollback" as const);
const anyPhase = fc.constantFrom("prepare" as const, "commit" as const, "rollback" as const, "one-phase" as const);
export const reply: Arbitrary<BranchReply> = fc.oneof(
  fc.record({ phase: kind("prepare"), gid: gidText, branch: name, result: fc.record({ kind: kind("vote"), vote, detail: text }) }),
  fc.record({ phase: settlePhase, gid: gidText, branch: name, result: fc.record({ kind: kind("done") }) }),
  fc.record({ phase: kind("one-phase"), gid: gidText, branch: name, result: fc.record({ kind: kind("done") }) }),
  fc.record({ phase: kind("one-phase"), gid: gidText, branch: name, result: fc.record({ kind: kind("refused"), detail: text }) }),
  fc.record({
    phase: settlePhase,
    gid: gidText,
    branch: name,
    result: fc.record({ kind: kind("heuristic"), outcome: heuristicOutcome, detail: text }),
  }),
  fc.record({ phase: anyPhase, gid: gidText, branch: name, result: fc.record({ kind: kind("failed"), detail: text }) }),
);
export const participantFrame: Arbitrary<ParticipantFrame> = fc.record({
  hello: maybe(
    fc.record({
      ...{ participant: name, participantKind: name, instance: text, version: text, onePhase: fc.boolean(), afterBegin: fc.boolean() },
      kinds: fc.constantFrom(["2pc" as const], ["tcc" as const], ["2pc" as const, "tcc" as const]),
    }),
  ),
  replies: list(reply),
  inquiries: list(gidBranch),
});
const call: Arbitrary<FrameCall> = fc.record({
  phase: anyPhase,
  kind: branchKind,
  gid: gidText,
  branch: name,
  epoch: uint32,
  attempt: uint32,
  payload: bytes,
});
const inquiryAnswer: Arbitrary<InquiryAnswer> = fc.record({
  gid: gidText,
  branch: name,
  answer: fc.constantFrom("commit" as const, "rollback" as const, "pending" as const, "wait" as const, "ask-leader" as const),
});
export const coordinatorFrame: Arbitrary<CoordinatorFrame> = fc.record({
  view: maybe(view),
  calls: list(call),
  answers: list(inquiryAnswer),
});

export const status: Arbitrary<NodeStatus> = fc.record({
  id: node,
  clusterId: text,
  version: text,
  pid: uint32,
  uptimeMs: fraction,
  role,
  phase: fc.constantFrom("election" as const, "discovery" as const, "synchronization" as const, "broadcast" as const),
  epoch: uint32,
  acceptedEpoch: uint32,
  leader: maybe(node),
  lastZxid: zxidValue,
  committed: zxidValue,
  applied: zxidValue,
  checkpointed: zxidValue,
  historyBase: zxidValue,
  voting: fc.boolean(),
  findings: list(text),
  lastSync: maybe(fc.record({ kind: name, from: zxidValue, to: zxidValue, agoMs: fraction, peer: node })),
  electionsStarted: safe,
  digest: safe,
  fsyncP50Ms: fraction,
  fsyncP99Ms: fraction,
  logBytes: safe,
  logSegments: uint32,
  rssBytes: safe,
  cpuMs: fraction,
  openTransactions: safe,
  inDoubt: safe,
  paused: safe,
  finishedOutcomes: safe,
  participants: list(fc.record({ name, kind: name, instances: uint32 })),
  clients: safe,
  loopDelayMaxMs: fraction,
});
