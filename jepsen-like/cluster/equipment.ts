/**
 * What some faults need around the nodes before these start: a disk of its own for each, a wall clock that can be moved.
 *
 * Each is tried on this machine first; where it does not work the reason is kept, for the faults that cannot do without to be skipped
 * aloud.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { QuorateError } from "../../src/base/index.js";
import { NodeDisks, whyNoDisks } from "../disk/node-disks.js";
import { faketimeLibrary, NodeClock, whyNoClocks } from "../nemesis/clock-faketime.js";

/** disks: file systems whose power can be cut. clocks: wall clocks that can be moved. */
export type Need = "disks" | "clocks";

const WORDS: Readonly<Record<Need, string>> = {
  disks: "disks whose power can be cut",
  clocks: "wall clocks that can be moved",
};
const WHY_NOT: Readonly<Record<Need, () => Promise<string | undefined>>> = { disks: whyNoDisks, clocks: whyNoClocks };
/** Small segments and frequent checkpoints: all that a node writes, it writes within a short run, and meets its disk's faults there. */
const DISK_ARGS = ["--segment-bytes", String(1024 * 1024), "--checkpoint-entries", "1000"];

export interface EquippedNode {
  readonly id: number;
  readonly dataDir: string;
}

/**
 * What this machine has of what a composition's faults need, each thing tried first. What it lacks is said aloud. Throws QUORATE_CONFIG
 * with the reason when they cannot do without.
 */
export async function availableOf(
  { name, requires = [], wants = [] }: { readonly name: string; readonly requires?: readonly Need[]; readonly wants?: readonly Need[] },
  say: (line: string) => void,
): Promise<readonly Need[]> {
  const available: Need[] = [];
  for (const need of new Set([...requires, ...wants])) {
    const why = await WHY_NOT[need]();
    if (why === undefined) available.push(need);
    else if (requires.includes(need)) throw new QuorateError("QUORATE_CONFIG", `SKIP ${name}: it needs ${WORDS[need]}, but ${why}`);
    else say(`SKIP ${WORDS[need]}: ${why}`);
  }
  return available;
}

export class Equipment {
  readonly disks: NodeDisks | undefined;
  readonly #clocks: ReadonlyMap<number, NodeClock>;

  private constructor(disks: NodeDisks | undefined, clocks: ReadonlyMap<number, NodeClock>) {
    this.disks = disks;
    this.#clocks = clocks;
  }

  /** `needs` as far as this machine has them ({@link availableOf}). `dir` holds small files; no data folder may exist yet. */
  static async make(needs: readonly Need[], nodes: readonly EquippedNode[], dir: string): Promise<Equipment> {
    const clocks = new Map<number, NodeClock>();
    const library = faketimeLibrary();
    if (needs.includes("clocks") && library !== undefined) {
      mkdirSync(join(dir, "clocks"), { recursive: true });
      for (const { id } of nodes) clocks.set(id, new NodeClock(join(dir, "clocks", `n${id}`), library));
    }
    return new Equipment(needs.includes("disks") ? await NodeDisks.make(nodes) : undefined, clocks);
  }

  has(need: Need): boolean {
    return need === "disks" ? this.disks !== undefined : this.#clocks.size > 0;
  }

  clock(id: number): NodeClock {
    const clock = this.#clocks.get(id);
    if (clock === undefined) throw new RangeError(`the wall clock of n${id} cannot be moved`);
    return clock;
  }

  /** Further options of `quorate start`, for every node. */
  get args(): readonly string[] {
    return this.disks === undefined ? [] : DISK_ARGS;
  }

  /** Variables for each start of this node. Fault injection is on: rules of the disk are set while it runs. */
  env(id: number): Readonly<Record<string, string>> {
    return { QUORATE_ENABLE_FAILPOINTS: "1", ...this.#clocks.get(id)?.env };
  }

  /** After every node has ended. */
  async close(): Promise<void> {
    await this.disks?.close();
  }
}
