/**
 * A disk for each node of a cluster, put under its data folder before it is started for the first time.
 */
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { plantCanary, readCanary, type CutFinding } from "./canary.js";
import { cutPower, DiskImage, unmountNow } from "./disk-image.js";
import { guardDisks, newDisksFolder, removeDeadDisks } from "./leftovers.js";

/** Small enough to be tried before every run. */
const TRIAL_BYTES = 16 * 1024 * 1024;

export interface NodeFolder {
  readonly id: number;
  /** Must not exist yet. */
  readonly dataDir: string;
}

/** Why this machine cannot have such disks; undefined: one was made, cut and found as it should be. */
export async function whyNoDisks(): Promise<string | undefined> {
  if (process.platform !== "linux") return "it takes Linux";
  if (process.getuid?.() !== 0) return "it takes root to mount a file system";
  try {
    removeDeadDisks();
    const disks = await NodeDisks.make([], TRIAL_BYTES);
    try {
      const trial = await disks.add("trial", TRIAL_BYTES);
      plantCanary(trial.path);
      await cutPower([trial]);
      await trial.unmount();
      await trial.mount();
      const { kept, lost } = readCanary(trial.path);
      if (!kept) return "a trial disk lost what was synced when its power was cut";
      if (!lost) return "a trial disk lost nothing when its power was cut";
      return undefined;
    } finally {
      await disks.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export class NodeDisks {
  readonly #folder: string;
  readonly #disks = new Map<number, DiskImage>();
  readonly #all: DiskImage[] = [];
  readonly #atExit = (): void => this.#unmountAllNow();
  readonly #unguard: () => void;

  private constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { mode: 0o700 });
    this.#unguard = guardDisks(folder);
    process.once("exit", this.#atExit);
  }

  /** Each node's `dataDir` becomes a link into a disk of its own. */
  static async make(nodes: readonly NodeFolder[], bytes?: number): Promise<NodeDisks> {
    const disks = new NodeDisks(newDisksFolder());
    try {
      for (const { id, dataDir } of nodes) {
        const disk = await disks.add(`n${id}`, bytes);
        disks.#disks.set(id, disk);
        mkdirSync(join(disk.path, "data"));
        symlinkSync(join(disk.path, "data"), dataDir);
      }
    } catch (error) {
      await disks.close();
      throw error;
    }
    return disks;
  }

  /** A further disk, of no node. */
  async add(name: string, bytes?: number): Promise<DiskImage> {
    const disk = await DiskImage.make(join(this.#folder, name), bytes);
    this.#all.push(disk);
    return disk;
  }

  disk(id: number): DiskImage {
    const disk = this.#disks.get(id);
    if (disk === undefined) throw new RangeError(`n${id} has no disk of its own`);
    return disk;
  }

  /**
   * All these nodes lose their power in the same moment. `kill` sends kill -9 to each and returns without waiting; `gone` resolves when
   * they are. Afterwards their disks are back, as a machine finds them that is switched on again.
   */
  async cut(ids: readonly number[], kill: () => void, gone: () => Promise<unknown>): Promise<readonly CutFinding[]> {
    const disks = ids.map((id) => this.disk(id));
    for (const { path } of disks) plantCanary(path);
    kill();
    await cutPower(disks);
    await gone();
    return Promise.all(
      disks.map(async (disk) => {
        await disk.unmount();
        await disk.mount();
        return readCanary(disk.path);
      }),
    );
  }

  /** After every process that works on them has ended. */
  async close(): Promise<void> {
    process.off("exit", this.#atExit);
    for (const disk of this.#all) await disk.unmount();
    rmSync(this.#folder, { recursive: true, force: true });
    this.#unguard();
  }

  #unmountAllNow(): void {
    for (const { path } of this.#all) unmountNow(path);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
