/**
 * The two moments of a doubt as lines of text, from a bank's process to whoever measures. The measure survives the bank's death.
 */
import type { Gid } from "../base/index.js";
import type { BranchRef } from "../participant/index.js";
import type { DoubtSink } from "./in-doubt-meter.js";

/** What a bank's process says first: it is attached. */
export const ATTACHED = "attached";

/** `write` must have taken the line when it returns. */
export function doubtLines(write: (line: string) => void): DoubtSink {
  const say = (what: string, { gid, branch }: BranchRef): void => write(`${what} ${gid} ${branch}\n`);
  return { yes: (ref) => say("yes", ref), outcome: (ref) => say("outcome", ref) };
}

/** Other lines are not for the meter. */
export function readDoubtLine(line: string, sink: DoubtSink): void {
  const [what, gid, branch] = line.split(" ");
  if (gid === undefined || branch === undefined) return;
  if (what === "yes") sink.yes({ gid: gid as Gid, branch });
  if (what === "outcome") sink.outcome({ gid: gid as Gid, branch });
}
