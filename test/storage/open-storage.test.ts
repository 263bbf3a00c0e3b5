/**
 * The parts together: what a node finds at start for each combination of log and state, and a snapshot from one node to another.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { nodeId, ZXID_ZERO } from "../../src/base/index.js";
import type { Zxid } from "../../src/base/index.js";
import { openStorage } from "../../src/storage/index.js";
import type { FetchSnapshot, SnapshotChunk, Storage, StorageOptions } from "../../src/storage/index.js";
import type { PersistOp } from "../../src/zab/index.js";
import { cleanTemporaryFolders, CONFIGURATION, entry, SEGMENT_BYTES, temporaryFolder } from "./log-harness.js";

cleanTemporaryFolders();

const at = (counter: number): Zxid => (counter === 0 ? ZXID_ZERO : { epoch: 1, counter });

interface Installed {
  readonly session: number;
  readonly at: Zxid;
  readonly keys: number | undefined;
  readonly problem: string | undefined;
}

/** An open storage whose completions can be waited for. */
class Node {
  readonly storage: Storage;
  readonly events: Events;
  #seq = 0;

  private constructor(storage: Storage, events: Events) {
    this.storage = storage;
    this.events = events;
  }

  static async open(dir: string, change: Partial<StorageOptions> = {}): Promise<Node> {
    const events = new Events();
    const storage = await openStorage({
      dir,
      clusterId: "ledger",
      nodeId: nodeId(1),
      configuration: CONFIGURATION,
      bootstrap: true,
      segmentBytes: SEGMENT_BYTES,
      fetchSnapshot: () => {
        throw new Error("no peer");
      },
      onPersisted: (seq) => events.note(() => (events.persisted = seq)),
      onCheckpointed: (zxid) => events.note(() => events.checkpointed.push(zxid)),
      onInstalled: (session, zxid, entries, problem) =>
        events.note(() =>
          events.installed.push({ session, at: zxid, keys: entries === undefined ? undefined : [...entries].length, problem }),
        ),
      onDamaged: (finding) => events.note(() => events.damaged.push(finding)),
      onFatal: (error) => events.note(() => events.fatal.push(error)),
      ...change,
    });
    return new Node(storage, events);
  }

  async persist(...ops: PersistOp[]): Promise<void> {
    this.storage.log.submit(ops.map((op) => ({ seq: ++this.#seq, op })));
    await this.events.until(() => this.events.persisted >= this.#seq);
  }

  /** Appends entries 1:from..1:to. */
  append(from: number, to: number): Promise<void> {
    return this.persist({
      kind: "append",
      previous: at(from - 1),
      entries: Array.from({ length: to - from + 1 }, (_, i) => entry(1, from + i, Buffer.alloc(400, i))),
    });
  }

  async checkpoint(counter: number, keys = 3): Promise<void> {
    const before = this.events.checkpointed.length;
    this.storage.state.checkpoint(
      at(counter),
      Array.from({ length: keys }, (_, i) => ({ key: `k${i}`, value: Buffer.from(`as of ${counter}`) })),
    );
    await this.events.until(() => this.events.checkpointed.length > before);
  }

  get found(): { applied: Zxid; base: Zxid; entries: number; keys: number; damage: string | undefined } {
    const { log, state } = this.storage.recovered;
    return { applied: log.applied, base: log.base, entries: log.entries.length, keys: [...state].length, damage: log.epochs.damage };
  }
}

class Events {
  persisted = 0;
  readonly checkpointed: Zxid[] = [];
  readonly installed: Installed[] = [];
  readonly damaged: string[] = [];
  readonly fatal: Error[] = [];
  #waiting: (() => void)[] = [];

  note(change: () => void): void {
    change();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.fatal[0] !== undefined) throw this.fatal[0];
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** A closed folder: entries 1..40, a checkpoint at 30, and, if asked for, the log compacted up to it. */
async function folderWith(compacted: boolean): Promise<string> {
  const dir = temporaryFolder();
  const node = await Node.open(dir);
  await node.append(1, 40);
  await node.checkpoint(30);
  if (compacted) await node.persist({ kind: "compact", upTo: at(30) });
  await node.storage.close();
  return dir;
}

describe("a start", () => {
  test("finds entries, state and promises as they were", async () => {
    const dir = await folderWith(false);
    const node = await Node.open(dir);
    expect(node.found).toEqual({ applied: at(30), base: at(0), entries: 40, keys: 3, damage: undefined });
    expect(node.storage.recovered.findings).toEqual([]);
    await node.append(41, 42);
    await node.storage.close();
  });

  test("with the state lost and the log whole from its beginning replays the log", async () => {
    const dir = await folderWith(false);
    rmSync(join(dir, "state"), { recursive: true });
    const node = await Node.open(dir);
    expect(node.found).toEqual({ applied: at(0), base: at(0), entries: 40, keys: 0, damage: undefined });
    expect(node.storage.recovered.findings).toHaveLength(1);
    await node.checkpoint(40);
    await node.storage.close();
    const again = await Node.open(dir);
    expect(again.found).toEqual({ applied: at(40), base: at(0), entries: 40, keys: 3, damage: undefined });
    expect(again.storage.recovered.findings).toEqual([]);
    await again.storage.close();
  });

  test("with the state lost and the log compacted comes up damaged, empty, and says why", async () => {
    const dir = await folderWith(true);
    const state = join(dir, "state");
    for (const name of readdirSync(state).filter((each) => each.endsWith(".log"))) {
      const bytes = readFileSync(join(state, name));
      bytes[40] = (bytes[40] ?? 0) ^ 8;
      writeFileSync(join(state, name), bytes);
    }
    for (let start = 0; start < 2; start++) {
      const node = await Node.open(dir);
      expect(node.found).toEqual({ applied: at(0), base: at(0), entries: 0, keys: 0, damage: "log" });
      if (start === 0) expect(node.storage.recovered.findings.join("\n")).toMatch(/state[\s\S]*the log starts after/);
      await node.storage.close();
    }
  });

  test("with an older copy of the whole state replays from the log when it reaches back, and is damaged when it does not", async () => {
    for (const compacted of [false, true]) {
      const dir = temporaryFolder();
      const node = await Node.open(dir);
      await node.append(1, 20);
      await node.checkpoint(10);
      await node.storage.close();
      const old = temporaryFolder();
      for (const name of ["state", "checkpoint"]) cpSync(join(dir, name), join(old, name), { recursive: true });
      const later = await Node.open(dir);
      await later.append(21, 40);
      await later.checkpoint(30);
      if (compacted) await later.persist({ kind: "compact", upTo: at(30) });
      await later.storage.close();
      for (const name of ["state", "checkpoint"]) {
        rmSync(join(dir, name), { recursive: true });
        cpSync(join(old, name), join(dir, name), { recursive: true });
      }
      const back = await Node.open(dir);
      expect(back.found).toEqual(
        compacted
          ? { applied: at(10), base: at(10), entries: 0, keys: 3, damage: "log" }
          : { applied: at(10), base: at(0), entries: 40, keys: 3, damage: undefined },
      );
      await back.storage.close();
    }
  });

  test("after a rebuild is undamaged again, and the state that was set aside is still there to look at", async () => {
    const dir = await folderWith(true);
    rmSync(join(dir, "state", "CURRENT"));
    const node = await Node.open(dir);
    expect(node.found.damage).toBe("log");
    const { epochs } = node.storage.recovered.log;
    await node.persist(
      { kind: "append", previous: at(0), entries: [entry(2, 1)] },
      { kind: "epochs", record: { ...epochs, acceptedEpoch: 2, currentEpoch: 2, damage: undefined } },
    );
    await node.storage.close();
    const again = await Node.open(dir);
    expect(again.found).toMatchObject({ entries: 1, damage: undefined });
    expect(readdirSync(dir)).toContain("state.damaged");
    await again.storage.close();
  });
});

describe("a snapshot between two nodes", () => {
  async function leaderWith(keys: number): Promise<Node> {
    const leader = await Node.open(temporaryFolder());
    await leader.append(1, 5);
    await leader.checkpoint(5, keys);
    return leader;
  }

  test("makes the learner's state the leader's; a crash before the log's reset is mended at the next start", async () => {
    const leader = await leaderWith(3000);
    const fetch: FetchSnapshot = (_, snapshotId) => leader.storage.state.readSnapshot(snapshotId);
    const dir = temporaryFolder();
    const learner = await Node.open(dir, { bootstrap: false, fetchSnapshot: fetch });
    await learner.persist({ kind: "append", previous: at(0), entries: [entry(1, 1), entry(1, 2)] });
    const pin = leader.storage.state.pinSnapshot();
    learner.storage.state.install(7, nodeId(1), pin.at, pin.snapshotId);
    await learner.events.until(() => learner.events.installed.length > 0);
    expect(learner.events.installed).toEqual([{ session: 7, at: at(5), keys: 3000, problem: undefined }]);
    leader.storage.state.releaseSnapshot(pin.snapshotId);
    await learner.storage.close(); // the reset of the log was never asked for
    const again = await Node.open(dir);
    expect(again.found).toEqual({ applied: at(5), base: at(5), entries: 0, keys: 3000, damage: "identity" });
    await again.storage.close();
    await leader.storage.close();
  });

  test("that fails on the way, ends early or is not what was announced changes nothing, and a later one succeeds", async () => {
    const leader = await leaderWith(2000);
    let spoil: (chunks: AsyncIterable<SnapshotChunk>) => AsyncIterable<SnapshotChunk> = (chunks) => chunks;
    const learner = await Node.open(temporaryFolder(), { fetchSnapshot: (_, id) => spoil(leader.storage.state.readSnapshot(id)) });
    const attempts: [(chunks: AsyncIterable<SnapshotChunk>) => AsyncIterable<SnapshotChunk>, RegExp | undefined][] = [
      [failAfterOne, /stream failed: connection reset/],
      [withoutEnd, /ended before its end/],
      [withoutFirst, /should hold 2000 keys/],
      [(chunks) => chunks, undefined],
    ];
    for (const [index, [change, problem]] of attempts.entries()) {
      spoil = change;
      const pin = leader.storage.state.pinSnapshot();
      learner.storage.state.install(index, nodeId(1), pin.at, pin.snapshotId);
      await learner.events.until(() => learner.events.installed.length > index);
      const result = learner.events.installed[index];
      if (problem === undefined) expect(result).toMatchObject({ session: index, keys: 2000, problem: undefined });
      else {
        expect(result?.keys).toBeUndefined();
        expect(result?.problem).toMatch(problem);
      }
      leader.storage.state.releaseSnapshot(pin.snapshotId);
    }
    expect(learner.events.fatal).toEqual([]);
    await learner.storage.close();
    await leader.storage.close();
  });

  test("gives way to a newer one even while its stream hangs", async () => {
    const leader = await leaderWith(10);
    let hangs = false;
    let cancelled = false;
    async function* hanging(signal: AbortSignal): AsyncGenerator<SnapshotChunk> {
      signal.addEventListener("abort", () => (cancelled = true));
      yield { entries: [{ key: "half", value: Buffer.from("way") }] };
      hangs = true;
      await new Promise(() => undefined);
    }
    const learner = await Node.open(temporaryFolder(), {
      fetchSnapshot: (_, id, signal) => (id === "hanging" ? hanging(signal) : leader.storage.state.readSnapshot(id)),
    });
    learner.storage.state.install(1, nodeId(1), at(4), "hanging");
    while (!hangs) await new Promise((resolve) => setImmediate(resolve));
    const pin = leader.storage.state.pinSnapshot();
    learner.storage.state.install(2, nodeId(1), pin.at, pin.snapshotId);
    await learner.events.until(() => learner.events.installed.length === 2);
    expect(learner.events.installed).toEqual([
      { session: 1, at: at(4), keys: undefined, problem: "a newer install was asked for" },
      { session: 2, at: at(5), keys: 10, problem: undefined },
    ]);
    expect(cancelled).toBe(true);
    await learner.storage.close();
    await leader.storage.close();
  });

  test("is given up with its session even while its stream hangs, and not with another's", async () => {
    let signal: AbortSignal | undefined;
    const learner = await Node.open(temporaryFolder(), {
      fetchSnapshot: async function* (_, __, given) {
        signal = given;
        yield { entries: [{ key: "half", value: Buffer.from("way") }] };
        await new Promise(() => undefined);
      },
    });
    learner.storage.state.install(1, nodeId(1), at(4), "hanging");
    while (signal === undefined) await new Promise((resolve) => setImmediate(resolve));
    learner.storage.state.cancelInstall(2);
    expect(signal.aborted).toBe(false);
    learner.storage.state.cancelInstall(1);
    expect(signal.aborted).toBe(true);
    await learner.events.until(() => learner.events.installed.length === 1);
    expect(learner.events.installed).toEqual([
      { session: 1, at: at(4), keys: undefined, problem: "the session that asked for it has ended" },
    ]);
    await learner.storage.close();
  });
});

async function* failAfterOne(chunks: AsyncIterable<SnapshotChunk>): AsyncGenerator<SnapshotChunk> {
  for await (const chunk of chunks) {
    yield chunk;
    throw new Error("connection reset");
  }
}

async function* withoutEnd(chunks: AsyncIterable<SnapshotChunk>): AsyncGenerator<SnapshotChunk> {
  for await (const { entries, end } of chunks) if (end === undefined) yield { entries };
}

async function* withoutFirst(chunks: AsyncIterable<SnapshotChunk>): AsyncGenerator<SnapshotChunk> {
  let first = true;
  for await (const { entries, end } of chunks) {
    yield { entries: first ? entries.slice(1) : entries, end };
    first = false;
  }
}
