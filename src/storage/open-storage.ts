/**
 * Opens a node's data folder and wires its parts: the promises record, the log and the state.
 *
 * Decides how what each part found fits together (below), and nothing after that. A start is refused only when the folder is not
 * this node's to use or its promises are unreadable; whatever else is wrong is reported and lets the node come up damaged.
 *
 *   log                          state                    the node comes up
 *   whole, reaches applied       whole                    as it was
 *   whole, starts at 0:0         lost                     with an empty state, to be replayed from the log
 *   starts above applied         lost, or an older copy   damaged "log", log reset to applied
 *   anything missing             whole                    damaged "log", with the verified prefix
 *   does not hold applied        just installed           with the log reset to applied: the crash came between install and reset
 */
import { messageOf, must, ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { LogPort, Recovered, StatePort, StateWrite } from "../replica/ports.js";
import type { EpochRecord, SessionId } from "../zab/index.js";
import { openDataFolder } from "./data-folder.js";
import type { DataFolder, DataFolderOptions } from "./data-folder.js";
import { nodeDisk } from "./disk.js";
import type { Disk } from "./disk.js";
import { noFailpoint } from "./identity.js";
import type { Failpoint, Identity } from "./identity.js";
import { openLog } from "./log-store.js";
import type { OpenedLog } from "./log-store.js";
import type { LogMetrics, LogWriter } from "./log-writer.js";
import { receiveSnapshot } from "./receive-snapshot.js";
import type { FetchSnapshot, SnapshotChunk } from "./snapshot.js";
import { loadState, setStateAside } from "./state-files.js";
import type { LoadedState, LostState } from "./state-files.js";
import { StateStore } from "./state-store.js";
import type { PinnedSnapshot, StateMetrics } from "./state-store.js";

const SEGMENT_BYTES_DEFAULT = 16 * 1024 * 1024;

export interface StorageOptions extends Identity {
  readonly dir: string;
  /** See {@link DataFolderOptions}. */
  readonly configuration: EpochRecord["configuration"];
  readonly bootstrap: boolean;
  /** Size of a log segment; default 16 MiB. A larger record gets a segment of its own. */
  readonly segmentBytes?: number | undefined;
  readonly fetchSnapshot: FetchSnapshot;
  readonly onPersisted: (seq: number) => void;
  readonly onCheckpointed: (at: Zxid) => void;
  /** `entries` undefined: the install failed, `problem` says why, and nothing changed. */
  readonly onInstalled: (session: SessionId, at: Zxid, entries: Iterable<StateWrite> | undefined, problem: string | undefined) => void;
  /** The state read back is not what was written. The node must stop voting and acknowledging, and rebuild. */
  readonly onDamaged: (finding: string) => void;
  /** A disk error. Nothing is acknowledged after it; the process must exit. Called at most once. */
  readonly onFatal: (error: Error) => void;
  readonly failpoint?: Failpoint | undefined;
  /** For fault tests. */
  readonly disk?: Disk | undefined;
}

export interface StorageMetrics {
  readonly log: LogMetrics;
  readonly state: StateMetrics;
}

/** The state port, and the source of snapshots for the transport. */
export interface StorageState extends StatePort {
  pinSnapshot(): PinnedSnapshot;
  readSnapshot(snapshotId: string): AsyncIterable<SnapshotChunk>;
}

export interface Storage {
  readonly recovered: Recovered;
  /** Lets go of the recovered entries and state, which may be large, once they have been taken over. */
  forgetRecovered(): void;
  readonly log: LogPort;
  readonly state: StorageState;
  metrics(): StorageMetrics;
  /** Finishes what was submitted, then closes and unlocks the folder. */
  close(): Promise<void>;
}

export async function openStorage(options: StorageOptions): Promise<Storage> {
  const disk = options.disk ?? nodeDisk;
  const failpoint = options.failpoint ?? noFailpoint;
  const { segmentBytes = SEGMENT_BYTES_DEFAULT } = options;
  const folder = await openDataFolder({ ...options, segmentBytes, disk, failpoint });
  try {
    return await openParts(folder, { ...options, segmentBytes, disk, failpoint });
  } catch (error) {
    await folder.release();
    throw error;
  }
}

async function openParts(folder: DataFolder, given: StorageOptions & DataFolderOptions): Promise<Storage> {
  const { disk } = given;
  const { paths } = folder;
  let fatal = false;
  const onFatal = (error: Error): void => {
    if (fatal) return;
    fatal = true;
    // Whatever part failed, nothing is acknowledged any more.
    log?.writer.stop(error);
    given.onFatal(error);
  };
  const options = { ...given, onFatal };
  const found = await loadState(paths.state, paths.stateWitness, disk);
  let loaded = found.kind === "loaded" ? found : undefined;
  let log: OpenedLog | undefined;
  try {
    log = await openLogBeside(found, folder, options);
    if (found.kind === "lost") {
      await setStateAside(paths.state, paths.stateWitness, disk, found.sequence);
      const empty = await loadState(paths.state, paths.stateWitness, disk);
      if (empty.kind === "lost") throw new Error(`a state just made cannot be read: ${empty.findings.join("; ")}`);
      loaded = empty;
    }
    const state = must(loaded, "a loaded state");
    const findings = [...folder.findings, ...found.findings, ...log.findings];
    const { applied } = state.meta;
    const recovered: Recovered = {
      log: { epochs: folder.epochs.record, applied, base: log.base, entries: log.entries },
      state: state.entries,
      findings,
    };
    return assemble(recovered, log.writer, new StateStore(state, options.failpoint, options), folder, options);
  } catch (error) {
    await log?.writer.close();
    await loaded?.db.close();
    await loaded?.witness.close();
    throw error;
  }
}

function openLogBeside(
  state: LoadedState | LostState,
  folder: DataFolder,
  options: StorageOptions & DataFolderOptions,
): Promise<OpenedLog> {
  const { disk, failpoint, onFatal, onPersisted, segmentBytes, clusterId, nodeId } = options;
  const { paths, epochs, loadedEpochs } = folder;
  return openLog({
    folder: paths.log,
    disk,
    identity: { clusterId, nodeId },
    segmentBytes,
    applied: state.kind === "loaded" ? state.meta.applied : ZXID_ZERO,
    installed: state.kind === "loaded" && state.meta.installed,
    epochs,
    knownSynced: loadedEpochs.synced,
    onDamage: async () => {
      if (epochs.record.damage === undefined) await epochs.repair({ ...epochs.record, damage: "log" }, loadedEpochs.synced);
    },
    failpoint,
    onPersisted,
    onFatal,
  });
}

function assemble(found: Recovered, log: LogWriter, store: StateStore, folder: DataFolder, options: StorageOptions): Storage {
  let recovered: Recovered = found;
  const { port: state, endInstalls } = statePort(store, options);
  return {
    get recovered() {
      return recovered;
    },
    forgetRecovered: () => {
      recovered = { log: { ...found.log, entries: [] }, state: [], findings: found.findings };
    },
    log,
    state,
    metrics: () => ({ log: log.metrics(), state: store.metrics() }),
    close: async () => {
      await endInstalls();
      await log.close();
      await store.close();
      await folder.release();
    },
  };
}

function statePort(store: StateStore, options: StorageOptions): { readonly port: StorageState; readonly endInstalls: () => Promise<void> } {
  const { fetchSnapshot, onCheckpointed, onInstalled } = options;
  const fail = (error: unknown): void => options.onFatal(error instanceof Error ? error : new Error(messageOf(error)));
  // One install at a time; a newer one makes the one before it give up at once, and so does the end of its session, even if its stream
  // hangs.
  let current = new AbortController();
  let currentSession: SessionId | undefined;
  let running: Promise<void> = Promise.resolve();
  const port: StorageState = {
    checkpoint: (at, writes) => void store.checkpoint(at, writes).then(onCheckpointed).catch(fail),
    pinSnapshot: () => store.pin(),
    releaseSnapshot: (snapshotId) => store.release(snapshotId),
    readSnapshot: (snapshotId) => store.readSnapshot(snapshotId),
    install: (session, peer, at, snapshotId) => {
      current.abort(new Error("a newer install was asked for"));
      current = new AbortController();
      currentSession = session;
      const { signal } = current;
      running = running
        .then(() => receiveSnapshot(store, at, signal, (until) => fetchSnapshot(peer, snapshotId, until)))
        .then((result) =>
          typeof result === "string" ? onInstalled(session, at, undefined, result) : onInstalled(session, at, result, undefined),
        )
        .catch(fail);
    },
    cancelInstall: (session) => {
      if (session === currentSession) current.abort(new Error("the session that asked for it has ended"));
    },
  };
  const endInstalls = (): Promise<void> => {
    current.abort(new Error("the node is closing"));
    return running;
  };
  return { port, endInstalls };
}
