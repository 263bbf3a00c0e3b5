/**
 * A log with its epochs record on some disk, and the model it is compared with.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { compareZxid, equalZxid, formatZxid, nodeId, ZXID_ZERO } from "../../src/base/index.js";
import type { Zxid } from "../../src/base/index.js";
import type { Configuration, Entry, EpochRecord, PersistOp } from "../../src/zab/index.js";
import { nodeDisk } from "../../src/storage/disk.js";
import type { Disk } from "../../src/storage/disk.js";
import { EpochsFile } from "../../src/storage/epochs-file.js";
import { noFailpoint } from "../../src/storage/identity.js";
import type { Failpoint, Identity } from "../../src/storage/identity.js";
import { createLog, openLog } from "../../src/storage/log-store.js";
import type { OpenedLog } from "../../src/storage/log-store.js";

export const IDENTITY: Identity = { clusterId: "test-cluster", nodeId: nodeId(1) };
export const SEGMENT_BYTES = 8 * 1024;

export const CONFIGURATION: Configuration = {
  current: {
    version: ZXID_ZERO,
    members: [1, 2, 3].map((id) => ({
      id: nodeId(id),
      peerAddress: `127.0.0.1:${7000 + id}`,
      clientAddress: `127.0.0.1:${8000 + id}`,
      role: "voter" as const,
    })),
  },
  next: undefined,
};

export const FIRST_EPOCHS: EpochRecord = { acceptedEpoch: 0, currentEpoch: 0, configuration: CONFIGURATION, damage: undefined };

const temporary: string[] = [];

/** A folder that lives as long as the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "quorate-storage-"));
  temporary.push(folder);
  return folder;
}

export function cleanTemporaryFolders(): void {
  afterAll(() => {
    for (const folder of temporary.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
}

export function entry(epoch: number, counter: number, payload: Uint8Array | string = `${epoch}:${counter}`): Entry {
  return { zxid: { epoch, counter }, payload: typeof payload === "string" ? Buffer.from(payload) : payload };
}

export interface OpenHarness {
  readonly opened: OpenedLog;
  readonly epochs: EpochsFile;
  readonly damage: EpochRecord["damage"];
  /** Highest completed sequence number. */
  readonly completed: () => number;
  readonly fatal: () => Error | undefined;
  submit(...ops: PersistOp[]): number;
  /** Resolves when `seq` is durable, or the log has failed. */
  until(seq: number): Promise<void>;
  close(): Promise<void>;
}

export async function makeLog(root: string, disk: Disk = nodeDisk, segmentBytes = SEGMENT_BYTES): Promise<void> {
  mkdirSync(join(root, "log"), { recursive: true });
  await EpochsFile.create(join(root, "epochs"), disk, IDENTITY, FIRST_EPOCHS);
  await createLog(join(root, "log"), disk, IDENTITY, segmentBytes);
}

export interface OpenHarnessOptions {
  readonly disk?: Disk;
  readonly applied?: Zxid;
  readonly installed?: boolean;
  readonly failpoint?: Failpoint;
  readonly segmentBytes?: number;
}

export async function openHarness(root: string, options: OpenHarnessOptions = {}): Promise<OpenHarness> {
  const { disk = nodeDisk, applied = ZXID_ZERO, installed = false, failpoint = noFailpoint, segmentBytes = SEGMENT_BYTES } = options;
  const { file: epochs, loaded } = await EpochsFile.open(join(root, "epochs"), disk, IDENTITY, failpoint);
  let completed = 0;
  let fatal: Error | undefined;
  let wake: (() => void)[] = [];
  const signal = (): void => {
    for (const each of wake.splice(0)) each();
  };
  const opened = await openLog({
    folder: join(root, "log"),
    disk,
    identity: IDENTITY,
    segmentBytes,
    applied,
    installed,
    epochs,
    knownSynced: loaded.synced,
    onDamage: () => epochs.repair({ ...epochs.record, damage: "log" }, loaded.synced),
    failpoint,
    onPersisted: (seq) => {
      if (seq <= completed) throw new Error(`completions grow: ${seq} after ${completed}`);
      completed = seq;
      signal();
    },
    onFatal: (error) => {
      fatal = error;
      signal();
    },
  });
  let seq = 0;
  return {
    opened,
    epochs,
    damage: epochs.record.damage,
    completed: () => completed,
    fatal: () => fatal,
    submit: (...ops) => {
      opened.writer.submit(ops.map((op) => ({ seq: ++seq, op })));
      return seq;
    },
    until: async (wanted) => {
      while (completed < wanted && fatal === undefined) await new Promise<void>((resolve) => wake.push(resolve));
    },
    close: async () => {
      wake = [];
      await opened.writer.close();
      await epochs.close();
    },
  };
}

/** What the log must be: the plain meaning of the operations. */
export class LogModel {
  base: Zxid = ZXID_ZERO;
  entries: Entry[] = [];
  epochs: EpochRecord = FIRST_EPOCHS;

  get last(): Zxid {
    return this.entries.at(-1)?.zxid ?? this.base;
  }

  clone(): LogModel {
    const copy = new LogModel();
    copy.base = this.base;
    copy.entries = [...this.entries];
    copy.epochs = this.epochs;
    return copy;
  }

  truncate(after: Zxid): void {
    this.entries = this.entries.filter(({ zxid }) => compareZxid(zxid, after) <= 0);
  }

  reset(base: Zxid): void {
    this.base = base;
    this.entries = [];
  }

  /** What is wrong with a recovered log, if it were in this state; compaction may or may not have moved its base. */
  difference(base: Zxid, entries: readonly Entry[], epochs: EpochRecord): string | undefined {
    if (JSON.stringify(epochs) !== JSON.stringify(this.epochs)) return "the epochs record differs";
    if (compareZxid(base, this.base) < 0) return `base ${formatZxid(base)} lies below ${formatZxid(this.base)}`;
    const isKnown = equalZxid(base, this.base) || this.entries.some(({ zxid }) => equalZxid(zxid, base));
    if (!isKnown) return `base ${formatZxid(base)} is no entry`;
    const expected = this.entries.filter(({ zxid }) => compareZxid(zxid, base) > 0);
    if (expected.length !== entries.length) return `${entries.length} entries instead of ${expected.length}`;
    const wrong = expected.findIndex((each, i) => {
      const got = entries[i];
      return got === undefined || !equalZxid(got.zxid, each.zxid) || !Buffer.from(got.payload).equals(each.payload);
    });
    return wrong === -1 ? undefined : `entry ${wrong} differs`;
  }
}
