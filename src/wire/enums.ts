/**
 * Protobuf enums as the domain's texts. Value n of an enum is the n-th text; 0 is "unspecified" and has none.
 */
import { must } from "../base/index.js";
import type { BranchPhase, InquiryAnswer, Request, TransactionView } from "../coordinator/index.js";
import type { Outcome, Retry } from "../base/index.js";
import type { AbortReason, BranchMode, ClientMemory, Command, Decision, Transaction, Vote } from "../txn/index.js";
import type { Damage, Member, PeerState } from "../zab/index.js";
import type { NodeStatus } from "./frames.js";
import type { ProtoReader } from "./proto-reader.js";
import { WireError } from "./wire-error.js";

export class EnumTable<T extends string> {
  readonly #name: string;
  readonly #texts: readonly T[];
  readonly #codes: ReadonlyMap<T, number>;

  constructor(name: string, texts: readonly T[]) {
    this.#name = name;
    this.#texts = texts;
    this.#codes = new Map(texts.map((text, index) => [text, index + 1]));
  }

  /** The number of a text; 0 for undefined. */
  code(text: T | undefined): number {
    return text === undefined ? 0 : must(this.#codes.get(text), `${this.#name} ${text}`);
  }

  /** The text; WireError for "unspecified" and for numbers this version does not know. */
  read(reader: ProtoReader): T {
    const text = this.readOptional(reader);
    if (text === undefined) throw new WireError(`${this.#name} is unspecified`);
    return text;
  }

  /** The text; undefined for "unspecified", WireError for numbers this version does not know. */
  readOptional(reader: ProtoReader): T | undefined {
    const code = reader.uint32();
    if (code === 0) return undefined;
    const text = this.#texts[code - 1];
    if (text === undefined) throw new WireError(`${this.#name} has the unknown value ${code}`);
    return text;
  }

  /** Closes a message whose required enum field may have been missing. */
  required(text: T | undefined): T {
    if (text === undefined) throw new WireError(`${this.#name} is missing`);
    return text;
  }
}

type HeuristicOutcome = Extract<Command, { kind: "HEURISTIC" }>["outcome"];
type ListState = Extract<Request, { kind: "list" }>["state"];

export const VOTE = new EnumTable<Vote>("vote", ["yes", "read-only", "no"]);
export const DECISION = new EnumTable<Decision>("decision", ["commit", "abort"]);
export const ABORT_REASON = new EnumTable<AbortReason>("reason", ["vote-no", "timeout", "client", "client-lost", "inquiry"]);
/**
 * A branch's mode and kind in one number: see records.proto. A version that knows only two-phase branches stops at the others, where a
 * field of its own would be skipped and the branch be taken for what it is not.
 */
export const BRANCH_MODE = new EnumTable<BranchMode | `tcc-${BranchMode}`>("mode", ["asked", "brought", "tcc-asked", "tcc-brought"]);
export const HEURISTIC = new EnumTable<HeuristicOutcome>("heuristic outcome", ["committed", "rolled-back", "mixed", "hazard"]);
export const TRANSACTION_STATE = new EnumTable<Transaction["state"]>("transaction state", ["open", "sealed", "decided"]);
export const REMEMBERED_OUTCOME = new EnumTable<ClientMemory["answers"][number]["outcome"]>("remembered outcome", [
  "put",
  "version-conflict",
]);
export const PEER_STATE = new EnumTable<PeerState>("peer state", ["looking", "following", "leading", "observing"]);
export const DAMAGE = new EnumTable<Damage>("damage", ["log", "identity"]);
export const MEMBER_ROLE = new EnumTable<Member["role"]>("member role", ["voter", "observer"]);
export const NODE_ROLE = new EnumTable<NodeStatus["role"]>("node role", ["looking", "following", "leading"]);
export const NODE_PHASE = new EnumTable<NodeStatus["phase"]>("node phase", ["election", "discovery", "synchronization", "broadcast"]);
export const BRANCH_PHASE = new EnumTable<BranchPhase>("phase", ["prepare", "commit", "rollback", "one-phase"]);
export const INQUIRY_ANSWER = new EnumTable<InquiryAnswer["answer"]>("inquiry answer", [
  "commit",
  "rollback",
  "pending",
  "wait",
  "ask-leader",
]);
export const VIEW_STATE = new EnumTable<TransactionView["state"]>("state", [
  "open",
  "preparing",
  "committing",
  "aborting",
  "committed",
  "aborted",
  "expired",
  "unknown",
]);
export const LIST_STATE = new EnumTable<ListState>("list state", ["open", "in-doubt", "finished", "all"]);
export const OUTCOME = new EnumTable<Outcome>("outcome", ["committed", "aborted", "unknown"]);
export const RETRY = new EnumTable<Retry>("retry", ["safe", "same-request-id", "never"]);
