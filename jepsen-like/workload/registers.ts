/**
 * Registers: puts, compare-and-puts and reads, each through any node. Must be linearizable, one register at a time.
 */
import { randomBytes } from "node:crypto";
import { isQuorateError } from "../../src/index.js";
import { RequestIds } from "../../src/client/index.js";
import { parseZxid, uuid7 } from "../../src/base/index.js";
import type { Prng } from "../../src/base/index.js";
import { Process, zxidText } from "./operations.js";
import type { Part, Stage, Step } from "./stage.js";
import type { NodeVoice } from "./node-voice.js";

const REGISTERS = 4;
/** A register is given up after this many operations, or after one whose effect stays unknown: the search for an order grows with both. */
const OPERATIONS_MAX = 60;
const TIMEOUT_MS = 4_000;
const BLIND_CHANCE = 0.25;
const COMPARE_CHANCE = 0.6;

export const registers: Part = {
  name: "registers",
  open: (stage) => {
    const names = new Names(stage.prng.uint32().toString(36));
    return () => step(stage, names, new Process(stage.history, {}));
  },
};

function step(stage: Stage, names: Names, process: Process): Step {
  const { prng } = stage;
  let ids = newIds();
  const write = async (name: string, expect: string | null): Promise<void> => {
    if (await put(process, ids, names.value(), name, expect, prng.pick(stage.voices))) return;
    // It may still be on its way: neither its register nor its client's name is used again.
    names.retire(name);
    ids = newIds();
  };
  return async () => {
    const name = names.pick(prng);
    if (prng.chance(BLIND_CHANCE)) return write(name, null);
    const version = await read(process, name, prng.pick(stage.voices));
    if (version !== undefined && prng.chance(COMPARE_CHANCE)) await write(name, version);
  };
}

function newIds(): RequestIds {
  return new RequestIds(
    () => uuid7(Date.now(), () => randomBytes(4).readUInt32LE()),
    () => performance.now(),
  );
}

/** The version read, "0:0" for none; undefined: nobody answered. */
async function read(process: Process, name: string, voice: NodeVoice): Promise<string | undefined> {
  const open = process.invoke("read", name, null);
  try {
    const { value, version } = await voice.ask("read", { kind: "read", name }, TIMEOUT_MS);
    const text = version === undefined ? null : zxidText(version);
    open.ok([value === undefined ? null : Buffer.from(value).toString(), text]);
    return text ?? "0:0";
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    open.info(error.code);
    return undefined;
  }
}

/** `expect` null: whatever is there. False: nobody knows whether it was written. */
async function put(
  process: Process,
  ids: RequestIds,
  value: string,
  name: string,
  expect: string | null,
  voice: NodeVoice,
): Promise<boolean> {
  const request = ids.next();
  const open = process.invoke("put", name, { value, expect });
  const body = { kind: "put", request, name, value: Buffer.from(value), expect: expect === null ? undefined : parseZxid(expect) } as const;
  try {
    const { version } = await voice.ask("put", body, TIMEOUT_MS);
    open.ok({ taken: true, version: zxidText(version) });
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    if (error.code === "QUORATE_CONFLICT") open.ok({ taken: false, version: null });
    else if (error.retry === "safe" && error.outcome !== "unknown") open.fail(error.code);
    else {
      open.info(error.code);
      return false;
    }
  }
  ids.settled(request);
  return true;
}

class Names {
  readonly #prefix: string;
  readonly #slots: { name: string; operations: number }[];
  #next = 0;
  #values = 0;

  /** `prefix` keeps registers of one run from those of another on the same cluster. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#slots = Array.from({ length: REGISTERS }, () => ({ name: this.#fresh(), operations: 0 }));
  }

  pick(prng: Prng): string {
    const slot = prng.pick(this.#slots);
    const { name } = slot;
    if (++slot.operations >= OPERATIONS_MAX) this.retire(name);
    return name;
  }

  value(): string {
    return `v${++this.#values}`;
  }

  retire(name: string): void {
    const slot = this.#slots.find((each) => each.name === name);
    if (slot !== undefined) Object.assign(slot, { name: this.#fresh(), operations: 0 });
  }

  #fresh(): string {
    return `r-${this.#prefix}-${++this.#next}`;
  }
}
