/**
 * Every setting of a node, in one table: default, bounds, simulation range and the reason for each.
 *
 * A number that decides how the product behaves is either here or a constant of the replicated state machine (src/txn), which every
 * node must share. docs/config.md is generated from this table. Nothing here is read outside src/config: rooms get options objects.
 */
import { integer, type BooleanRow, type ChoiceRow, type IntegerRow, type Row, type TextRow, type ValueOf } from "./row.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const ADDRESS = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/;

const NODE = {
  id: {
    type: "text",
    room: "node",
    default: undefined,
    form: "integer from 1 to 255",
    pattern: /^[1-9]\d{0,2}$/,
    reason: "This node's number, one of those in `members`. Required.",
  },
  clusterId: {
    type: "text",
    room: "node",
    default: "quorate",
    form: "a-z, 0-9 and -, up to 40 characters",
    pattern: /^[a-z][a-z0-9-]{0,39}$/,
    reason: "Written into the data folder and checked on every connection between nodes, so that two clusters can never mix.",
  },
  dataDir: {
    type: "text",
    room: "node",
    default: undefined,
    form: "path",
    pattern: /^.+$/s,
    reason: "Where the log and the state live. Required. One folder belongs to one node of one cluster and is locked while it runs.",
  },
  members: {
    type: "text",
    room: "node",
    default: undefined,
    form: "id=peer-host:port/client-host:port, comma separated",
    pattern: /^.+$/s,
    reason: "All voters, this node included. Required, and equal on every node: it is what a quorum is counted from.",
  },
  bootstrap: {
    type: "boolean",
    room: "node",
    default: false,
    reason:
      "Says that this cluster is new: an empty data folder then starts with an empty history and a vote. Without it an empty folder belongs to " +
      "a node that lost its disk, which must not vote before a leader has filled it again. Ignored when the folder has data.",
  },
  peerListen: {
    type: "text",
    room: "node",
    default: undefined,
    form: "host:port",
    pattern: ADDRESS,
    reason: "Where other nodes are accepted. Default: this node's peer address in `members`.",
  },
  clientListen: {
    type: "text",
    room: "node",
    default: undefined,
    form: "host:port",
    pattern: ADDRESS,
    reason: "Where clients and participants are accepted. Default: this node's client address in `members`.",
  },
  adminListen: {
    type: "text",
    room: "node",
    default: undefined,
    form: "host:port",
    pattern: ADDRESS,
    reason: "Where /livez, /readyz, /version and /metrics are served. Default: 127.0.0.1 and port 7600 + id - 1.",
  },
  logLevel: {
    type: "choice",
    room: "node",
    choices: ["debug", "info", "warn", "error", "fatal"],
    default: "info",
    reason: "Roles, elections, synchronizations and checkpoints are info; nothing is logged for each transaction above debug.",
  },
  logFormat: {
    type: "choice",
    room: "node",
    choices: ["json", "pretty"],
    default: "json",
    reason: "One JSON object a line for machines. `pretty` is for a person at a terminal.",
  },
  exitWithParent: {
    type: "boolean",
    room: "node",
    default: false,
    reason:
      "The node stops when its standard input or IPC channel closes, so that a supervisor that dies by kill -9 leaves no node behind.",
  },
} as const satisfies Record<string, Row>;

const CONSENSUS = {
  pingIntervalMs: integer(
    "consensus",
    "ms",
    50,
    [5, 10 * SECOND],
    [10, 200],
    "20 heartbeats fit into the shortest silence that counts, so a few late ones mean nothing; costs a thousandth of a core.",
  ),
  followerSilenceMsMin: integer(
    "consensus",
    "ms",
    1000,
    [50, MINUTE],
    [150, 2000],
    "Two noisy cores delay heartbeats by up to 500 ms; twice that keeps false elections away. A crashed leader is noticed at once by its closed " +
      "connections, so this bounds only the frozen or cut off one.",
  ),
  followerSilenceMsMax: integer(
    "consensus",
    "ms",
    1500,
    [50, 5 * MINUTE],
    [500, 4000],
    "The detector adapts to three times the usual gap between heartbeats, but never beyond this: a frozen leader is replaced within 2 s.",
  ),
  quorumLossMs: integer(
    "consensus",
    "ms",
    1200,
    [100, 5 * MINUTE],
    [300, 4000],
    "A leader that a majority has not answered for this long gives up, so that its clients look for the new one; a little above the followers' silence.",
  ),
  redialGraceMs: integer(
    "consensus",
    "ms",
    200,
    [0, 10 * SECOND],
    [0, 500],
    "One broken connection is not a dead leader: the follower redials for this long unless a majority agrees that the leader is gone.",
  ),
  finalizeWaitMs: integer(
    "consensus",
    "ms",
    200,
    [0, 10 * SECOND],
    [20, 500],
    "ZooKeeper's figure. Only liveness depends on it, and it is skipped when every live voter has voted the same.",
  ),
  notifyResendMsMin: integer(
    "consensus",
    "ms",
    20,
    [5, 10 * SECOND],
    [10, 200],
    "First repeat of a vote that may have been lost; doubles.",
  ),
  notifyResendMsMax: integer(
    "consensus",
    "ms",
    500,
    [20, MINUTE],
    [100, 1000],
    "ZooKeeper lets it grow to 60 s, so that a healed partition can wait a minute for its leader; half a second costs nothing.",
  ),
  initLimitMs: integer(
    "consensus",
    "ms",
    5000,
    [200, 10 * MINUTE],
    [500, 10_000],
    "Discovery and synchronization must end within this or the attempt starts anew; a snapshot in transfer is progress and is not counted.",
  ),
  transferTimeoutMs: integer(
    "consensus",
    "ms",
    1000,
    [50, MINUTE],
    [100, 2000],
    "A planned hand-over that has not happened by then is called off and the old leader takes proposals again.",
  ),
  deliverEntriesMax: integer(
    "consensus",
    "entries",
    512,
    [1, 1_000_000],
    [1, 64],
    "Committed entries applied in one turn: a node with a long backlog goes on answering heartbeats and voting while it catches up.",
  ),
  batchBytesMax: integer(
    "consensus",
    "bytes",
    192 * KIB,
    [4 * KIB, 2 * MIB],
    [4 * KIB, 256 * KIB],
    "One PROPOSE stays under the 256 KiB of a frame, so that a heartbeat never waits long behind it.",
  ),
  uncommittedBytesMax: integer(
    "consensus",
    "bytes",
    64 * MIB,
    [MIB, 1024 * MIB],
    [MIB, 64 * MIB],
    "What a leader keeps proposed but uncommitted; above it clients are told QUORATE_OVERLOADED, with nothing proposed.",
  ),
  uncommittedEntriesMax: integer(
    "consensus",
    "entries",
    100_000,
    [16, 10_000_000],
    [64, 100_000],
    "The same bound by number: about half a second of work at full speed.",
  ),
  historyEntriesKeep: integer(
    "consensus",
    "entries",
    20_000,
    [16, 10_000_000],
    [16, 2000],
    "A follower that was away for fewer entries than this is brought up by DIFF, not by a snapshot.",
  ),
  historyBytesKeep: integer(
    "consensus",
    "bytes",
    16 * MIB,
    [64 * KIB, 1024 * MIB],
    [64 * KIB, 4 * MIB],
    "The same bound by size, because the tail is kept in memory too.",
  ),
} as const satisfies Record<string, IntegerRow>;

const TRANSACTIONS = {
  transactionTimeoutMs: integer(
    "transactions",
    "ms",
    10 * SECOND,
    [100, HOUR],
    [500, 20 * SECOND],
    "An undecided transaction is aborted after this, unless its client asked for another time. Runs on the leader's monotonic clock.",
  ),
  clientLostMs: integer(
    "transactions",
    "ms",
    2000,
    [100, HOUR],
    [200, 5000],
    "An open transaction of a client whose stream stays lost this long is aborted: its locks help nobody. Sealed ones are carried on.",
  ),
  inquiryMarginMs: integer(
    "transactions",
    "ms",
    1000,
    [0, 10 * MINUTE],
    [0, 2000],
    "Added to the commit window before a participant's question about an unrecorded gid may write the abort: its client may still be retrying.",
  ),
  retryDelayMsMin: integer("transactions", "ms", 100, [5, MINUTE], [20, 500], "First retry of a branch call, with full jitter; doubles."),
  retryDelayMsMax: integer(
    "transactions",
    "ms",
    30 * SECOND,
    [10, HOUR],
    [500, 30 * SECOND],
    "A participant that comes back is told at once by its attach, so the longest delay only spares one that is down.",
  ),
  attemptsBeforePause: integer(
    "transactions",
    "count",
    50,
    [1, 100_000],
    [3, 50],
    "About 20 minutes of retries; then the branch is paused with an alarm, never forgotten. Attaching again, or `txn retry`, goes on.",
  ),
  callTimeoutMs: integer(
    "transactions",
    "ms",
    5000,
    [50, HOUR],
    [200, 10 * SECOND],
    "A call that stays unanswered is sent again; calls are idempotent, so too early costs only work.",
  ),
  breakerFailures: integer(
    "transactions",
    "count",
    10,
    [1, 10_000],
    [2, 20],
    "Failures in a row after which a participant gets one probe at a time instead of everything.",
  ),
  breakerOpenMs: integer("transactions", "ms", 2000, [10, HOUR], [100, 5000], "Time between two probes of such a participant."),
  retentionMs: integer(
    "transactions",
    "ms",
    10 * MINUTE,
    [10 * SECOND, 30 * 24 * HOUR],
    [10 * SECOND, 2 * MINUTE],
    "Finished outcomes and idle clients are remembered at least this long, for retries and questions. Each costs about 200 bytes of memory.",
  ),
  floorIntervalMs: integer(
    "transactions",
    "ms",
    5000,
    [100, HOUR],
    [500, 10 * SECOND],
    "How often the floor below which gids are expired moves up; one small record each time, none when nothing would be forgotten.",
  ),
  doneBatchMax: integer(
    "transactions",
    "count",
    1000,
    [1, 10_000],
    [1, 200],
    "Acknowledgements in one DONE record: they are lazy, nobody waits for them.",
  ),
  doneDelayMs: integer("transactions", "ms", 20, [0, MINUTE], [0, 200], "How long acknowledgements are collected before a DONE record."),
  forgetBatchMax: integer("transactions", "count", 1000, [1, 10_000], [1, 200], "Gids in one FORGET record: bounds the work of one apply."),
  openTransactionsMax: integer(
    "transactions",
    "count",
    1_000_000,
    [1, 10_000_000],
    [64, 100_000],
    "New transactions beyond this are told QUORATE_OVERLOADED; those under way are always finished.",
  ),
} as const satisfies Record<string, IntegerRow>;

const DELEGATION = {
  delegation: {
    type: "boolean",
    room: "transactions",
    default: false,
    reason:
      "`true`: a transaction that one participant alone decides (one asked branch, every other read-only) is committed there in one phase: one call and one sync at the " +
      "participant instead of two, and its locks are held for its own transaction only. The price: that call waits for the BEGIN record, and when the participant is lost in " +
      "between, the transaction waits for it, undecided: a timeout cannot abort it, and the client is told that the outcome is unknown. Off, because not waiting for one lost " +
      "process is what this cluster is for.",
  },
} as const satisfies Record<string, BooleanRow>;

const REPLICA = {
  clockSkewMs: integer(
    "replica",
    "ms",
    500,
    [0, 10 * MINUTE],
    [0, 2000],
    "A stamp may exceed the last one by the monotonic time passed plus this; a wall clock that jumps further changes nothing.",
  ),
  checkpointEntries: integer(
    "replica",
    "entries",
    50_000,
    [16, 10_000_000],
    [16, 2000],
    "Applied entries between two checkpoints: bounds what a restart replays to about 0.2 s.",
  ),
  checkpointBytes: integer("replica", "bytes", 32 * MIB, [64 * KIB, 1024 * MIB], [64 * KIB, 4 * MIB], "The same bound by size of the log."),
  viewIntervalMs: integer(
    "replica",
    "ms",
    1000,
    [50, MINUTE],
    [100, 5000],
    "Streams get a fresh cluster clock at least this often, so that new gids fall inside the commit window.",
  ),
} as const satisfies Record<string, IntegerRow>;

const STORAGE = {
  segmentBytes: integer(
    "storage",
    "bytes",
    16 * MIB,
    [MIB, 1024 * MIB],
    undefined,
    "Files of the log are made at this size before they are needed: appending to a file that does not grow syncs a third faster.",
  ),
} as const satisfies Record<string, IntegerRow>;

const TRANSPORT = {
  snapshotBytesPerSecond: integer(
    "transport",
    "bytes/s",
    64 * MIB,
    [64 * KIB, 16 * 1024 * MIB],
    undefined,
    "A snapshot for a follower must not starve the log's own traffic.",
  ),
} as const satisfies Record<string, IntegerRow>;

const SERVER = {
  shutdownGraceMs: integer(
    "server",
    "ms",
    3000,
    [0, 10 * MINUTE],
    undefined,
    "How long a node that was told to stop waits for the hand-over and for answers under way.",
  ),
  unaryDeadlineMs: integer(
    "server",
    "ms",
    15 * SECOND,
    [100, HOUR],
    undefined,
    "Deadline of a unary call whose caller set none; above the default transaction timeout, so that the caller learns the abort.",
  ),
  serviceCallsMax: integer(
    "server",
    "count",
    64,
    [1, 10_000],
    undefined,
    "Calls to one registered service under way at once: so many of new work, and as many of decisions, each on a connection of its own. What is " +
      "more waits here, because a service that is flooded after an outage fails again.",
  ),
  serviceAnswerBytesMax: integer(
    "server",
    "bytes",
    64 * KIB,
    [256, MIB],
    undefined,
    "A service's answer is a word and a reason; more is not read, and the call counts as failed. It bounds what a wrong port can send.",
  ),
} as const satisfies Record<string, IntegerRow>;

/** Every setting by its key: the name in a YAML file. Flags are `--kebab-case`, variables `QUORATE_UPPER_SNAKE`. */
export const SETTINGS = { ...NODE, ...CONSENSUS, ...TRANSACTIONS, ...DELEGATION, ...REPLICA, ...STORAGE, ...TRANSPORT, ...SERVER };

export type SettingKey = keyof typeof SETTINGS;
export type Settings = { readonly [K in SettingKey]: ValueOf<(typeof SETTINGS)[K]> };
/** The integers among them. */
export type TunableKey = { [K in SettingKey]: (typeof SETTINGS)[K] extends IntegerRow ? K : never }[SettingKey];
export type Tunables = { readonly [K in TunableKey]: number };

export const SETTING_KEYS = Object.keys(SETTINGS) as readonly SettingKey[];

export function rowOf(key: SettingKey): Row {
  return SETTINGS[key];
}

export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key);
}

export type { BooleanRow, ChoiceRow, IntegerRow, Row, TextRow };
