import { describe, expect, test } from "vitest";
import { defaultSettings, formatMembers, nodeIdentity, parseMembers, splitAddress, type Settings } from "../../src/config/index.js";

const THREE = "1=a:7500/a:7400,2=b:7500/b:7400,3=c:7500/c:7400";

describe("members", () => {
  test("a list is read, sorted by id and written back", () => {
    const members = parseMembers("2=b:7500/b:7400, 1=a:7500/a:7400 ,3=c:7500/c:7400");
    expect(members.map((member) => member.id)).toEqual([1, 2, 3]);
    expect(members[0]).toEqual({ id: 1, peerAddress: "a:7500", clientAddress: "a:7400", role: "voter" });
    expect(formatMembers(members)).toBe(THREE);
  });

  test.each([
    ["1=a:1/a:2,1=b:1/b:2", "node id 1 is named twice"],
    ["1=a:1/a:2,2=a:1/b:2", "address a:1 is used by node 1 and node 2"],
    ["1=a:1/a:1", "two ports"],
    ["0=a:1/a:2", "node id 0"],
    ["256=a:1/a:2", "node id 256"],
    ["1=a:1", "is not <id>=<peer-host:port>/<client-host:port>"],
    ["1=a:1/a:99999", "port up to 65535"],
    ["", "is not <id>="],
    [Array.from({ length: 8 }, (_, i) => `${i + 1}=h${i}:1/h${i}:2`).join(","), "at most 7"],
  ])("%s is refused: %s", (text, problem) => {
    expect(() => parseMembers(text)).toThrow(problem);
  });

  test("addresses may be IPv6 in brackets", () => {
    expect(splitAddress("[::1]:7400", "clientListen")).toEqual({ host: "::1", port: 7400 });
    expect(() => splitAddress("::1:7400", "clientListen")).toThrow("clientListen");
  });
});

describe("identity of a node", () => {
  const settings = (more: Partial<Settings>): Settings => ({ ...defaultSettings(), ...more });

  test("addresses come from the member list unless given", () => {
    const identity = nodeIdentity(settings({ id: "2", dataDir: "/d", members: THREE }));
    expect(identity).toMatchObject({ id: 2, peerListen: "b:7500", clientListen: "b:7400", adminListen: "127.0.0.1:7601" });
    expect(nodeIdentity(settings({ id: "2", dataDir: "/d", members: THREE, clientListen: "0.0.0.0:7400" })).clientListen).toBe(
      "0.0.0.0:7400",
    );
  });

  test("what is missing is named with the three ways to give it", () => {
    expect(() => nodeIdentity(settings({ id: "1", members: THREE }))).toThrow(
      "dataDir is required: give --data-dir, QUORATE_DATA_DIR, or dataDir in the file of --config",
    );
  });

  test("an id that is not a member is refused with the members", () => {
    expect(() => nodeIdentity(settings({ id: "9", dataDir: "/d", members: THREE }))).toThrow("node id 9 is not among 1, 2, 3");
  });
});
