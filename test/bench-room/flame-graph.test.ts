import { describe, expect, it } from "vitest";
import { flameGraph, type CpuProfile } from "../../src/bench/flame-graph.js";

const at = (functionName: string, url = "", lineNumber = 0) => ({ functionName, url, lineNumber });

/** main calls apply (10 ms of its own) and send (20 ms); 5 ms of garbage collection, 65 ms idle. */
const PROFILE: CpuProfile = {
  nodes: [
    { id: 1, callFrame: at("(root)"), children: [2, 5, 6] },
    { id: 2, callFrame: at("main", "file:///x/dist/src/server/node.js", 9), children: [3, 4] },
    { id: 3, callFrame: at("apply<T>", "file:///x/dist/src/txn/apply.js", 41) },
    { id: 4, callFrame: at("send", "file:///x/node_modules/@grpc/grpc-js/build/call.js", 1) },
    { id: 5, callFrame: at("(idle)") },
    { id: 6, callFrame: at("(garbage collector)") },
  ],
  samples: [3, 4, 4, 5, 6, 5],
  timeDeltas: [0, 10_000, 10_000, 10_000, 60_000, 5_000, 5_000],
};

describe("a flame graph", () => {
  it("counts a sample's time where the sample was, and idle time apart", () => {
    const graph = flameGraph(PROFILE, "n1");
    expect(graph.busyMs).toBe(35);
    expect(graph.busyShare).toBeCloseTo(0.35);
    expect(graph.rooms.map(([room, share]) => [room, Math.round(share * 35)])).toEqual([
      ["grpc", 20],
      ["txn", 10],
      ["garbage collection", 5],
    ]);
  });

  it("draws what called beneath what it called, with names, places and shares that are safe in XML", () => {
    const { svg } = flameGraph(PROFILE, "n1 & co");
    expect(svg).toContain("n1 &amp; co");
    expect(svg).toContain("<title>apply&lt;T&gt; src/txn/apply.js:42: 28.6 %, itself 28.6 %</title>");
    expect(svg).toContain("<title>main src/server/node.js:10: 85.7 %, itself 0.0 %</title>");
    expect(svg).not.toContain("(idle)");
    expect(svg).toContain("busy 35 % of the time, 0.04 s");
  });

  it("leaves out what is too narrow to be seen, and says so of nothing else", () => {
    const wide = { ...PROFILE, samples: [4, 3], timeDeltas: [0, 1_000_000, 100] };
    const { svg } = flameGraph(wide, "n1");
    expect(svg).toContain("send");
    expect(svg).not.toContain("apply");
  });

  it("refuses a profile that shows no work", () => {
    expect(() => flameGraph({ ...PROFILE, samples: [5], timeDeltas: [0, 10] }, "n1")).toThrow("n1: no sample");
    expect(() => flameGraph({ nodes: PROFILE.nodes }, "n1")).toThrow("no sample");
  });
});
