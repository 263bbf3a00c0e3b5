/**
 * I12: nodes that stand at the same entry have the same state. Digests were written each time all nodes were looked at, during the run
 * and at its end; the digest is a chain over every entry applied, so one equal pair vouches for all entries before it.
 */
import type { HistoryEvent, Violation } from "../../src/check/index.js";
import { fields } from "./timeline.js";

export function checkReplicas(history: readonly HistoryEvent[]): { readonly violations: readonly Violation[]; readonly pairs: number } {
  const seen = new Map<string, Map<string, number>>();
  const violations: Violation[] = [];
  let pairs = 0;
  for (const { f, key, value } of history) {
    if (f !== "digest") continue;
    const at = String(fields(value)["at"]);
    const digest = Number(fields(value)["digest"]);
    const nodes = seen.get(at) ?? new Map<string, number>();
    seen.set(at, nodes);
    const fresh = !nodes.has(key);
    for (const [node, other] of nodes) {
      if (fresh) pairs += 1;
      if (other === digest) continue;
      const message =
        node === key
          ? `${node} at ${at} had digest ${other}, and later ${digest}`
          : `${node} and ${key} differ at ${at}: digests ${other} and ${digest}`;
      violations.push({ invariant: "I12-replicas", message });
    }
    if (fresh) nodes.set(key, digest);
  }
  return { violations, pairs };
}
