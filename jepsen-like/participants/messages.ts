/**
 * What a participant's process and the harness tell each other, over the child's IPC channel.
 */
import type { BranchRef } from "../../src/participant/index.js";
import type { KvEntry, KvValue } from "../../src/participant/kv/index.js";

/** How a participant's process is started. */
export interface HostSpec {
  readonly name: string;
  readonly endpoints: string;
  /** Where to dial an address of `endpoints` or of a member; one that is absent is dialed as it is. */
  readonly routes: Readonly<Record<string, string>>;
  readonly store: { readonly kind: "kv"; readonly dir: string } | { readonly kind: "postgres"; readonly dsn: string };
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
  | { readonly kind: "duplicate"; readonly problem: string | undefined };

export type HostMessage =
  /** Before it attaches: what is prepared here and undecided. */
  | { readonly kind: "found"; readonly inDoubt: readonly BranchRef[]; readonly atNs: string }
  | { readonly kind: "attached" }
  | { readonly kind: "events"; readonly events: readonly HostEvent[] }
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "refused"; readonly id: number; readonly message: string };

/** Questions about the store itself, not about what the cluster believes. */
export interface Questions {
  readonly inDoubt: { readonly ask: Record<never, never>; readonly answer: readonly BranchRef[] };
  /** Branches that hold or wait for locks. */
  readonly held: { readonly ask: Record<never, never>; readonly answer: number };
  /** Committed entries in key order from `gte` on. */
  readonly scan: {
    readonly ask: { readonly gte: string; readonly lt: string; readonly limit: number };
    readonly answer: readonly KvEntry[];
  };
  /** What the branch's reads saw; undefined: it has not committed here. */
  readonly reads: { readonly ask: BranchRef; readonly answer: readonly (KvValue | null)[] | undefined };
}

export type Question = keyof Questions;

export interface Request<Q extends Question = Question> {
  readonly id: number;
  readonly question: Q;
  readonly ask: Questions[Q]["ask"];
}
