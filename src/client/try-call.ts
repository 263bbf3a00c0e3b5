/**
 * What a client's own try is given, so that the service it calls knows whose reservation it makes.
 */
import type { Gid } from "../base/index.js";

export interface TryCall {
  readonly gid: Gid;
  /** The branch's id inside its transaction. */
  readonly branch: string;
  readonly phase: "try";
  /** The participant that will be told to confirm or cancel. */
  readonly participant: string;
  /** The cluster's id. */
  readonly cluster: string;
  /** The epoch of the leader as this client knows it. */
  readonly epoch: number;
  /** The same as headers of a call over HTTP. */
  readonly headers: Readonly<Record<string, string>>;
  /** Fires when the transaction's time is over: for the call itself. */
  readonly signal: AbortSignal;
}

export function tryCall(call: Omit<TryCall, "phase" | "headers">): TryCall {
  const { gid, branch, participant, cluster, epoch } = call;
  return {
    ...call,
    phase: "try",
    headers: {
      "quorate-gid": gid,
      "quorate-branch": branch,
      "quorate-phase": "try",
      "quorate-participant": participant,
      "quorate-cluster": cluster,
      "quorate-epoch": String(epoch),
    },
  };
}
