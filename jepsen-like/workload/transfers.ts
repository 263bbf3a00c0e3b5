/**
 * Transfers between banks, some of which must abort, some raced by an abort from another client, and status reads on all nodes.
 *
 * One bank pays, the others receive: two banks take part, in turns where there are more, and now and then all of them. With accounts
 * enough for everybody transfers do not wait for each other; a fifth of them share accounts, so that locks are fought for.
 */
import { must } from "../../src/base/index.js";
import type { BranchSpec, Quorate } from "../../src/index.js";
import { isQuorateError } from "../../src/index.js";
import { ACCOUNTS, askedBranch, type Resource, type Work } from "../participants/resource.js";
import { decide, failed, Process, status, TRANSACTION_TIMEOUT_MS } from "./operations.js";
import { clientOf, type Part, type Stage, type Step } from "./stage.js";

const DOOMED_EVERY = 6;
const RACED_EVERY = 7;
const STATUS_EVERY = 5;
const SHARED_EVERY = 5;
const BROUGHT_EVERY = 2;
const ALL_EVERY = 4;
/** Early ones come before there is anything to abort, late ones when it is decided. */
const ABORT_DELAY_MS_MAX = 150;

export const transfers: Part = {
  name: "transfers",
  open: (stage) => {
    let n = 0;
    return (slot) => {
      const own = clientOf(stage, slot);
      const other = clientOf(stage, slot + 1);
      const processes = {
        own: new Process(stage.history, { client: own.client }),
        other: new Process(stage.history, { client: other.client }),
        reader: new Process(stage.history, {}),
      };
      return step(stage, slot, { own, other, processes }, () => n++);
    };
  },
};

interface Actors {
  readonly own: Quorate;
  readonly other: Quorate;
  readonly processes: { readonly own: Process; readonly other: Process; readonly reader: Process };
}

function step(stage: Stage, slot: number, { own, other, processes }: Actors, next: () => number): Step {
  return async () => {
    const n = next();
    const banks = banksOf(stage.participants, n);
    const last = banks.length - 1;
    const account = n % SHARED_EVERY === 0 ? stage.prng.int(0, ACCOUNTS - 1) : slot % ACCOUNTS;
    const work = (gid: string, side: number): Work => ({
      gid,
      branch: must(banks[side], "a bank").name,
      move: { account, delta: (1 + (n % 9)) * (side === 0 ? -last : 1) },
      doomed: side === last && n % DOOMED_EVERY === DOOMED_EVERY - 1,
    });
    const aborts = async (gid: string, delayMs: number): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await decide(processes.other, gid, "abort", undefined, () => other.abort(gid, { timeoutMs: TRANSACTION_TIMEOUT_MS }));
    };
    const racer = n % RACED_EVERY === 0 ? (gid: string) => aborts(gid, stage.prng.int(0, ABORT_DELAY_MS_MAX)) : undefined;
    let gid: string | undefined;
    if (n % BROUGHT_EVERY === 0 && banks.some(({ bring }) => bring !== undefined))
      gid = await brought(banks, work, own, processes.own, racer);
    else {
      gid = own.newGid();
      await Promise.all([asked(gid, banks, work, own, processes.own), racer?.(gid)]);
    }
    if (n % STATUS_EVERY !== 0 || gid === undefined) return;
    const voice = stage.prng.pick(stage.voices);
    await status(processes.reader, gid, voice);
  };
}

/** Pairs in turns, and every so often all together. */
function banksOf(all: readonly Resource[], n: number): readonly Resource[] {
  if (all.length <= 2 || n % ALL_EVERY === ALL_EVERY - 1) return all;
  const payer = n % all.length;
  const receiver = (payer + 1 + (Math.floor(n / all.length) % (all.length - 1))) % all.length;
  return [must(all[payer], "a bank that pays"), must(all[receiver], "a bank that receives")];
}

async function asked(
  gid: string,
  banks: readonly Resource[],
  work: (gid: string, side: number) => Work,
  client: Quorate,
  process: Process,
): Promise<void> {
  const branches = banks.map((bank, side) => askedBranch(bank, bank.name, bank.payload(work(gid, side))));
  await decide(process, gid, "commit", listOf(branches), () => client.commit(gid, branches, [], { timeoutMs: TRANSACTION_TIMEOUT_MS }));
}

/** The client runs the work itself wherever it can. Undefined: nothing was begun. */
async function brought(
  banks: readonly Resource[],
  work: (gid: string, side: number) => Work,
  client: Quorate,
  process: Process,
  racer: ((gid: string) => Promise<void>) | undefined,
): Promise<string | undefined> {
  let gid: string | undefined;
  let race: Promise<void> | undefined;
  let open: ReturnType<Process["invoke"]> | undefined;
  try {
    await client.transaction(
      async (tx) => {
        gid = tx.gid;
        // The library names a branch after its participant.
        open = process.invoke(
          "decide",
          tx.gid,
          "commit",
          banks.map(({ name }) => `${name}@${name}`),
        );
        race = racer?.(tx.gid);
        await Promise.all(
          banks.map(async (bank, side) => {
            const own = work(tx.gid, side);
            if (bank.bring !== undefined) return bank.bring(tx, own);
            tx.ask(bank.name, bank.payload(own), { kind: bank.branchKind });
          }),
        );
      },
      { timeoutMs: TRANSACTION_TIMEOUT_MS },
    );
    open?.ok("commit");
  } catch (error) {
    if (open === undefined) {
      if (!isQuorateError(error)) throw error;
      return undefined;
    }
    // The database's own error, thrown by our function: the commit was never sent and never will be.
    if (isQuorateError(error)) failed(open, error, "commit");
    else open.fail(error instanceof Error ? error.message : String(error));
    // The library asks for an abort behind our back then, and does not say what became of it.
    if (gid !== undefined) process.invoke("decide", gid, "abort").info("not told");
  }
  await race;
  return gid;
}

export function listOf(branches: readonly BranchSpec[]): readonly string[] {
  return branches.map(({ id, participant }) => `${id}@${participant}`);
}
