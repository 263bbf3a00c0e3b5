import { describe, expect, test } from "vitest";
import { silentLogger, ZXID_ZERO } from "../../src/base/index.js";
import { bootstrapConfiguration, defaultSettings, nodeIdentity, parseMembers, type NodeIdentity } from "../../src/config/index.js";
import type { Recovered } from "../../src/replica/index.js";
import { adoptAddresses } from "../../src/server/membership-check.js";

const OLD = "1=a:1/a:2,2=b:1/b:2,3=c:1/c:2";

function recovered(members: string): Recovered {
  const configuration = bootstrapConfiguration(parseMembers(members));
  const epochs = { acceptedEpoch: 3, currentEpoch: 3, configuration, damage: undefined };
  return { log: { epochs, applied: ZXID_ZERO, base: ZXID_ZERO, entries: [] }, state: [], findings: [] };
}

const identity = (members: string): NodeIdentity => nodeIdentity({ ...defaultSettings(), id: "1", dataDir: "/d", members });

describe("members of the settings and of the folder", () => {
  test("equal lists change nothing", () => {
    const before = recovered(OLD);
    expect(adoptAddresses(before, identity(OLD), silentLogger)).toBe(before);
  });

  test("new addresses of the same voters are adopted; promises and version stay", () => {
    const moved = "1=a:1/a:2,2=b:9/b:8,3=c:1/c:2";
    const { epochs } = adoptAddresses(recovered(OLD), identity(moved), silentLogger).log;
    expect(epochs.configuration.current.members.map((member) => member.peerAddress)).toEqual(["a:1", "b:9", "c:1"]);
    expect(epochs.configuration.current.version).toEqual(ZXID_ZERO);
    expect(epochs.acceptedEpoch).toBe(3);
  });

  test("other voters are refused, naming both lists", () => {
    expect(() => adoptAddresses(recovered(OLD), identity(`${OLD},4=d:1/d:2`), silentLogger)).toThrow(
      "members names nodes 1, 2, 3, 4, but the data folder /d belongs to a cluster of nodes 1, 2, 3",
    );
  });
});
