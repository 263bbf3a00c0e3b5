/**
 * Transactions over lists: each appends to some lists and reads others, at one or two participants, and is told what it read.
 *
 * The key-value participant keeps all locks of a branch, reads included, until the outcome is durable there, so what is promised is
 * strict serializability (docs/participants.md, rule 10). A list is a text of numbers; every number is appended once in the whole run.
 */
import type { BranchSpec } from "../../src/index.js";
import { isQuorateError } from "../../src/index.js";
import type { HistoryValue } from "../../src/check/index.js";
import { kvPayload, type KvOperation } from "../../src/participant/kv/index.js";
import { must } from "../../src/base/index.js";
import { ledgerKey } from "../participants/kv-resource.js";
import type { Resource } from "../participants/resource.js";
import { Process, TRANSACTION_TIMEOUT_MS, zxidText, type Open } from "./operations.js";
import { clientOf, type Part, type Stage, type Step } from "./stage.js";
import { listOf } from "./transfers.js";

const STEPS_MAX = 3;
const READ_CHANCE = 0.6;
const DOOMED_CHANCE = 0.12;
/** Lists in use at each participant, and how many values one gets before another takes its place. */
const LISTS = 10;
const VALUES_MAX = 60;
/** How long a committed branch's reads are asked for: its participant may be away. */
const READS_MS_MAX = 20_000;
const READS_RETRY_MS = 20;

interface MicroStep {
  readonly participant: Resource;
  readonly list: string;
  /** Undefined: it reads. */
  readonly value: number | undefined;
}

export const append: Part = {
  name: "append",
  open: (stage) => {
    const stores = stage.participants.filter(({ kind }) => kind === "kv");
    const lists = new Lists(stores);
    return (slot) => {
      const client = clientOf(stage, slot);
      return step(stage, lists, new Process(stage.history, { client: client.client }), slot);
    };
  },
};

function step(stage: Stage, lists: Lists, process: Process, slot: number): Step {
  const { prng } = stage;
  const client = clientOf(stage, slot);
  return async () => {
    const gid = client.newGid();
    const steps = Array.from({ length: prng.int(1, STEPS_MAX) }, () => lists.step(prng.int(0, 1 << 20), !prng.chance(READ_CHANCE)));
    const used = [...new Set(steps.map(({ participant }) => participant))];
    const doomed = prng.chance(DOOMED_CHANCE);
    const branches = used.map((participant, i): BranchSpec => {
      const work = steps.filter((each) => each.participant === participant).map(operationOf);
      const mark: KvOperation = { op: "append", key: ledgerKey(gid, participant.name), value: "x" };
      const refused: KvOperation = { op: "require", key: "no-such-key", exists: true };
      const payload = kvPayload([...work, mark, ...(doomed && i === 0 ? [refused] : [])]);
      return { id: participant.name, participant: participant.name, mode: "asked", payload };
    });
    const open = process.invoke("txn", gid, steps.map(asked), listOf(branches));
    try {
      const { decision, zxid } = await client.commit(gid, branches, [], { timeoutMs: TRANSACTION_TIMEOUT_MS });
      if (decision === "abort") return open.fail("QUORATE_ABORTED");
      await told(open, gid, steps, used, zxidText(zxid));
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      const nothing = error.outcome === "aborted" || (error.retry === "safe" && error.outcome !== "unknown");
      if (nothing) open.fail(error.code);
      else open.info(error.code);
    }
  };
}

/** It committed. What it read stands in its participants' rows, if one of them does not come back in time nobody is told. */
async function told(open: Open, gid: string, steps: readonly MicroStep[], used: readonly Resource[], zxid: string): Promise<void> {
  const untilMs = performance.now() + READS_MS_MAX;
  const reads = new Map<Resource, (string | number | null)[]>();
  for (const participant of used) {
    const found = await readsOf(participant, gid, untilMs);
    if (found === undefined) return open.info("QUORATE_PARTICIPANT");
    reads.set(participant, [...found]);
  }
  const values = steps.map((each): HistoryValue => {
    if (each.value !== undefined) return asked(each);
    const text = must(reads.get(each.participant), "the reads of a participant that was used").shift();
    return ["r", each.list, typeof text === "string" ? text.trim().split(" ").map(Number) : []];
  });
  open.ok(values, zxid);
}

async function readsOf(participant: Resource, gid: string, untilMs: number): Promise<readonly (string | number | null)[] | undefined> {
  for (;;) {
    try {
      const found = await participant.reads({ gid: gid as never, branch: participant.name });
      if (found !== undefined) return found;
    } catch (error) {
      if (!isQuorateError(error)) throw error;
    }
    if (performance.now() > untilMs) return undefined;
    await new Promise((resolve) => setTimeout(resolve, READS_RETRY_MS));
  }
}

function operationOf({ list, value }: MicroStep): KvOperation {
  return value === undefined ? { op: "get", key: list } : { op: "append", key: list, value: `${value} ` };
}

function asked({ list, value }: MicroStep): HistoryValue {
  return value === undefined ? ["r", list, null] : ["append", list, value];
}

class Lists {
  readonly #slots: { readonly participant: Resource; list: string; values: number }[] = [];
  #lists = 0;
  #values = 0;

  constructor(stores: readonly Resource[]) {
    for (const participant of stores) for (let i = 0; i < LISTS; i++) this.#slots.push({ participant, list: this.#next(), values: 0 });
  }

  step(choice: number, appends: boolean): MicroStep {
    const slot = must(this.#slots[choice % this.#slots.length], "a list");
    const { participant, list } = slot;
    if (!appends) return { participant, list, value: undefined };
    if (++slot.values >= VALUES_MAX) {
      slot.list = this.#next();
      slot.values = 0;
    }
    return { participant, list, value: ++this.#values };
  }

  #next(): string {
    return `list/${++this.#lists}`;
  }
}
