/**
 * Domain values as protobufjs sees the published .proto files: the second, independent description that the codecs are compared with.
 */
import type protobuf from "protobufjs";
import type { Zxid } from "../../src/base/index.js";
import type { Answer, BranchReply, Request, TransactionView } from "../../src/coordinator/index.js";
import type { BranchSpec, Command, StampedCommand, StateChange } from "../../src/txn/index.js";
import type { ClientFrame, CoordinatorFrame, NodeStatus, NodeView, ParticipantFrame, ServerFrame } from "../../src/wire/index.js";
import type { ControlMessage, Membership, SessionMessage } from "../../src/zab/index.js";
import { schema } from "./proto-files.js";

export type Generic = Readonly<Record<string, unknown>>;

export function type(message: string, root: protobuf.Root = schema()): protobuf.Type {
  return root.lookupType(`quorate.v1.${message}`);
}

const CONVERSION: protobuf.IConversionOptions = { longs: Number, enums: String, bytes: String, defaults: true, arrays: true };

/** The message as plain values with every default spelled out. */
export function plain(message: string, bytes: Uint8Array): unknown {
  const t = type(message);
  return t.toObject(t.decode(bytes), CONVERSION);
}

/** The same for a generic value. */
export function plainOf(message: string, value: Generic): unknown {
  const t = type(message);
  return t.toObject(t.fromObject(value), CONVERSION);
}

export function encodeGeneric(message: string, value: Generic, root?: protobuf.Root): Uint8Array {
  const t = type(message, root);
  return t.encode(t.fromObject(value)).finish();
}

function enumName(prefix: string, text: string | undefined): string {
  return text === undefined ? `${prefix}_UNSPECIFIED` : `${prefix}_${text.toUpperCase().replaceAll("-", "_")}`;
}

/** protobufjs encodes what is present: absent members must be absent, not undefined. */
function present(value: Generic): Generic {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
}

const zx = (value: Zxid | undefined): Generic | undefined =>
  value === undefined ? undefined : { epoch: value.epoch, counter: value.counter };

const branchSpec = (b: BranchSpec): Generic => ({
  id: b.id,
  participant: b.participant,
  mode: enumName("BRANCH_MODE", b.kind === "tcc" ? `tcc-${b.mode}` : b.mode),
  payload: b.payload,
});
const branchVote = (v: { readonly branch: string; readonly vote: string }): Generic => ({
  branch: v.branch,
  vote: enumName("VOTE", v.vote),
});

function commandMember(c: Command): Generic {
  switch (c.kind) {
    case "OPEN":
      return { open: { gid: c.gid, client: c.client, timeoutMs: c.timeoutMs, branches: c.branches.map(branchSpec) } };
    case "ENLIST":
      return { enlist: { gid: c.gid, branch: branchSpec(c.branch) } };
    case "BEGIN":
      return {
        [c.delegated ? "delegatedBegin" : "begin"]: {
          gid: c.gid,
          client: c.client,
          timeoutMs: c.timeoutMs,
          branches: c.branches.map(branchSpec),
          votes: c.votes.map(branchVote),
        },
      };
    case "DECIDE":
      return {
        decide: {
          gid: c.gid,
          decision: enumName("DECISION", c.decision),
          reason: enumName("ABORT_REASON", c.reason),
          detail: c.detail,
          yes: c.yes,
          readOnly: c.readOnly,
          refusedBy: c.refusedBy,
        },
      };
    case "DONE":
      return { done: { branches: c.branches } };
    case "FORGET":
      return { forget: { gids: c.gids } };
    case "FLOOR":
      return { floor: { timeMs: c.timeMs } };
    case "HEURISTIC":
      return {
        heuristic: { gid: c.gid, branch: c.branch, outcome: enumName("HEURISTIC_OUTCOME", c.outcome), by: c.by, note: c.note },
      };
    case "REGISTER":
      return { register: { participant: c.participant, participantKind: c.participantKind } };
    case "PUT":
      return { put: present({ request: c.request, name: c.name, value: c.value, expect: zx(c.expect) }) };
    case "NOOP":
      return { noop: {} };
  }
}

export const logRecord = (s: StampedCommand): Generic => ({ stampMs: s.stampMs, ...commandMember(s.command) });

/** Message name and value of a stored change. */
export function storedValue(change: StateChange): { readonly message: string; readonly value: Generic } {
  if (change.value === undefined) throw new Error("a removal has no bytes");
  switch (change.kind) {
    case "transaction": {
      const t = change.value;
      return {
        message: "Transaction",
        value: present({
          gid: t.gid,
          state: enumName("STATE", t.state),
          client: t.client,
          timeoutMs: t.timeoutMs,
          opened: zx(t.openedZxid),
          openedStampMs: t.openedStampMs,
          branches: t.branches.map((b) =>
            present({ spec: branchSpec(b), vote: enumName("VOTE", b.vote), done: b.done, heuristic: b.heuristic }),
          ),
          delegated: t.delegated,
          decision:
            t.decision === undefined
              ? undefined
              : {
                  decision: enumName("DECISION", t.decision.decision),
                  reason: enumName("ABORT_REASON", t.decision.reason),
                  detail: t.decision.detail,
                  zxid: zx(t.decision.zxid),
                  stampMs: t.decision.stampMs,
                },
        }),
      };
    }
    case "outcomes": {
      const { page, rows, shapes } = change.value;
      const bytes = Buffer.alloc(rows.length * 4);
      rows.forEach((word, i) => bytes.writeUInt32LE(word, i * 4));
      return {
        message: "OutcomePage",
        value: {
          page,
          shapes: shapes.map((s) => ({
            group: s.group,
            decision: enumName("DECISION", s.decision),
            reason: enumName("ABORT_REASON", s.reason),
            branches: s.branches.map((b) =>
              present({
                id: b.id,
                participant: b.participant,
                vote: enumName("VOTE", b.vote),
                heuristic: b.heuristic,
                tcc: b.kind === "tcc",
              }),
            ),
          })),
          rows: bytes,
        },
      };
    }
    case "outcome": {
      const o = change.value;
      return {
        message: "FinishedOutcome",
        value: {
          gid: o.gid,
          decision: enumName("DECISION", o.decision),
          reason: enumName("ABORT_REASON", o.reason),
          zxid: zx(o.zxid),
          stampMs: o.stampMs,
          branches: o.branches.map((b) =>
            present({
              id: b.id,
              participant: b.participant,
              tcc: b.kind === "tcc",
              vote: enumName("VOTE", b.vote),
              heuristic: b.heuristic,
            }),
          ),
        },
      };
    }
    case "register":
      return {
        message: "StoredRegister",
        value: { name: change.value.name, value: change.value.value, version: zx(change.value.version) },
      };
    case "participant":
      return { message: "KnownParticipant", value: { ...change.value } };
    case "client":
      return {
        message: "ClientMemory",
        value: {
          client: change.value.client,
          ackBelow: change.value.ackBelow,
          answers: change.value.answers.map((a) => ({ seq: a.seq, outcome: enumName("OUTCOME", a.outcome), version: zx(a.version) })),
          lastStampMs: change.value.lastStampMs,
        },
      };
    case "meta":
      return { message: "StateMeta", value: { ...change.value } };
  }
}

// ---- peers

function controlMessage(m: ControlMessage): Generic {
  switch (m.kind) {
    case "NOTIFY":
      return {
        notify: {
          round: m.round,
          state: enumName("PEER_STATE", m.state),
          vote: m.vote,
          settledEpoch: m.settledEpoch,
          nonVoting: m.nonVoting,
          configVersion: m.configVersion,
          wantsReply: m.wantsReply,
        },
      };
    case "PING":
      return { ping: { epoch: m.epoch, seq: m.seq, commit: m.commit } };
    case "PONG":
      return { pong: { epoch: m.epoch, seq: m.seq, durable: m.durable } };
    case "ABDICATE":
      return { abdicate: { epoch: m.epoch, successor: m.successor ?? 0 } };
  }
}

export const controlFrame = (messages: readonly ControlMessage[], proof = 0): Generic => ({
  messages: messages.map(controlMessage),
  proof,
});

const membership = (m: Membership): Generic => ({
  version: zx(m.version),
  members: m.members.map((member) => ({
    id: member.id,
    peerAddress: member.peerAddress,
    clientAddress: member.clientAddress,
    role: enumName("ROLE", member.role),
  })),
});

function sessionMessage(m: SessionMessage): Generic {
  switch (m.kind) {
    case "CEPOCH":
      return { cepoch: { acceptedEpoch: m.acceptedEpoch, configVersion: m.configVersion, damage: enumName("DAMAGE", m.damage) } };
    case "NEWEPOCH":
      return { newEpoch: { epoch: m.epoch } };
    case "ACKEPOCH":
      return { ackEpoch: present({ epoch: m.epoch, currentEpoch: m.currentEpoch, last: m.last, base: m.base, lineage: m.lineage }) };
    case "REFUSE":
      return { refuse: { acceptedEpoch: m.acceptedEpoch, reason: m.reason } };
    case "DIFF":
      return { diff: { from: m.from } };
    case "TRUNC":
      return { trunc: { to: m.to } };
    case "SNAP":
      return { snap: { at: m.at, snapshotId: m.snapshotId } };
    case "NEWLEADER":
      return {
        newLeader: {
          epoch: m.epoch,
          last: m.last,
          configuration: present({
            current: membership(m.configuration.current),
            next: m.configuration.next === undefined ? undefined : membership(m.configuration.next),
          }),
        },
      };
    case "ACKNEWLEADER":
      return { ackNewLeader: { epoch: m.epoch, last: m.last } };
    case "UPTODATE":
      return { upToDate: { epoch: m.epoch, commit: m.commit } };
    case "PROPOSE":
      return {
        propose: {
          epoch: m.epoch,
          previous: m.previous,
          entries: m.entries.map((e) => ({ epoch: e.zxid.epoch, counter: e.zxid.counter, payload: e.payload })),
          commit: m.commit,
        },
      };
    case "ACK":
      return { ack: { epoch: m.epoch, durable: m.durable } };
    case "COMMIT":
      return { commit: { epoch: m.epoch, commit: m.commit } };
  }
}

export const followFrame = (messages: readonly SessionMessage[]): Generic => ({ messages: messages.map(sessionMessage) });

// ---- clients

/** Member of ClientRequest.body, and the request's own message. */
export function requestMember(r: Request): { readonly member: string; readonly message: string; readonly value: Generic } {
  switch (r.kind) {
    case "open":
      return {
        member: "begin",
        message: "BeginRequest",
        value: { gid: r.gid ?? "", client: r.client, timeoutMs: r.timeoutMs, branches: r.branches.map(branchSpec) },
      };
    case "enlist":
      return { member: "enlist", message: "EnlistRequest", value: { gid: r.gid, branch: branchSpec(r.branch) } };
    case "commit":
      return {
        member: "commit",
        message: "CommitRequest",
        value: {
          gid: r.gid,
          client: r.client,
          timeoutMs: r.timeoutMs,
          branches: r.branches.map(branchSpec),
          votes: r.votes.map(branchVote),
        },
      };
    case "abort":
      return { member: "abort", message: "AbortRequest", value: { gid: r.gid } };
    case "outcome":
      return { member: "get", message: "GetRequest", value: { gid: r.gid, wait: r.wait } };
    case "list":
      return { member: "list", message: "ListRequest", value: { state: enumName("STATE", r.state), limit: r.limit } };
    case "put":
      return {
        member: "put",
        message: "PutRequest",
        value: present({ request: r.request, name: r.name, value: r.value, expect: zx(r.expect) }),
      };
    case "read":
      return { member: "read", message: "ReadRequest", value: { name: r.name } };
    case "retry":
      return { member: "retry", message: "RetryRequest", value: { gid: r.gid } };
    case "resolve":
      return {
        member: "resolve",
        message: "ResolveRequest",
        value: { gid: r.gid, branch: r.branch, outcome: enumName("HEURISTIC_OUTCOME", r.outcome), by: r.by, note: r.note },
      };
    case "noop":
      return { member: "health", message: "HealthRequest", value: {} };
  }
}

const transactionView = (t: TransactionView): Generic =>
  present({
    gid: t.gid,
    state: enumName("STATE", t.state),
    decision: enumName("DECISION", t.decision),
    reason: t.reason,
    detail: t.detail,
    decidedAt: zx(t.decidedAt),
    openedMs: t.openedMs,
    branches: t.branches.map((b) =>
      present({
        id: b.id,
        participant: b.participant,
        mode: b.mode,
        tcc: b.kind === "tcc",
        vote: enumName("VOTE", b.vote),
        done: b.done,
        phase: b.phase,
        attempts: b.attempts,
        lastError: b.lastError,
        heuristic: b.heuristic,
        payload: b.payload,
      }),
    ),
  });

export function answerMember(a: Answer): { readonly member: string; readonly message: string; readonly value: Generic } {
  switch (a.kind) {
    case "opened":
      return { member: "begun", message: "BeginResponse", value: { gid: a.gid } };
    case "enlisted":
      return { member: "enlisted", message: "EnlistResponse", value: { gid: a.gid } };
    case "decided":
      return {
        member: "decided",
        message: "DecisionResponse",
        value: present({ gid: a.gid, decision: enumName("DECISION", a.decision), reason: a.reason, detail: a.detail, zxid: zx(a.zxid) }),
      };
    case "transaction":
      return { member: "transaction", message: "TransactionView", value: transactionView(a.transaction) };
    case "transactions":
      return { member: "transactions", message: "ListResponse", value: { transactions: a.transactions.map(transactionView) } };
    case "put":
      return { member: "put", message: "PutResponse", value: { version: zx(a.version) } };
    case "read":
      return { member: "read", message: "ReadResponse", value: present({ value: a.value, version: zx(a.version) }) };
    case "ok":
      return { member: "ok", message: "Ok", value: {} };
    case "error":
      return {
        member: "error",
        message: "Error",
        value: present({
          code: a.code,
          message: a.message,
          outcome: enumName("OUTCOME", a.outcome),
          retry: enumName("RETRY", a.retry),
          gid: a.gid ?? "",
          version: zx(a.version),
        }),
      };
  }
}

export const nodeView = (v: NodeView): Generic => ({ ...v, role: enumName("NODE_ROLE", v.role), leader: v.leader ?? 0 });

export const clientFrame = (f: ClientFrame): Generic =>
  present({
    hello: f.hello,
    requests: f.requests.map(({ request, body }) => {
      const { member, value } = requestMember(body);
      return { request, [member]: value };
    }),
  });

export const serverFrame = (f: ServerFrame): Generic =>
  present({
    view: f.view === undefined ? undefined : nodeView(f.view),
    answers: f.answers.map(({ request, answer }) => {
      const { member, value } = answerMember(answer);
      return { request, [member]: value };
    }),
  });

// ---- participants

function reply(r: BranchReply): Generic {
  const head = { phase: enumName("BRANCH_PHASE", r.phase), gid: r.gid, branch: r.branch };
  switch (r.result.kind) {
    case "vote":
      return { ...head, vote: { vote: enumName("VOTE", r.result.vote), detail: r.result.detail } };
    case "done":
      return { ...head, done: {} };
    case "heuristic":
      return { ...head, heuristic: { outcome: enumName("HEURISTIC_OUTCOME", r.result.outcome), detail: r.result.detail } };
    case "failed":
      return { ...head, failed: { detail: r.result.detail } };
    case "refused":
      return { ...head, refused: { detail: r.result.detail } };
  }
}

function participantHello({ kinds, ...hello }: NonNullable<ParticipantFrame["hello"]>): Generic {
  return { ...hello, tcc: kinds.includes("tcc"), tccOnly: !kinds.includes("2pc") };
}

export const participantFrame = (f: ParticipantFrame): Generic =>
  present({ hello: f.hello === undefined ? undefined : participantHello(f.hello), replies: f.replies.map(reply), inquiries: f.inquiries });

export const coordinatorFrame = (f: CoordinatorFrame): Generic =>
  present({
    view: f.view === undefined ? undefined : nodeView(f.view),
    calls: f.calls.map(({ kind, ...c }) => ({ ...c, phase: enumName("BRANCH_PHASE", c.phase), tcc: kind === "tcc" })),
    answers: f.answers.map((a) => ({ ...a, answer: enumName("ANSWER", a.answer) })),
  });

export const nodeStatus = (s: NodeStatus): Generic =>
  present({ ...s, role: enumName("NODE_ROLE", s.role), phase: enumName("NODE_PHASE", s.phase), leader: s.leader ?? 0 });
