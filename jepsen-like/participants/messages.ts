/**
 * What a participant's process and the harness tell each other, over the child's IPC channel.
 */
import type { BranchRef } from "../../src/participant/index.js";
import type { KvEntry, KvValue } from "../../src/participant/kv/index.js";
import type { ReserveBooks, ReserveRow, ReserveWork } from "./reserve-store.js";

/** What a participant's process serves, and how the cluster reaches it. */
export type HostStore =
  | { readonly kind: "kv"; readonly dir: string }
  | { readonly kind: "postgres"; readonly dsn: string }
  | { readonly kind: "mariadb"; readonly dsn: string }
  /** Reserves, confirms and cancels; attached. */
  | { readonly kind: "tcc"; readonly dir: string }
  /** The same as a service over HTTP: coordinators call it at this address. */
  | { readonly kind: "tcc-service"; readonly dir: string; readonly host: string; readonly port: number };

/** How a participant's process is started. */
export interface HostSpec {
  readonly name: string;
  readonly endpoints: string;
  /** Where to dial an address of `endpoints` or of a member; one that is absent is dialed as it is. */
  readonly routes: Readonly<Record<string, string>>;
  readonly store: HostStore;
  /** Deliver calls of the contract again, later and in another order, by choices of this seed; undefined: only what arrives. */
  readonly duplicatesSeed: string | undefined;
}

/** Times are nanoseconds of the machine's monotonic clock, which is the same in every process. */
export type HostEvent =
  /** A vote of yes was given. */
  | { readonly kind: "yes"; readonly gid: string; readonly branch: string; readonly atNs: string }
  /** The outcome arrived. */
  | { readonly kind: "outcome"; readonly gid: string; readonly branch: string; readonly atNs: string }
  | { readonly kind: "settled"; readonly byInquiry: boolean; readonly heuristic: boolean; readonly gid: string; readonly branch: string }
  /** A call was delivered again. `problem`: the second answer does not go with the first. */
  | { readonly kind: "duplicate"; readonly problem: string | undefined }
  /** A try came after its cancel, and was refused. */
  | { readonly kind: "late-try" };

export type HostMessage =
  /** Before it attaches: what is prepared here and undecided. */
  | { readonly kind: "found"; readonly inDoubt: readonly BranchRef[]; readonly atNs: string }
  | { readonly kind: "attached" }
  | { readonly kind: "events"; readonly events: readonly HostEvent[] }
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "refused"; readonly id: number; readonly message: string };

/** Questions about the store itself, not about what the cluster believes. Each kind of store answers some. */
export interface Questions {
  readonly inDoubt: { readonly ask: Record<never, never>; readonly answer: readonly BranchRef[] };
  /** Of a key-value store: branches that hold or wait for locks. */
  readonly held: { readonly ask: Record<never, never>; readonly answer: number };
  /** Committed entries in key order from `gte` on. */
  readonly scan: {
    readonly ask: { readonly gte: string; readonly lt: string; readonly limit: number };
    readonly answer: readonly KvEntry[];
  };
  /** What the branch's reads saw; undefined: it has not committed here. */
  readonly reads: { readonly ask: BranchRef; readonly answer: readonly (KvValue | null)[] | undefined };
  /** Not a question: the call that a client makes itself of a store that reserves. Refused with its own words. */
  readonly try: {
    readonly ask: BranchRef & { readonly epoch: number; readonly cluster: string; readonly work: ReserveWork };
    readonly answer: null;
  };
  /** Of a store that reserves. */
  readonly books: { readonly ask: Record<never, never>; readonly answer: ReserveBooks };
  /** Its branches in the order of their names, after one of them. */
  readonly rows: {
    readonly ask: { readonly after: BranchRef | undefined; readonly limit: number };
    readonly answer: readonly ReserveRow[];
  };
}

export type Question = keyof Questions;

export type Answers = { readonly [Q in Question]?: (ask: Questions[Q]["ask"]) => Promise<Questions[Q]["answer"]> };

export interface Request<Q extends Question = Question> {
  readonly id: number;
  readonly question: Q;
  readonly ask: Questions[Q]["ask"];
}
