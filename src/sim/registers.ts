/**
 * Clients of the register space: puts, compare-and-puts and reads, recorded for the linearizability checker.
 */
import { parseZxid } from "../base/index.js";
import type { Client } from "./client.js";
import { sleep, type Task } from "./task.js";

/** The names in use. A name is given up after this many operations, or after one whose effect stays unknown: the checker's work grows with both. */
const OPERATIONS_PER_NAME_MAX = 60;

export class Registers {
  readonly #names: string[] = [];
  readonly #operations = new Map<string, number>();
  #nextName = 1;
  #nextValue = 1;

  constructor(count: number) {
    for (let i = 0; i < count; i++) this.#names.push(`r${this.#nextName++}`);
  }

  get names(): readonly string[] {
    return this.#names;
  }

  value(): string {
    return `v${this.#nextValue++}`;
  }

  use(name: string): void {
    const count = (this.#operations.get(name) ?? 0) + 1;
    this.#operations.set(name, count);
    if (count >= OPERATIONS_PER_NAME_MAX) this.retire(name);
  }

  retire(name: string): void {
    const index = this.#names.indexOf(name);
    if (index >= 0) this.#names[index] = `r${this.#nextName++}`;
  }
}

/** Request numbers of one client's life: what is below the lowest that is still open may be forgotten by the cluster. */
export class RequestNumbers {
  readonly client: string;
  readonly #open = new Set<number>();
  #next = 1;

  constructor(client: string) {
    this.client = client;
  }

  take(): number {
    const seq = this.#next++;
    this.#open.add(seq);
    return seq;
  }

  release(seq: number): void {
    this.#open.delete(seq);
  }

  get ackBelow(): number {
    let low = this.#next;
    for (const seq of this.#open) low = Math.min(low, seq);
    return low;
  }
}

const numbers = new WeakMap<Client, RequestNumbers>();

function numbersOf(client: Client): RequestNumbers {
  let own = numbers.get(client);
  if (own?.client !== client.id) {
    own = new RequestNumbers(client.id);
    numbers.set(client, own);
  }
  return own;
}

/** One read, put, or compare-and-put after a read. */
export function* registerStep(client: Client, registers: Registers): Task<void> {
  const name = client.prng.pick(registers.names);
  const style = client.prng.int(0, 3);
  if (style === 0) {
    yield* put(client, registers, name, null);
    return;
  }
  const version = yield* read(client, registers, name);
  if (style > 1 && version !== undefined) yield* put(client, registers, name, version);
}

/** The version read, "0:0" for none; undefined when nobody answered. */
function* read(client: Client, registers: Registers, name: string): Task<string | undefined> {
  const { recorder } = client;
  registers.use(name);
  const process = recorder.process();
  recorder.write(process, "invoke", "read", name, null, { client: client.id });
  const { answer, node } = yield* client.ask({ kind: "read", name });
  if (answer?.kind !== "read") {
    recorder.write(process, "info", "read", name, null, { error: answer?.kind === "error" ? answer.code : "deadline" });
    return undefined;
  }
  const version = answer.version === undefined ? null : `${answer.version.epoch}:${answer.version.counter}`;
  const value = answer.value === undefined ? null : new TextDecoder().decode(answer.value);
  recorder.write(process, "ok", "read", name, [value, version], { node });
  return version ?? "0:0";
}

function* put(client: Client, registers: Registers, name: string, expect: string | null): Task<void> {
  const { recorder, world, prng } = client;
  registers.use(name);
  const own = numbersOf(client);
  const seq = own.take();
  const value = registers.value();
  const process = recorder.process();
  recorder.write(process, "invoke", "put", name, { value, expect }, { client: client.id });
  const body = {
    kind: "put",
    request: { client: own.client, seq, ackBelow: own.ackBelow },
    name,
    value: new TextEncoder().encode(value),
    expect: expect === null ? undefined : parseZxid(expect),
  } as const;
  const { answer, ambiguous, node } = yield* client.ask(body);
  if (answer?.kind === "put") {
    const version = `${answer.version.epoch}:${answer.version.counter}`;
    recorder.write(process, "ok", "put", name, { taken: true, version }, { node });
    if (prng.chance(0.1)) {
      yield* sleep(world, prng.exponential(200));
      const again = yield* client.ask(body);
      if (again.answer?.kind === "put") {
        world.cover("duplicate-put-answered");
        const second = `${again.answer.version.epoch}:${again.answer.version.counter}`;
        if (second !== version)
          world.fail({ invariant: "I6-duplicate", message: `put ${seq} of ${own.client} got version ${version}, repeated ${second}` });
      }
    }
  } else if (answer?.kind === "error" && answer.code === "QUORATE_CONFLICT") {
    recorder.write(process, "ok", "put", name, { taken: false, version: null }, { node });
  } else {
    const certain = answer?.kind === "error" && answer.retry === "never" && !ambiguous;
    recorder.write(
      process,
      certain ? "fail" : "info",
      "put",
      name,
      { value, expect },
      { error: answer?.kind === "error" ? answer.code : "deadline" },
    );
    if (!certain) registers.retire(name);
  }
  own.release(seq);
}
