/**
 * Prepared branches of a database beside the cluster's records: whose they are, what was decided, and what is to be done.
 *
 * Decides: what a branch's record means for it. Nothing is guessed: only a recorded decision, or a gid that the cluster has forgotten,
 * settles a branch; all else is left to the cluster, which settles it when the branch's participant asks.
 */
import { isQuorateError, messageOf, type Gid } from "../base/index.js";
import type { TransactionView } from "../coordinator/index.js";
import type { Participant, PreparedBranch } from "../participant/index.js";

/** What the cluster says of a branch. `foreign`: it was not asked, the branch is not of its making. */
export type Says = "committed" | "aborted" | "pending" | "unknown" | "foreign";
export type Todo = "commit" | "rollback" | "leave";

export interface ScannedBranch {
  readonly id: string;
  readonly cluster: "this" | "another" | "none";
  readonly participant: string | undefined;
  readonly gid: Gid | undefined;
  readonly branch: string | undefined;
  readonly ageMs: number | undefined;
  readonly says: Says;
  readonly todo: Todo;
  readonly why: string;
  /** What --fix did; undefined: nothing was done. */
  readonly done: { readonly ok: boolean; readonly text: string } | undefined;
}

export interface ScanOptions {
  /** Of the cluster that is asked. */
  readonly tag: string;
  /** Only this participant's branches; undefined: of all. */
  readonly participant: string | undefined;
  /** What the cluster knows of a gid, linearizable. */
  outcome(gid: Gid): Promise<TransactionView>;
  /** For --fix: a started participant of that name on the database; undefined: nothing is done. */
  readonly open: ((participant: string) => Promise<Participant>) | undefined;
}

/** What the record of its transaction means for a branch. */
export function verdict(
  view: TransactionView,
  participant: string,
  branch: string,
): { readonly says: Says; readonly todo: Todo; readonly why: string } {
  if (view.decision === "abort") return { says: "aborted", todo: "rollback", why: view.reason ?? "the transaction was aborted" };
  if (view.decision === "commit") {
    const recorded = view.branches.find((each) => each.id === branch && each.participant === participant);
    if (recorded?.vote === "yes") return { says: "committed", todo: "commit", why: "the transaction was committed with it" };
    const why = recorded === undefined ? "the commit does not name it" : `the commit counts it as ${recorded.vote ?? "no vote"}`;
    return { says: "committed", todo: "rollback", why: `${why}: it is a duplicate` };
  }
  switch (view.state) {
    case "expired":
      return {
        says: "aborted",
        todo: "rollback",
        why: "the cluster has forgotten the transaction, so this branch was not part of a commit",
      };
    case "unknown":
      return { says: "unknown", todo: "leave", why: "no record yet; the cluster aborts it when its participant asks" };
    case "open":
    case "preparing":
    case "committing":
    case "aborting":
    case "committed":
    case "aborted":
      return { says: "pending", todo: "leave", why: `the transaction is ${view.state}` };
  }
}

/** Foreign branches come too, with nothing to do. Rejects when the cluster cannot be asked. */
export async function scanPrepared(prepared: readonly PreparedBranch[], options: ScanOptions): Promise<readonly ScannedBranch[]> {
  const out: ScannedBranch[] = [];
  for (const each of prepared) {
    const { owner, id, ageMs } = each;
    const names = { participant: owner?.participant, gid: owner?.ref.gid, branch: owner?.ref.branch };
    if (owner?.tag !== options.tag) {
      const cluster = owner === undefined ? "none" : "another";
      const why = owner === undefined ? "not of Quorate's making" : `of another cluster, tag ${owner.tag}`;
      out.push({ id, cluster, ...names, ageMs, says: "foreign", todo: "leave", why, done: undefined });
      continue;
    }
    if (options.participant !== undefined && owner.participant !== options.participant) continue;
    const told = verdict(await askOutcome(options, owner.ref.gid), owner.participant, owner.ref.branch);
    const done = options.open === undefined || told.todo === "leave" ? undefined : await settle(options.open, owner, told.todo);
    out.push({ id, cluster: "this", ...names, ageMs, ...told, done });
  }
  return out;
}

/** The cluster refuses to speak of what it has forgotten; that is an answer too. */
async function askOutcome(options: ScanOptions, gid: Gid): Promise<TransactionView> {
  try {
    return await options.outcome(gid);
  } catch (error) {
    const state = !isQuorateError(error)
      ? undefined
      : error.code === "QUORATE_EXPIRED"
        ? "expired"
        : error.code === "QUORATE_UNKNOWN_TRANSACTION"
          ? "unknown"
          : undefined;
    if (state === undefined) throw error;
    const nothing = { decision: undefined, reason: undefined, detail: undefined, decidedAt: undefined, openedMs: undefined };
    return { gid, state, ...nothing, branches: [] };
  }
}

/** By the adapter's own code. A failure is one of this branch; the others go on. */
async function settle(
  open: (participant: string) => Promise<Participant>,
  owner: NonNullable<PreparedBranch["owner"]>,
  todo: "commit" | "rollback",
): Promise<{ readonly ok: boolean; readonly text: string }> {
  try {
    const participant = await open(owner.participant);
    const result = todo === "commit" ? await participant.commit(owner.ref) : await participant.rollback(owner.ref);
    if (result.kind === "done") return { ok: true, text: todo === "commit" ? "committed" : "rolled back" };
    return { ok: false, text: `heuristic ${result.outcome}: ${result.detail}` };
  } catch (error) {
    return { ok: false, text: messageOf(error) };
  }
}
