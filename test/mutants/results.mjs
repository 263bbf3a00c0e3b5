/**
 * What hunts found, kept in files of a temporary folder, so that a long gate can be run in pieces and put together at the end.
 *
 * A result is named by what it is about: the planted sources (their digest), the mutant, the net. When the sources change, the old
 * results are simply not found any more.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const CACHE = join(tmpdir(), "quorate-mutant-results");

export class Results {
  #folder;

  constructor(folder = CACHE) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** The result kept under these words; undefined: none. */
  get(...name) {
    try {
      return JSON.parse(readFileSync(this.#path(name), "utf8"));
    } catch {
      return undefined;
    }
  }

  set(value, ...name) {
    const path = this.#path(name);
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(value));
    renameSync(`${path}.${process.pid}`, path);
    return value;
  }

  #path(name) {
    return join(this.#folder, `${name.join("_").replace(/[^\w.+-]/g, "-")}.json`);
  }
}

/** Adds what a further piece tried to what was tried before. */
export function added(before, piece) {
  const sum = {};
  for (const name of ["tried", "seconds", "decisions", "commits", "leaderChanges", "resolvedByInquiry"])
    sum[name] = (before?.[name] ?? 0) + piece[name];
  const failures = [...(before?.failures ?? []), ...piece.failures];
  return { ...sum, failures, found: failures[0] };
}

/** The middle of an odd number of values; what was not found counts as more than any. */
export function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** A mutant's hunts by seeds, one from each start. `seeds`: until it was found, Infinity where it was not within `max`. */
export function seedsToDetection(hunts, max) {
  const seeds = hunts.map(({ found, tried }) => (found === undefined || tried > max ? Infinity : tried));
  return { seeds, median: median(seeds) };
}
