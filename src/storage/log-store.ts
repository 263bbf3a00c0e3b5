/**
 * Opens the log: recovers it, makes what was found durable, and hands out a writer that continues it.
 *
 * Order matters. Damage is in the epochs record before any file changes. What recovery accepted past the last known sync is
 * written and synced again before it is reported, because after a crash of the process alone it may be in the page cache only, and
 * after a failed sync the kernel may show pages as clean that never reached the disk. A tail is never erased in place: a new
 * segment whose header says where the old one ends excludes it in one rename.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Zxid } from "../base/index.js";
import { ZXID_ZERO } from "../base/index.js";
import type { Entry } from "../zab/index.js";
import { openFile, settled, writeFully } from "./disk.js";
import type { Disk } from "./disk.js";
import type { EpochsFile } from "./epochs-file.js";
import type { Failpoint, Identity, LogPosition } from "./identity.js";
import { LOG_FORMAT_VERSION, SEGMENT_HEADER_BYTES } from "./log-format.js";
import { recoverLog } from "./log-recovery.js";
import type { LogRecovery, LogTail } from "./log-recovery.js";
import { damagedNumber, SegmentFiles, segmentName } from "./log-segments.js";
import type { OpenSegment } from "./log-segments.js";
import { LogWriter } from "./log-writer.js";
import { SYNC_MARK_NAME, SyncMark } from "./sync-mark.js";

export interface OpenLogOptions {
  readonly folder: string;
  readonly disk: Disk;
  readonly identity: Identity;
  readonly segmentBytes: number;
  /** The state's applied zxid, and whether the state last changed by installing a snapshot rather than by a checkpoint. */
  readonly applied: Zxid;
  readonly installed: boolean;
  /** The record of promises whose writes stand in the log's queue; undefined: there is none, and no damage is on record. */
  readonly epochs: EpochsFile | undefined;
  /** The log was durable up to here when somebody last wrote that down elsewhere: in the epochs record, in a checkpoint. */
  readonly knownSynced: LogPosition;
  /** Called when entries are missing, before any file is changed; resolves when that is durable. A rejection refuses the log. */
  readonly onDamage: (findings: readonly string[]) => Promise<void>;
  readonly failpoint: Failpoint;
  readonly onPersisted: (seq: number) => void;
  readonly onFatal: (error: Error) => void;
}

export interface OpenedLog {
  readonly writer: LogWriter;
  readonly base: Zxid;
  readonly entries: readonly Entry[];
  readonly findings: readonly string[];
}

/** Makes an empty log: the folder, its mark and its first segment. Its first entry will follow `base`. */
export async function createLog(
  folder: string,
  disk: Disk,
  identity: Identity,
  segmentBytes: number,
  base: Zxid = ZXID_ZERO,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await SyncMark.create(join(folder, SYNC_MARK_NAME), disk);
  const files = new SegmentFiles(folder, disk, segmentBytes);
  const first = await files.create({ ...identity, segment: 1, continues: undefined, previous: base }, LOG_FORMAT_VERSION, 0);
  await settled((done) => disk.close(first.fd, done));
  await files.close();
}

export async function openLog(options: OpenLogOptions): Promise<OpenedLog> {
  const { folder, disk, identity, applied, installed, epochs } = options;
  await mkdir(folder, { recursive: true });
  const files = new SegmentFiles(folder, disk, options.segmentBytes);
  await files.removeLeftovers();
  const { mark, position, findings: markFindings } = await SyncMark.open(join(folder, SYNC_MARK_NAME), disk, (error) => writer.stop(error));
  const recovered = async (): Promise<{ recovery: LogRecovery; active: OpenSegment; end: number }> => {
    const recovery = await recoverLog({ folder, identity, applied, installed, promised: [options.knownSynced, position] });
    if (recovery.damaged) await options.onDamage(recovery.findings);
    const continued = await continueLog(recovery, files, disk, identity, applied);
    await dispose(folder, disk, recovery.unused, epochs === undefined || epochs.record.damage === undefined);
    return { recovery, ...continued };
  };
  const { recovery, active, end } = await recovered().catch(async (error: unknown) => {
    await mark.close(undefined);
    throw error;
  });
  mark.note({ segment: active.segment, offset: end });
  const { index } = recovery;
  const { failpoint, onPersisted, onFatal } = options;
  const writer: LogWriter = new LogWriter({ disk, identity, files, epochs, mark, index, active, end, failpoint, onPersisted, onFatal });
  return { writer, base: index.base, entries: recovery.entries, findings: [...markFindings, ...recovery.findings] };
}

async function continueLog(
  { tail, next, index, highest }: LogRecovery,
  files: SegmentFiles,
  disk: Disk,
  identity: Identity,
  applied: Zxid,
): Promise<{ active: OpenSegment; end: number }> {
  const old = tail === undefined ? undefined : await rewriteTail(files.folder, disk, tail);
  if (old !== undefined && next === "continue") return { active: old, end: tail?.end ?? 0 };
  if (old !== undefined) await settled((done) => disk.close(old.fd, done));
  const continues = next === "cut" && tail !== undefined ? { segment: tail.segment, end: tail.end } : undefined;
  const previous = continues === undefined ? applied : index.last;
  const active = await files.create({ ...identity, segment: highest + 1, continues, previous }, LOG_FORMAT_VERSION, 0);
  index.addSegment(active.segment);
  return { active, end: SEGMENT_HEADER_BYTES };
}

/** Writes and syncs again what lies past the last known sync, and the folder's names. */
async function rewriteTail(folder: string, disk: Disk, tail: LogTail): Promise<OpenSegment> {
  const path = join(folder, segmentName(tail.segment));
  const fd = await openFile(disk, path, "synced");
  const bytes = tail.bytes.subarray(tail.synced, tail.end);
  await settled((done) => writeFully(disk, fd, bytes, bytes.length, tail.synced, done));
  await settled((done) => disk.syncFolder(folder, done));
  return { segment: tail.segment, path, fd, capacity: tail.capacity, seed: tail.seed };
}

/** Removes segments that are no longer part of the log; while the node is damaged they are set aside for inspection instead. */
async function dispose(folder: string, disk: Disk, unused: readonly number[], trusted: boolean): Promise<void> {
  for (const segment of unused) {
    const path = join(folder, segmentName(segment));
    if (trusted) await settled((done) => disk.unlink(path, done));
    else await settled((done) => disk.rename(path, `${path}.damaged`, done));
  }
  if (trusted) {
    for (const name of await readdir(folder)) {
      if (damagedNumber(name) !== undefined) await settled((done) => disk.unlink(join(folder, name), done));
    }
  }
  await settled((done) => disk.syncFolder(folder, done));
}
