/**
 * A disk of one node: an ext4 file system in a sparse file, which can lose its power, stall and fill up while a node is at work on it.
 *
 * `cut` shuts the file system down without flushing anything (EXT4_IOC_SHUTDOWN, what fstests' "godown" does): from then on every
 * operation fails with EIO, and what had not been written is never written. `mount` afterwards finds what a machine finds that lost its power,
 * and replays the journal. What the cut cannot take back is what was handed to the device and not flushed: the file below the loop
 * device belongs to a machine that is still up, so this is a drive without a volatile cache.
 *
 * Needs root, loop devices, ext4, and perl (part of every Debian) or xfs_io.
 */
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { tool } from "./commands.js";

export const IMAGE_BYTES = 256 * 1024 * 1024;
/** Neither the journal nor the flusher saves in passing what nobody synced: the defaults are 5 s. */
const MOUNT_OPTIONS = "loop,commit=60,noatime,nosuid,nodev";
const BUSY_RETRY_MS = 20;
const BUSY_RETRIES = 250;
/** _IOR('X', 125, __u32), and "do not flush the log": 0 would write everything out first. */
const SHUTDOWN = `my $how = pack("L", 2); for (@ARGV) { open(my $dir, "<", $_) or die "$_: $!\\n"; ioctl($dir, 0x8004587d, $how) or die "$_: $!\\n" }`;

export class DiskImage {
  /** Where it is mounted. */
  readonly path: string;
  readonly #file: string;
  #mounted = false;

  private constructor(path: string) {
    this.path = path;
    this.#file = `${path}.img`;
  }

  /** Makes `<path>.img` with an empty file system and mounts it at `path`. */
  static async make(path: string, bytes = IMAGE_BYTES): Promise<DiskImage> {
    const image = new DiskImage(path);
    mkdirSync(path, { recursive: true });
    const fd = openSync(image.#file, "wx");
    ftruncateSync(fd, bytes);
    closeSync(fd);
    // No reserved blocks: a full disk is full for root too.
    await tool("mkfs.ext4", ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", image.#file]);
    await image.mount();
    return image;
  }

  async mount(): Promise<void> {
    await tool("mount", ["-t", "ext4", "-o", MOUNT_OPTIONS, this.#file, this.path]);
    this.#mounted = true;
  }

  /** The loop device goes with it. Waits, bounded, for whoever still has a file open. */
  async unmount(): Promise<void> {
    if (!this.#mounted) return;
    for (let tries = 0; ; tries++) {
      try {
        await tool("umount", [this.path]);
        this.#mounted = false;
        return;
      } catch (error) {
        if (tries >= BUSY_RETRIES || !String(error).includes("busy")) throw error;
        await sleep(BUSY_RETRY_MS);
      }
    }
  }

  /** Nothing is read or written until `thaw`; whoever tries, waits. */
  async freeze(): Promise<void> {
    await tool("fsfreeze", ["-f", this.path]);
  }

  async thaw(): Promise<void> {
    await tool("fsfreeze", ["-u", this.path]);
  }
}

/** Cuts the power of all of them within the same moment. They stay mounted, and dead, until they are unmounted. */
export async function cutPower(disks: readonly DiskImage[]): Promise<void> {
  const paths = disks.map(({ path }) => path);
  try {
    await tool("perl", ["-e", SHUTDOWN, ...paths]);
  } catch (error) {
    if (!String(error).includes("is not installed")) throw error;
    for (const path of paths) await tool("xfs_io", ["-x", "-c", "shutdown", path]);
  }
}

/** For a process that is about to end. Lazily: nobody waits for open files. Thawed first: who waits for a frozen disk cannot be ended. */
export function unmountNow(path: string): void {
  for (const [program, flag] of [
    ["fsfreeze", "-u"],
    ["umount", "-l"],
  ] as const)
    try {
      execFileSync(program, [flag, path], { stdio: "ignore" });
    } catch {
      // Not frozen, or not mounted any more.
    }
}
