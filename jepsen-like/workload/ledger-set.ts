/**
 * Transactions of one to four branches, in all the ways a branch can join one: in the list of the commit, enlisted before it, enlisted
 * by another client while the commit is under way, and enlisted into what is then aborted. Each branch leaves one row in a ledger.
 */
import type { BranchSpec, Quorate } from "../../src/index.js";
import { must } from "../../src/base/index.js";
import { isQuorateError } from "../../src/index.js";
import { askedBranch } from "../participants/resource.js";
import { decide, Process, TRANSACTION_TIMEOUT_MS } from "./operations.js";
import { clientOf, type Part, type Stage, type Step } from "./stage.js";
import { listOf } from "./transfers.js";

const BRANCHES_MAX = 4;
const DOOMED_CHANCE = 0.12;
const STYLES = ["listed", "enlisted", "raced", "aborted"] as const;

export const ledgerSet: Part = {
  name: "ledger-set",
  open: (stage) => (slot) => {
    const own = clientOf(stage, slot);
    const other = clientOf(stage, slot + 1);
    const process = new Process(stage.history, { client: own.client });
    const racer = new Process(stage.history, { client: other.client });
    return step(stage, { own, other, process, racer });
  },
};

interface Actors {
  readonly own: Quorate;
  readonly other: Quorate;
  readonly process: Process;
  readonly racer: Process;
}

function step(stage: Stage, { own, other, process, racer }: Actors): Step {
  const { prng, participants } = stage;
  const options = { timeoutMs: TRANSACTION_TIMEOUT_MS };
  return async () => {
    const gid = own.newGid();
    const doomed = prng.chance(DOOMED_CHANCE) ? prng.int(0, BRANCHES_MAX - 1) : undefined;
    const branches = Array.from({ length: prng.int(1, BRANCHES_MAX) }, (_, i): BranchSpec => {
      const participant = prng.pick(participants);
      const branch = `b${i}`;
      return askedBranch(participant, branch, participant.payload({ gid, branch, move: undefined, doomed: i === doomed }));
    });
    const commit = (): Promise<string | undefined> =>
      decide(process, gid, "commit", listOf(branches), () => own.commit(gid, branches, [], options));
    const abort = (): Promise<unknown> => decide(process, gid, "abort", undefined, () => own.abort(gid, options));
    const style = prng.pick(STYLES);
    if (style === "listed") return void (await commit());
    const [first, ...rest] = branches;
    const opened = await begin(own, gid, must(first, "a branch"));
    if (!opened) return void (await abort());
    for (const branch of rest) await enlist(process, own, gid, branch);
    if (style === "aborted") return void (await abort());
    if (style === "enlisted") return void ((await commit()) ?? (await abort()));
    // Either the late branch is in the list of the commit's record or the enlistment failed; never is it lost in between.
    const late = prng.pick(participants);
    const latecomer = askedBranch(late, "late", late.payload({ gid, branch: "late", move: undefined, doomed: false }));
    const [told] = await Promise.all([commit(), enlist(racer, other, gid, latecomer)]);
    // Refused because of the latecomer, or not answered: what is open keeps its branches' locks until somebody ends it.
    if (told === undefined) await abort();
  };
}

/** Recorded as OPEN with one branch; false: nobody knows, and nothing more is done with this gid. */
function begin(client: Quorate, gid: string, branch: BranchSpec): Promise<boolean> {
  return new Promise((resolve) => {
    const body = { kind: "open", gid: gid as never, client: client.client, timeoutMs: TRANSACTION_TIMEOUT_MS, branches: [branch] } as const;
    client.submit(body, (answer) => resolve(answer.kind === "opened"), TRANSACTION_TIMEOUT_MS);
  });
}

async function enlist(process: Process, client: Quorate, gid: string, branch: BranchSpec): Promise<void> {
  const open = process.invoke("enlist", gid, `${branch.id}@${branch.participant}`);
  try {
    await client.enlist(gid, branch, { timeoutMs: TRANSACTION_TIMEOUT_MS });
    open.ok(`${branch.id}@${branch.participant}`);
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    if (error.outcome === "unknown" || error.retry === "same-request-id") open.info(error.code);
    else open.fail(error.code);
  }
}
