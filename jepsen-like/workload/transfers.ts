/**
 * Transfers between banks, some of which must abort, some raced by an abort from another client, and status reads on all nodes.
 *
 * One bank pays, the others receive: any two, and now and then all there are. With accounts enough for everybody transfers do not wait
 * for each other; a fifth of them share accounts, so that locks are fought for.
 */
import { must, type Prng } from "../../src/base/index.js";
import type { BranchSpec, Quorate } from "../../src/index.js";
import { isQuorateError } from "../../src/index.js";
import { ACCOUNTS, askedBranch, type Resource, type Work } from "../participants/resource.js";
import { decide, failed, Process, status, TRANSACTION_TIMEOUT_MS } from "./operations.js";
import { clientOf, type Part, type Stage, type Step } from "./stage.js";

const CHANCES = { doomed: 1 / 6, raced: 1 / 7, status: 1 / 5, shared: 1 / 5, brought: 1 / 2, all: 1 / 4 } as const;
const AMOUNT_MAX = 9;
/** Early ones come before there is anything to abort, late ones when it is decided. */
const ABORT_DELAY_MS_MAX = 150;

export const transfers: Part = {
  name: "transfers",
  open: (stage) => (slot) => {
    const own = clientOf(stage, slot);
    const other = clientOf(stage, slot + 1);
    const processes = {
      own: new Process(stage.history, { client: own.client }),
      other: new Process(stage.history, { client: other.client }),
      reader: new Process(stage.history, {}),
    };
    return step(stage, slot, { own, other, processes });
  },
};

/** What one transfer is to be like. */
export interface Draw<Bank> {
  /** The first pays, the others receive. */
  readonly banks: readonly Bank[];
  /** What each that receives gets. */
  readonly amount: number;
  /** Of an account that others use as well; undefined: the worker's own. */
  readonly account: number | undefined;
  /** The bank, by its place, that must refuse. */
  readonly doomed: number | undefined;
  /** Another client asks for an abort this much later, ms. */
  readonly abortAfterMs: number | undefined;
  /** The client runs the work itself wherever it can. */
  readonly brought: boolean;
  readonly asksStatus: boolean;
}

/** Every choice by itself: any two banks in either direction, and now and then all of them, in every way there is. */
export function drawTransfer<Bank>(all: readonly Bank[], prng: Prng): Draw<Bank> {
  const shuffled = prng.shuffle(all);
  const banks = prng.chance(CHANCES.all) ? shuffled : shuffled.slice(0, 2);
  return {
    banks,
    amount: prng.int(1, AMOUNT_MAX),
    account: prng.chance(CHANCES.shared) ? prng.int(0, ACCOUNTS - 1) : undefined,
    doomed: prng.chance(CHANCES.doomed) ? prng.int(0, banks.length - 1) : undefined,
    abortAfterMs: prng.chance(CHANCES.raced) ? prng.int(0, ABORT_DELAY_MS_MAX) : undefined,
    brought: prng.chance(CHANCES.brought),
    asksStatus: prng.chance(CHANCES.status),
  };
}

interface Actors {
  readonly own: Quorate;
  readonly other: Quorate;
  readonly processes: { readonly own: Process; readonly other: Process; readonly reader: Process };
}

function step(stage: Stage, slot: number, { own, other, processes }: Actors): Step {
  return async () => {
    const draw = drawTransfer(stage.participants, stage.prng);
    const { banks, amount, account = slot % ACCOUNTS, doomed, abortAfterMs } = draw;
    const work = (gid: string, side: number): Work => ({
      gid,
      branch: must(banks[side], "a bank").name,
      move: { account, delta: side === 0 ? -amount * (banks.length - 1) : amount },
      doomed: side === doomed,
    });
    const aborts = async (gid: string, delayMs: number): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await decide(processes.other, gid, "abort", undefined, () => other.abort(gid, { timeoutMs: TRANSACTION_TIMEOUT_MS }));
    };
    const racer = abortAfterMs === undefined ? undefined : (gid: string) => aborts(gid, abortAfterMs);
    let gid: string | undefined;
    if (draw.brought && banks.some(({ bring }) => bring !== undefined)) gid = await brought(banks, work, own, processes.own, racer);
    else {
      gid = own.newGid();
      await Promise.all([asked(gid, banks, work, own, processes.own), racer?.(gid)]);
    }
    if (!draw.asksStatus || gid === undefined) return;
    await status(processes.reader, gid, stage.prng.pick(stage.voices));
  };
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
        race = racer?.(tx.gid);
        await Promise.all(
          banks.map(async (bank, side) => {
            const own = work(tx.gid, side);
            if (bank.bring !== undefined) return bank.bring(tx, own);
            tx.ask(bank.name, bank.payload(own), { kind: bank.branchKind });
          }),
        );
        // Now the commit is asked for, and what was done above begins to be in doubt. The library names a branch after its participant.
        open = process.invoke(
          "decide",
          tx.gid,
          "commit",
          banks.map(({ name }) => `${name}@${name}`),
        );
      },
      { timeoutMs: TRANSACTION_TIMEOUT_MS },
    );
    open?.ok("commit");
  } catch (error) {
    if (isQuorateError(error)) {
      if (open !== undefined) failed(open, error, "commit");
    } else open?.fail(error instanceof Error ? error.message : String(error));
    // The library asks for an abort behind our back then, and does not say what became of it.
    if (gid !== undefined) process.invoke("decide", gid, "abort").info("not told");
    else if (!isQuorateError(error)) throw error;
  }
  await race;
  return gid;
}

export function listOf(branches: readonly BranchSpec[]): readonly string[] {
  return branches.map(({ id, participant }) => `${id}@${participant}`);
}
