/**
 * Puts into the register space, and the account of what was acknowledged, so that it can be read back and compared.
 */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { compareZxid, type Zxid } from "../base/index.js";
import { RequestIds, type Quorate } from "../client/index.js";
import type { Issue } from "./recorder.js";

const REQUEST_TIMEOUT_MS = 30_000;
/** Registers written round robin: small, so that the state stays small and only the path is measured. */
export const REGISTERS = 10_000;
/**
 * Different values, taken in turn: made once, so that none is made per operation, and a number that does not divide REGISTERS, so that
 * a register's next value is another one.
 */
const VALUES = 61;

interface Written {
  /** The acknowledged write with the highest version. */
  readonly version: Zxid;
  readonly n: number;
}

/** What was acknowledged, by register. */
export class PutAccount {
  readonly #values: readonly Uint8Array[];
  readonly #written: Written[] = [];
  /** Writes whose outcome stayed unknown, by register: it may hold one of them instead. */
  readonly #unknown = new Map<number, number[]>();

  constructor(valueBytes: number) {
    this.#values = Array.from({ length: VALUES }, () => randomBytes(valueBytes));
  }

  /** What the n-th write writes, to register n % REGISTERS. */
  valueOf(n: number): Uint8Array {
    return this.#values[n % VALUES] ?? new Uint8Array();
  }

  acknowledged(n: number, version: Zxid): void {
    const known = this.#written[n % REGISTERS];
    if (known === undefined || compareZxid(version, known.version) > 0) this.#written[n % REGISTERS] = { version, n };
  }

  failed(n: number): void {
    const register = n % REGISTERS;
    this.#unknown.set(register, [...(this.#unknown.get(register) ?? []), n]);
  }

  /** Up to `count` registers, by number, evenly spread over those of which a write was acknowledged. */
  sample(count: number): readonly number[] {
    const registers = [...this.#written.keys()].filter((register) => this.#written[register] !== undefined);
    const wanted = Math.min(count, registers.length);
    return Array.from({ length: wanted }, (_, i) => registers[Math.floor((i * registers.length) / wanted)] ?? 0);
  }

  /** Whether this is what the register must hold, version and content. */
  matches(register: number, found: { readonly value: Uint8Array; readonly version: Zxid } | undefined): boolean {
    const known = this.#written[register];
    if (known === undefined || found === undefined) return false;
    const holds = (n: number): boolean => Buffer.compare(found.value, this.valueOf(n)) === 0;
    const order = compareZxid(found.version, known.version);
    return order === 0 ? holds(known.n) : order > 0 && (this.#unknown.get(register) ?? []).some(holds);
  }
}

/**
 * One put into a register: fsynced by a majority, applied, deduplicated by its request id. The client's session is used through its cheap
 * form; request numbers below the oldest unanswered one are acknowledged as it goes.
 */
export function putLoad(quorate: Quorate, account: PutAccount): Issue {
  // A request memory of its own, apart from the one behind quorate.put: a fresh UUID v7 of the cluster's clock.
  const ids = new RequestIds(
    () => quorate.newGid().slice("q-".length),
    () => performance.now(),
  );
  let next = 0;
  return (done) => {
    const n = next++;
    const request = ids.next();
    quorate.submit(
      { kind: "put", request, name: registerName(n % REGISTERS), value: account.valueOf(n), expect: undefined },
      (answer) => {
        ids.settled(request);
        if (answer.kind === "put") {
          account.acknowledged(n, answer.version);
          done("ok");
        } else {
          account.failed(n);
          done({ error: answer.kind === "error" ? answer.code : answer.kind });
        }
      },
      REQUEST_TIMEOUT_MS,
    );
  };
}

export function registerName(register: number): string {
  return `bench/${register}`;
}
