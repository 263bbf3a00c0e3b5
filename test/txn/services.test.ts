/**
 * Registered services at apply: whatever a leader knew when it proposed, a removal and a branch that cross in the log never both count.
 */
import { describe, expect, test } from "vitest";
import { serviceBytes, type Gid, type ServiceKind } from "../../src/base/index.js";
import type { BranchSpec, Command } from "../../src/txn/index.js";
import { abort, asked, begin, Bench, commit, done, NO_BYTES, open } from "./builders.js";

const HOTEL = "service/hotel";
const registration = (kind: ServiceKind): Uint8Array => serviceBytes({ url: "http://127.0.0.1:8080/", kind, deadlineMs: 5_000 });

function write(client: string, value: Uint8Array): Command {
  return { kind: "PUT", request: { client, seq: 1, ackBelow: 0 }, name: HOTEL, value, expect: undefined };
}

/** `hotel` is a service of kind 2pc that has been called. */
class Hotel extends Bench {
  constructor() {
    super();
    expect(this.write(registration("2pc"))).toBe("put");
    this.apply({ kind: "REGISTER", participant: "hotel", participantKind: "http" });
  }

  write(value: Uint8Array): string {
    return this.outcome(write(this.client(), value));
  }
}

const room: BranchSpec = asked("room", "hotel");
const ways: readonly (readonly [
  string,
  (bench: Bench, branches: readonly BranchSpec[]) => { readonly gid: Gid; readonly result: string },
])[] = [
  [
    "BEGIN",
    (bench, branches) => {
      const gid = bench.gid();
      return { gid, result: bench.outcome(begin(gid, branches)) };
    },
  ],
  [
    "OPEN",
    (bench, branches) => {
      const gid = bench.gid();
      return { gid, result: bench.outcome(open(gid, branches)) };
    },
  ],
];

describe.each(ways)("a branch that %s brings", (_, record) => {
  test("after its service was removed is refused", () => {
    const bench = new Hotel();
    expect(bench.write(NO_BYTES)).toBe("put");
    expect(record(bench, [room]).result).toBe("unknown-participant");
    expect([...bench.machine.transactions()]).toEqual([]);
    expect(bench.write(registration("2pc"))).toBe("put");
    expect(record(bench, [room]).result).not.toBe("unknown-participant");
  });

  test("of another kind than its service is refused, with the kind to name", () => {
    const bench = new Hotel();
    expect(record(bench, [{ ...room, kind: "tcc" }]).result).toBe("unknown-participant");
    expect(bench.machine.serviceProblem({ ...room, kind: "tcc" })).toBe(
      'participant "hotel" of branch "room" is a service of kind 2pc, and the branch is of kind tcc; name the service\'s own kind',
    );
    expect(bench.machine.serviceProblem(room)).toBeUndefined();
  });

  test("holds its service and the service's kind until its end is acknowledged", () => {
    const bench = new Hotel();
    const { gid } = record(bench, [room]);
    const held = (): void => {
      expect(bench.write(NO_BYTES)).toBe("wrong-state");
      expect(bench.write(registration("tcc"))).toBe("wrong-state");
      // Another address is no other service.
      expect(bench.write(registration("2pc"))).toBe("put");
    };
    held();
    bench.apply(abort(gid));
    held();
    bench.apply(done(gid, "room"));
    expect(bench.write(registration("tcc"))).toBe("put");
    expect(bench.write(NO_BYTES)).toBe("put");
  });
});

describe("a removal", () => {
  test("waits for nobody who has nothing to be told", () => {
    const bench = new Hotel();
    const gid = bench.gid();
    bench.apply(begin(gid, [room, asked("b1")]));
    bench.apply(commit(gid, ["b1"], ["room"]));
    expect(bench.write(NO_BYTES)).toBe("put");
  });

  test("that is refused is remembered by nobody: the same request may come again", () => {
    const bench = new Hotel();
    const gid = bench.gid();
    bench.apply(begin(gid, [room]));
    const removal = write(bench.client(), NO_BYTES);
    expect(bench.outcome(removal)).toBe("wrong-state");
    bench.apply(commit(gid, ["room"]));
    bench.apply(done(gid, "room"));
    expect(bench.outcome(removal)).toBe("put");
  });

  test("is of the service only: who attached under the name since is a participant like others", () => {
    const bench = new Hotel();
    bench.write(NO_BYTES);
    bench.apply({ kind: "REGISTER", participant: "hotel", participantKind: "kv" });
    expect(bench.outcome(begin(bench.gid(), [room]))).toBe("sealed");
  });

  test("binds no state that began below feature level 3", () => {
    const bench = new Hotel();
    const gid = bench.gid();
    bench.apply(begin(gid, [room]));
    const changes = bench.machine
      .takeChanges()
      .map((change) => (change.kind === "meta" ? { ...change, value: { ...change.value, featureLevel: 2 } } : change));
    bench.machine.restore(changes);
    expect(bench.write(NO_BYTES)).toBe("put");
    expect(bench.outcome(begin(bench.gid(), [room]))).toBe("sealed");
  });

  test("is kept by a restored state", () => {
    const bench = new Hotel();
    bench.apply(begin(bench.gid(), [room]));
    bench.machine.restore(bench.machine.takeChanges());
    expect(bench.write(NO_BYTES)).toBe("wrong-state");
    expect(bench.write(registration("tcc"))).toBe("wrong-state");
  });
});
