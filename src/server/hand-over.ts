/**
 * Planned hand-over of leadership: asks for it and waits until somebody else leads.
 */
import { formatNodeId, QuorateError, type NodeId } from "../base/index.js";
import type { NodeView } from "../wire/index.js";

const POLL_MS = 5;

export interface HandOverParts {
  readonly self: NodeId;
  readonly view: () => NodeView;
  /** Asks the consensus core. */
  readonly transfer: (to: NodeId | undefined) => void;
}

/** This node leads and serves. */
export function leads(view: NodeView): boolean {
  return view.role === "leading" && view.established;
}

/** The new leader. Throws QUORATE_INVALID_ARGUMENT for a stranger, QUORATE_WRONG_STATE when this node still leads after `timeoutMs`. */
export async function handOver(parts: HandOverParts, to: NodeId | undefined, timeoutMs: number): Promise<NodeId> {
  const { self, view } = parts;
  const members = view().members.map((member) => member.id);
  if (to !== undefined && !members.includes(to))
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `node ${to} is not a member; members are ${members.join(", ")}`, { retry: "never" });
  if (to === self) return self;
  parts.transfer(to);
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    const { leader, established } = view();
    if (leader !== undefined && leader !== self && established) return leader;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const target = to === undefined ? "another node" : formatNodeId(to);
  throw leads(view())
    ? new QuorateError(
        "QUORATE_WRONG_STATE",
        `${formatNodeId(self)} still leads: ${target} was not up to date or not reachable within ${timeoutMs} ms`,
        {
          retry: "safe",
        },
      )
    : new QuorateError("QUORATE_NO_QUORUM", `${formatNodeId(self)} gave leadership up, but no new leader is known after ${timeoutMs} ms`, {
        retry: "safe",
      });
}
