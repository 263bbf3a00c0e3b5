/**
 * The promises record on disk: accepted and current epoch, configuration, damage, and whose they are.
 *
 * Two slots, each held twice (slot-file.ts). A record is durable before {@link EpochsFile.write} completes. Beside the record it
 * carries how far the log was synced when it was written, as an independent witness against a log that silently got shorter.
 */
import { QuorateError } from "../base/index.js";
import type { EpochRecord } from "../zab/index.js";
import type { Disk, Done } from "./disk.js";
import { LOG_POSITION_ZERO } from "./identity.js";
import type { Failpoint, Identity, LogPosition } from "./identity.js";
import { SlotFile } from "./slot-file.js";
import type { SlotShape } from "./slot-file.js";

/** Room for seven members in two memberships, each with two addresses of the longest length DNS allows. */
const SHAPE: SlotShape = { copies: 2, copyBytes: 16 * 1024 };
export const EPOCHS_FORMAT_VERSION = 1;

interface StoredEpochs extends Identity {
  readonly formatVersion: number;
  readonly record: Omit<EpochRecord, "damage"> & { readonly damage: EpochRecord["damage"] | null };
  readonly synced: LogPosition;
}

export interface LoadedEpochs {
  readonly identity: Identity;
  readonly formatVersion: number;
  readonly record: EpochRecord;
  /** The log was durable up to here when the record was written. */
  readonly synced: LogPosition;
  /** A newer promise may be unreadable. */
  readonly newerMayBeLost: boolean;
  readonly findings: readonly string[];
}

export class EpochsFile {
  readonly #slots: SlotFile;
  readonly #identity: Identity;
  readonly #failpoint: Failpoint;
  #record: EpochRecord;

  private constructor(slots: SlotFile, identity: Identity, record: EpochRecord, failpoint: Failpoint) {
    this.#slots = slots;
    this.#identity = identity;
    this.#record = record;
    this.#failpoint = failpoint;
  }

  static async create(path: string, disk: Disk, identity: Identity, record: EpochRecord): Promise<void> {
    const slots = await SlotFile.create(path, disk, SHAPE, encode(identity, record, LOG_POSITION_ZERO));
    await slots.close();
  }

  /**
   * Opens the record of an existing folder. Repairs copies that were unreadable. Rejects with QUORATE_DATA_FOLDER when no copy can
   * be read: without its promises the node has no identity.
   */
  static async open(
    path: string,
    disk: Disk,
    identity: Identity,
    failpoint: Failpoint,
  ): Promise<{ file: EpochsFile; loaded: LoadedEpochs }> {
    const { file: slots, content } = await SlotFile.open(path, disk, SHAPE).catch((error: NodeJS.ErrnoException) => {
      throw error.code === "ENOENT" ? identityLost(path, error) : error;
    });
    if (content.text === undefined) {
      await slots.close();
      throw identityLost(path, undefined);
    }
    const stored = JSON.parse(content.text) as StoredEpochs;
    const loaded: LoadedEpochs = {
      identity: { clusterId: stored.clusterId, nodeId: stored.nodeId },
      formatVersion: stored.formatVersion,
      record: { ...stored.record, configuration: revive(stored.record.configuration), damage: stored.record.damage ?? undefined },
      synced: stored.synced,
      newerMayBeLost: content.newerMayBeLost,
      findings: content.findings,
    };
    return { file: new EpochsFile(slots, identity, loaded.record, failpoint), loaded };
  }

  get path(): string {
    return this.#slots.path;
  }

  /** The record as last made durable. */
  get record(): EpochRecord {
    return this.#record;
  }

  /** `synced`: how far the log is durable now. One write at a time; `done` is called when the record is on disk. */
  write(record: EpochRecord, synced: LogPosition, done: Done): void {
    this.#failpoint("epochs.write.before");
    this.#slots.write(encode(this.#identity, record, synced), (error) => {
      if (error !== null) return done(error);
      this.#record = record;
      try {
        this.#failpoint("epochs.write.after");
      } catch (thrown) {
        return done(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
      done(null);
    });
  }

  /** Writes every copy again: repairs copies that were unreadable. */
  repair(record: EpochRecord, synced: LogPosition): Promise<void> {
    this.#record = record;
    return this.#slots.rewrite(encode(this.#identity, record, synced));
  }

  close(): Promise<void> {
    return this.#slots.close();
  }
}

function encode(identity: Identity, record: EpochRecord, synced: LogPosition): string {
  const stored: StoredEpochs = {
    formatVersion: EPOCHS_FORMAT_VERSION,
    clusterId: identity.clusterId,
    nodeId: identity.nodeId,
    record: { ...record, damage: record.damage ?? null },
    synced,
  };
  return JSON.stringify(stored);
}

/** JSON leaves out a `next` that is undefined; the record's shape has it. */
function revive(configuration: EpochRecord["configuration"]): EpochRecord["configuration"] {
  return { current: configuration.current, next: configuration.next };
}

function identityLost(path: string, cause: unknown): QuorateError {
  return new QuorateError(
    "QUORATE_DATA_FOLDER",
    `no copy of the epochs record in ${path} can be read, so what this node promised is unknown and it must not vote from this folder. ` +
      `Move the whole data folder away and start the node with an empty one: it then rejoins as a member without memory and rebuilds from the leader. ` +
      `Do not bootstrap it again.`,
    { cause },
  );
}
