/**
 * Three clients on three nodes about one transaction at once: one commits, one aborts, one asks. Whatever comes of it, everybody must
 * be told the same, for ever.
 */
import { askedBranch } from "../participants/resource.js";
import { decide, Process, status, TRANSACTION_TIMEOUT_MS } from "./operations.js";
import { clientOf, type Part, type Stage, type Step } from "./stage.js";
import { listOf } from "./transfers.js";

const ASKS_MAX = 4;
/** The abort comes this much later, at most: early ones win, late ones lose, those in between race. */
const ABORT_DELAY_MS_MAX = 80;

export const decideRace: Part = {
  name: "decide-race",
  open: (stage) => (slot) => {
    const processes = [0, 1, 2].map(() => new Process(stage.history, {}));
    return step(stage, slot, processes as [Process, Process, Process]);
  },
};

function step(stage: Stage, slot: number, [committer, aborter, asker]: readonly [Process, Process, Process]): Step {
  const { prng, participants } = stage;
  return async () => {
    const gid = clientOf(stage, slot).newGid();
    const voices = prng.shuffle(stage.voices);
    const [one = prng.pick(voices), two = one, three = one] = voices;
    const branches = prng
      .shuffle(participants)
      .slice(0, 2)
      .map((each) => askedBranch(each, each.name, each.payload({ gid, branch: each.name, move: undefined, doomed: false })));
    const commit = { kind: "commit", gid, client: "", timeoutMs: TRANSACTION_TIMEOUT_MS, branches, votes: [] } as const;
    const abortAfterMs = prng.int(0, ABORT_DELAY_MS_MAX);
    await Promise.all([
      decide(committer, gid, "commit", listOf(branches), () => one.ask("decided", commit, TRANSACTION_TIMEOUT_MS)),
      sleep(abortAfterMs).then(() =>
        decide(aborter, gid, "abort", undefined, () => two.ask("decided", { kind: "abort", gid }, TRANSACTION_TIMEOUT_MS)),
      ),
      (async () => {
        for (let asks = 0; asks < ASKS_MAX; asks++) {
          const told = await status(asker, gid, three);
          if (told === "commit" || told === "abort") break;
        }
      })(),
    ]);
    // Afterwards, from a node of its own choice: never anything else.
    await status(asker, gid, prng.pick(voices));
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
