/**
 * Builds an opened copy of the pure rooms and the explorer, in a folder of its own: private fields (`#name`) become ordinary
 * properties, and nothing else changes. So the explorer sees everything that a state holds.
 */
import { readSources, build } from "../test/mutants/plant.mjs";

export const OPENED_ROOMS = ["base", "coordinator", "explore", "txn", "zab"];
const OPENED = ["coordinator", "txn", "zab"];

export function readOpened() {
  return readSources(OPENED_ROOMS);
}

/** Renames every private name. Comments may be changed too; texts are not written with `#name`, which the run checks. */
export function open(sources) {
  const opened = new Map();
  for (const [path, source] of sources) {
    const room = path.split("/")[0];
    opened.set(path, OPENED.includes(room) ? source.replace(/(?<![\w"'`])#(?=[A-Za-z_])/g, "private_") : source);
  }
  return opened;
}

/** Writes runnable modules. Returns the folder and how to remove it. */
export function buildOpened(sources = readOpened()) {
  return build(open(sources));
}

/** The edits of a planted bug that concern these rooms. */
export function plant(sources, mutant, mutate) {
  return mutate(sources, { ...mutant, edits: mutant.edits.filter(({ file }) => OPENED_ROOMS.includes(file.split("/")[0])) });
}
