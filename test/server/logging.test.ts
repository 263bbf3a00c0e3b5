import { describe, expect, test } from "vitest";
import { prettyLine } from "../../src/server/logging.js";

describe("lines for a person", () => {
  test("show time, level, node, message and the rest", () => {
    const line = JSON.stringify({
      level: 40,
      time: "2026-01-02T03:04:05.678Z",
      node: "n1",
      cluster: "c",
      role: "leading",
      epoch: 4,
      msg: "role",
    });
    expect(prettyLine(line)).toBe("03:04:05.678 WARN  n1 role role=leading epoch=4");
  });

  test("what is no JSON passes unchanged", () => {
    expect(prettyLine("plain\n")).toBe("plain");
  });
});
