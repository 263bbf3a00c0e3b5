/** Names of marks in stores of keys. All parts are of strict alphabets without "/", so names cannot be read in two ways. */
import { gidTimeMs, type Gid } from "../base/index.js";
import type { BarrierCall, BarrierScope } from "./contract.js";
import type { Slot } from "./rules.js";

/** Sorts by the gid's own time, so what is below a floor is one range. */
export function markKey(call: BarrierCall, slot: Slot): string {
  return `${marksBelow(call, gidTimeMs(call.gid as Gid))}/${call.gid}/${call.branch}/${slot}`;
}

/** Every mark of a scope sorts at or above this. */
export function marksFrom(scope: BarrierScope): string {
  return `m/${scope.cluster}/${scope.participant}/`;
}

/** Every mark of a gid with a time below `timeMs` sorts below this. */
export function marksBelow(scope: BarrierScope, timeMs: number): string {
  return marksFrom(scope) + timeMs.toString(16).padStart(12, "0");
}

export function stateKey(scope: BarrierScope, kind: "epoch" | "floor"): string {
  return `s/${scope.cluster}/${scope.participant}/${kind}`;
}
