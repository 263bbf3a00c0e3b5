/**
 * Planted bugs: each is the smallest edit of the sources that breaks one rule of the protocol. Some check must notice every one.
 *
 * An edit replaces a text that occurs exactly once in its file. When the sources change and an edit no longer fits, the run fails and
 * the edit is brought up to date: a mutant that cannot be planted proves nothing. `model`: the edit is in the simulator's own
 * participants or disks, which stand for what a real one has to keep. `tests`: the test files or folders that try to notice it, where
 * they are not those of the rooms it is planted in. `unseen`: why random simulation cannot notice it, though the room is simulated.
 *
 * Ids are never given to another bug. Not here: 35 (needs a message queue).
 */
import { BARRIER_MUTANTS } from "./barrier.mjs";
import { COMMIT_MUTANTS } from "./commit.mjs";
import { CONSENSUS_MUTANTS } from "./consensus.mjs";
import { CUT_MUTANTS } from "./cuts.mjs";
import { EDGE_MUTANTS } from "./edges.mjs";
import { TCC_MUTANTS } from "./tcc.mjs";

export const MUTANTS = [...CONSENSUS_MUTANTS, ...COMMIT_MUTANTS, ...CUT_MUTANTS, ...EDGE_MUTANTS, ...TCC_MUTANTS, ...BARRIER_MUTANTS].sort(
  (a, b) => parseInt(a.id, 10) - parseInt(b.id, 10) || (a.id < b.id ? -1 : 1),
);

/** Changes that must not matter: they take away a precaution that another rule makes unnecessary. A simulator that is red here is wrong. */
export const CONTROLS = [
  {
    id: "19-control",
    rule: "Without the driver's own restraint the order of the log decides alone.",
    edits: [
      {
        file: "coordinator/decider.ts",
        find: "if (drive.deciding !== undefined || drive.delegated) return;",
        replace: "if (drive.delegated) return;",
      },
    ],
  },
];
