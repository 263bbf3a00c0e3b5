/**
 * Whose folder this is, and whether this process may use it.
 *
 *   format.json   what, which format, whose; written last when a folder is made, so that a half-made one is recognised
 *   lock/ owner   one process per folder
 *   epochs        the promises record
 *   log/          the write-ahead log
 *   state/        the replicated state, and checkpoint, its witness
 *
 * Refuses with QUORATE_DATA_FOLDER, in words that name the folder, both sides and the fix. Never adopts, converts or empties a folder
 * that is not this node's own. A folder made without bootstrapping starts as damaged "identity": a member that comes back without
 * its memory must not vote.
 */
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { crc32c, formatNodeId, messageOf, QuorateError } from "../base/index.js";
import type { Configuration, EpochRecord } from "../zab/index.js";
import { settled } from "./disk.js";
import type { Disk } from "./disk.js";
import { EPOCHS_FORMAT_VERSION, EpochsFile } from "./epochs-file.js";
import type { LoadedEpochs } from "./epochs-file.js";
import { LOCK_FOLDER, lockFolder, OWNER_FILE } from "./folder-lock.js";
import type { FolderLock } from "./folder-lock.js";
import type { Failpoint, Identity } from "./identity.js";
import { createLog } from "./log-store.js";
import { createState, DAMAGED_SUFFIX } from "./state-files.js";

export const DATA_FORMAT_VERSION = 1;
const FORMAT_FILE = "format.json";
/** Present while a folder is being made, and never afterwards. */
const UNFINISHED_FILE = "format.json.new";
const REPAIR_FILE = "format.json.repair";
const EPOCHS_FILE = "epochs";
const LOG_FOLDER = "log";
const STATE_FOLDER = "state";
const STATE_WITNESS = "checkpoint";
const OWN_NAMES = new Set([
  LOCK_FOLDER,
  OWNER_FILE,
  FORMAT_FILE,
  UNFINISHED_FILE,
  REPAIR_FILE,
  EPOCHS_FILE,
  LOG_FOLDER,
  STATE_FOLDER,
  STATE_WITNESS,
  `${STATE_FOLDER}${DAMAGED_SUFFIX}`,
]);
/** What a file system or an administrator may leave at the top of a volume. */
const HARMLESS_NAMES = new Set(["lost+found", ".DS_Store"]);

export interface DataFolderOptions extends Identity {
  readonly dir: string;
  /** Written into the epochs record of a folder that is made now; ignored for an existing one, whose own record is in force. */
  readonly configuration: Configuration;
  /**
   * Only matters when the folder is empty. True: this cluster starts for the first time, with this node as a member that has promised
   * nothing. False: the cluster exists, and this member has lost or never had its memory.
   */
  readonly bootstrap: boolean;
  readonly segmentBytes: number;
  readonly disk: Disk;
  readonly failpoint: Failpoint;
}

export interface DataFolder {
  readonly paths: { readonly log: string; readonly state: string; readonly stateWitness: string };
  readonly epochs: EpochsFile;
  readonly loadedEpochs: LoadedEpochs;
  readonly findings: readonly string[];
  release(): Promise<void>;
}

interface FormatRecord extends Identity {
  readonly product: "quorate";
  readonly formatVersion: number;
}

export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const dir = resolve(options.dir);
  await mkdir(dir, { recursive: true }).catch((cause: unknown) => {
    throw new QuorateError(
      "QUORATE_DATA_FOLDER",
      `data folder ${dir} cannot be made: ${messageOf(cause)}. Point dataDir at a folder this user may write to.`,
      { cause },
    );
  });
  const before = await readdir(dir);
  refuseForeign(dir, before);
  const lock = await lockFolder(dir);
  try {
    return await openLocked(dir, options, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function openLocked(dir: string, options: DataFolderOptions, lock: FolderLock): Promise<DataFolder> {
  const { disk } = options;
  const findings: string[] = [];
  const names = new Set(await readdir(dir));
  if (!names.has(FORMAT_FILE) && (names.has(UNFINISHED_FILE) || ![EPOCHS_FILE, LOG_FOLDER, STATE_FOLDER].some((name) => names.has(name)))) {
    await formatFolder(dir, options);
  } else if (!names.has(FORMAT_FILE)) {
    throw new QuorateError(
      "QUORATE_DATA_FOLDER",
      `data folder ${dir} has no ${FORMAT_FILE} but has other files of a node. Put ${FORMAT_FILE} back, or move the folder away and start the node with an empty one.`,
    );
  }
  const format = await readFormat(join(dir, FORMAT_FILE));
  if (format !== undefined) refuseOther(dir, format, options);

  const { file: epochs, loaded } = await EpochsFile.open(join(dir, EPOCHS_FILE), disk, options, options.failpoint);
  try {
    refuseOther(
      join(dir, EPOCHS_FILE),
      { product: "quorate", formatVersion: loaded.formatVersion, ...loaded.identity },
      options,
      EPOCHS_FORMAT_VERSION,
    );
    if (format === undefined) {
      findings.push(`${join(dir, FORMAT_FILE)} was unreadable and was written again from the epochs record`);
      await writeFormat(dir, options);
    }
    findings.push(...loaded.findings);
    if (loaded.newerMayBeLost && loaded.record.damage !== "identity") {
      findings.push(
        `${epochs.path}: both copies of one slot are unreadable, so a newer promise may be lost; the node does not vote until it has rebuilt`,
      );
      await epochs.repair({ ...loaded.record, damage: "identity" }, loaded.synced);
    } else if (loaded.findings.length > 0) await epochs.repair(loaded.record, loaded.synced);
  } catch (error) {
    await epochs.close();
    throw error;
  }
  return {
    paths: { log: join(dir, LOG_FOLDER), state: join(dir, STATE_FOLDER), stateWitness: join(dir, STATE_WITNESS) },
    epochs,
    loadedEpochs: loaded,
    findings,
    release: async () => {
      await epochs.close();
      await lock.release();
    },
  };
}

function refuseForeign(dir: string, names: readonly string[]): void {
  const foreign = names.filter((name) => !OWN_NAMES.has(name) && !HARMLESS_NAMES.has(name));
  if (foreign.length === 0) return;
  throw new QuorateError(
    "QUORATE_DATA_FOLDER",
    `data folder ${dir} holds ${foreign
      .slice(0, 3)
      .map((name) => JSON.stringify(name))
      .join(", ")}${foreign.length > 3 ? ` and ${foreign.length - 3} more` : ""}, ` +
      `which is not Quorate's. Point dataDir at an empty folder or at this node's own.`,
  );
}

function refuseOther(place: string, found: FormatRecord, own: Identity, newest = DATA_FORMAT_VERSION): void {
  const refuse = (message: string): never => {
    throw new QuorateError("QUORATE_DATA_FOLDER", message);
  };
  if (found.formatVersion > newest) {
    refuse(
      `data folder ${place} has format ${found.formatVersion}; this version reads up to ${newest}. Start the node with the newer version that wrote it.`,
    );
  }
  if (found.clusterId !== own.clusterId) {
    refuse(
      `data folder ${place} belongs to cluster ${JSON.stringify(found.clusterId)}, but this node is configured for cluster ${JSON.stringify(own.clusterId)}. ` +
        `Correct the cluster id, or give the node another data folder.`,
    );
  }
  if (found.nodeId !== own.nodeId) {
    refuse(
      `data folder ${place} belongs to node ${formatNodeId(found.nodeId)}, but this node is configured as ${formatNodeId(own.nodeId)}. ` +
        `Correct the node id, or give the node its own data folder.`,
    );
  }
}

/** Makes a folder. Nothing in it counts until the last rename; an interrupted attempt is removed and made again. */
async function formatFolder(dir: string, options: DataFolderOptions): Promise<void> {
  const { disk, clusterId, nodeId, segmentBytes, configuration, bootstrap } = options;
  const identity: Identity = { clusterId, nodeId };
  await writeDurably(join(dir, UNFINISHED_FILE), formatText(identity));
  await settled((done) => disk.syncFolder(dir, done));
  for (const name of [EPOCHS_FILE, LOG_FOLDER, STATE_FOLDER, STATE_WITNESS]) await rm(join(dir, name), { recursive: true, force: true });
  const record: EpochRecord = { acceptedEpoch: 0, currentEpoch: 0, configuration, damage: bootstrap ? undefined : "identity" };
  await EpochsFile.create(join(dir, EPOCHS_FILE), disk, identity, record);
  await createLog(join(dir, LOG_FOLDER), disk, identity, segmentBytes);
  await createState(join(dir, STATE_FOLDER), join(dir, STATE_WITNESS), disk, 1);
  await settled((done) => disk.syncFolder(dir, done));
  await rename(join(dir, UNFINISHED_FILE), join(dir, FORMAT_FILE));
  await settled((done) => disk.syncFolder(dir, done));
  await settled((done) => disk.syncFolder(dirname(dir), done));
}

function formatText({ clusterId, nodeId }: Identity): string {
  const format: FormatRecord = { product: "quorate", formatVersion: DATA_FORMAT_VERSION, clusterId, nodeId };
  const text = JSON.stringify(format);
  return `${JSON.stringify({ format, crc32c: crc32c(Buffer.from(text)) })}\n`;
}

/** undefined when the file fails its checksum. */
async function readFormat(path: string): Promise<FormatRecord | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EIO") throw error;
    return "";
  });
  try {
    const { format, crc32c: stored } = JSON.parse(text) as { format: FormatRecord; crc32c: number };
    return crc32c(Buffer.from(JSON.stringify(format))) === stored ? format : undefined;
  } catch {
    return undefined;
  }
}

async function writeFormat(dir: string, { clusterId, nodeId, disk }: DataFolderOptions): Promise<void> {
  const path = join(dir, REPAIR_FILE);
  await writeDurably(path, formatText({ clusterId, nodeId }));
  await rename(path, join(dir, FORMAT_FILE));
  await settled((done) => disk.syncFolder(dir, done));
}

async function writeDurably(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
