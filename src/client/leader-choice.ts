/**
 * Which node to send requests to, from what the nodes say of themselves.
 *
 * A node that leads an older epoch than the newest one anybody reports as established is deposed, even if it does not know
 * yet (frozen, cut off): nothing is sent to it, because it could only make the request wait.
 */
import type { NodeView } from "../wire/index.js";

export interface LeaderChoice<L> {
  readonly link: L;
  readonly epoch: number;
}

/** `views` are the latest ones of open streams only. Undefined: wait. */
export function chooseLeader<L>(views: Iterable<readonly [L, NodeView]>): LeaderChoice<L> | undefined {
  let best: LeaderChoice<L> | undefined;
  let newestEpoch = 0;
  for (const [link, view] of views) {
    if (!view.established) continue;
    if (view.epoch > newestEpoch) newestEpoch = view.epoch;
    if (view.role === "leading" && (best === undefined || view.epoch > best.epoch)) best = { link, epoch: view.epoch };
  }
  return best !== undefined && best.epoch >= newestEpoch ? best : undefined;
}
