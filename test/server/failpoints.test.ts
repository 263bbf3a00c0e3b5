import { describe, expect, test } from "vitest";
import { REPLICA_FAILPOINTS } from "../../src/replica/index.js";
import { FAILPOINT_MEANINGS } from "../../src/server/failpoint-list.js";
import { Failpoints, parseFailpoints } from "../../src/server/failpoints.js";

function watched() {
  const killed: string[] = [];
  const logged: string[] = [];
  const failpoints = new Failpoints({
    kill: () => killed.push("kill"),
    log: (name, action, hit) => logged.push(`${name} ${action} ${hit}`),
  });
  return { killed, logged, failpoints };
}

describe("rules", () => {
  test("are read with action and hit", () => {
    expect(parseFailpoints("decision-applied=crash; log.sync.before=sleep(20)@3;;establish=halt@2")).toEqual([
      { name: "decision-applied", action: { kind: "crash" }, hit: 1 },
      { name: "log.sync.before", action: { kind: "sleep", ms: 20 }, hit: 3 },
      { name: "establish", action: { kind: "halt" }, hit: 2 },
    ]);
    expect(parseFailpoints("")).toEqual([]);
  });

  test.each([
    ["decision-aplied=crash", "unknown failpoint"],
    ["decision-applied=explode", "must be name=crash|halt|off|sleep(ms)"],
    ["decision-applied", "must be name="],
    ["decision-applied=crash@0", "counted from 1"],
    ["decision-applied=sleep", "must be name="],
  ])("%s is refused: %s", (text, problem) => {
    expect(() => parseFailpoints(text)).toThrow(problem);
  });

  test("every point of the replica has a meaning for people", () => {
    for (const name of REPLICA_FAILPOINTS) expect(FAILPOINT_MEANINGS[name]?.length, name).toBeGreaterThan(10);
  });
});

describe("reaching a point", () => {
  test("without a rule goes on", () => {
    expect(watched().failpoints.reach("establish")).toBe("continue");
  });

  test("halts at the n-th hit and stays halted, and kills only for a crash", async () => {
    const { failpoints, killed, logged } = watched();
    failpoints.set(parseFailpoints("establish=halt@2;client-answer=crash"));
    expect([1, 2, 3].map(() => failpoints.reach("establish"))).toEqual(["continue", "halt", "halt"]);
    expect(killed).toEqual([]);
    expect(failpoints.reach("client-answer")).toBe("halt");
    expect(killed).toEqual([]);
    await expect.poll(() => killed).toEqual(["kill"]);
    expect(logged).toEqual(["establish halt 2", "establish halt 3", "client-answer crash 1"]);
  });

  test("sleep stalls the whole loop and goes on", () => {
    const { failpoints } = watched();
    failpoints.set(parseFailpoints("establish=sleep(30)"));
    const before = performance.now();
    expect(failpoints.reach("establish")).toBe("continue");
    expect(performance.now() - before).toBeGreaterThanOrEqual(29);
  });

  test("off takes a rule away, and a new rule counts from its own start", () => {
    const { failpoints } = watched();
    failpoints.set(parseFailpoints("establish=halt@2"));
    failpoints.reach("establish");
    failpoints.set(parseFailpoints("establish=halt@2"));
    expect(failpoints.reach("establish")).toBe("continue");
    failpoints.set(parseFailpoints("establish=off"));
    expect(failpoints.list()).toEqual([]);
    expect(failpoints.reach("establish")).toBe("continue");
  });
});
