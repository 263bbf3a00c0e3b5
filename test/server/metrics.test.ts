import { describe, expect, test } from "vitest";
import { renderMetrics, type MetricsInput } from "../../src/server/metrics.js";
import { aNodeStatus } from "../support/node-status.js";

function metrics(more: Partial<MetricsInput> = {}): string {
  return renderMetrics({
    status: aNodeStatus(),
    established: true,
    lags: [],
    uncommittedEntries: 0,
    wallOffsetMs: 0,
    events: new Map(),
    ...more,
  });
}

describe("metrics", () => {
  test("every sample belongs to a described metric, and every line is well formed", () => {
    const text = metrics({ lags: [{ peer: 2, entries: 7 }], events: new Map([["role", 3]]) });
    const described = new Set<string>();
    for (const line of text.trimEnd().split("\n")) {
      const help = /^# (?:HELP|TYPE) (\S+) \S/.exec(line);
      if (help !== null) described.add(help[1] ?? "");
      else {
        const sample = /^([a-z_]+)(?:\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+\})? -?\d+(?:\.\d+)?(?:e-?\d+)?$/.exec(line);
        expect(sample, line).not.toBeNull();
        expect(described).toContain(sample?.[1]);
      }
    }
    expect(text).toContain('quorate_zab_follower_lag_entries{peer="n2"} 7\n');
    expect(text).toContain('quorate_events_total{event="role"} 3\n');
  });

  test("only an established leader is the leader", () => {
    const leading = aNodeStatus({ role: "leading" });
    expect(metrics({ status: leading, established: true })).toContain("quorate_zab_is_leader 1\n");
    expect(metrics({ status: leading, established: false })).toContain("quorate_zab_is_leader 0\n");
    expect(metrics({ status: aNodeStatus({ role: "following" }) })).toContain("quorate_zab_is_leader 0\n");
  });

  test("a name that would end a label is escaped", () => {
    const status = aNodeStatus({ participants: [{ name: 'a"b\\c', kind: "kv", instances: 1 }] });
    expect(metrics({ status })).toContain('participant="a\\"b\\\\c"');
  });
});
