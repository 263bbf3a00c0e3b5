/**
 * Transfers between two banks, some of which must abort, some raced by an abort from another client, and status reads on all nodes.
 *
 * The first participant pays, the second receives. With accounts enough for everybody transfers do not wait for each other; a fifth of
 * them share accounts, so that locks are fought for.
 */
import { must } from "../../src/base/index.js";
import type { BranchSpec, Quorate } from "../../src/index.js";
import { isQuorateError } from "../../src/index.js";
import { ACCOUNTS, type Resource, type Work } from "../participants/resource.js";
import { decide, failed, Process, status, TRANSACTION_TIMEOUT_MS } from "./operations.js";
import { clientOf, type Part, type Stage, type Step } from "./stage.js";

const DOOMED_EVERY = 6;
const RACED_EVERY = 7;
const STATUS_EVERY = 5;
const SHARED_EVERY = 5;
const BROUGHT_EVERY = 2;

/** The first two participants are the banks. */
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
  const banks = stage.participants.slice(0, 2);
  return async () => {
    const n = next();
    const account = n % SHARED_EVERY === 0 ? stage.prng.int(0, ACCOUNTS - 1) : slot % ACCOUNTS;
    const work = (gid: string, side: number): Work => ({
      gid,
      branch: must(banks[side], "a bank").name,
      move: { account, delta: (1 + (n % 9)) * (side === 0 ? -1 : 1) },
      doomed: side === 1 && n % DOOMED_EVERY === DOOMED_EVERY - 1,
    });
    let gid: string | undefined;
    if (n % BROUGHT_EVERY === 0 && banks.every(({ brought }) => brought !== undefined))
      gid = await brought(own, processes.own, banks, work);
    else {
      gid = own.newGid();
      await asked(gid, n, banks, work, { own, other, processes });
    }
    if (n % STATUS_EVERY !== 0 || gid === undefined) return;
    const voice = stage.prng.pick(stage.voices);
    await status(processes.reader, gid, voice);
  };
}

async function asked(
  gid: string,
  n: number,
  banks: readonly Resource[],
  work: (gid: string, side: number) => Work,
  actors: Actors,
): Promise<void> {
  const { own, other, processes } = actors;
  const branches = banks.map((bank, side): BranchSpec => ({
    id: bank.name,
    participant: bank.name,
    mode: "asked",
    payload: bank.payload(work(gid, side)),
  }));
  const commit = decide(processes.own, gid, "commit", listOf(branches), () =>
    own.commit(gid, branches, [], { timeoutMs: TRANSACTION_TIMEOUT_MS }),
  );
  const race =
    n % RACED_EVERY === 0
      ? decide(processes.other, gid, "abort", undefined, () => other.abort(gid, { timeoutMs: TRANSACTION_TIMEOUT_MS }))
      : undefined;
  await Promise.all([commit, race]);
}

/** The client runs the work itself. Undefined: nothing was begun. */
async function brought(
  client: Quorate,
  process: Process,
  banks: readonly Resource[],
  work: (gid: string, side: number) => Work,
): Promise<string | undefined> {
  let gid: string | undefined;
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
        await Promise.all(
          banks.map((bank, side) =>
            tx.on(must(bank.brought, "a participant for brought branches"), (handle) => bank.work(handle, work(tx.gid, side))),
          ),
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
  return gid;
}

export function listOf(branches: readonly BranchSpec[]): readonly string[] {
  return branches.map(({ id, participant }) => `${id}@${participant}`);
}
