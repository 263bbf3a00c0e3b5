/**
 * Random 32-bit integers from the system's generator, drawn in blocks: gids and jitter need them on hot paths.
 */
import { randomFillSync } from "node:crypto";
import { newGid as makeGid } from "../base/index.js";
import type { Gid } from "../base/index.js";

const words = new Uint32Array(1024);
let next = words.length;

/** An integer in [0, 2^32). */
export function random32(): number {
  if (next === words.length) {
    randomFillSync(words);
    next = 0;
  }
  return words[next++] as number;
}

/** A float in [0, 1). */
export function randomFloat(): number {
  return random32() / 0x1_0000_0000;
}

/** A new transaction id by this machine's clock. A connected client's own `newGid()` carries the cluster's time and is preferred. */
export function newGid(): Gid {
  return makeGid(Date.now(), random32);
}
