/**
 * Requests outside of transactions that wait for their record to be applied: puts, health probes and operators' resolutions.
 */
import type { Gid } from "../base/index.js";
import type { Command, RequestId } from "../txn/index.js";
import type { ClientSession } from "./api.js";
import type { Outbox } from "./outbox.js";
import type { Answer } from "./request.js";

interface Waiting {
  readonly session: ClientSession;
  readonly request: number;
}

interface WaitingPut extends Waiting {
  /** The same request sent again, on this stream or another. */
  readonly next: WaitingPut | undefined;
}

export class Puts {
  readonly #outbox: Outbox;
  readonly #clients = new Map<string, Map<number, WaitingPut>>();
  /** By the command proposed for each, in the order they were proposed, which is that of their records. */
  readonly #noops = new Map<Command, Waiting>();
  readonly #resolves = new Map<Gid, (Waiting & { readonly branch: string })[]>();
  #size = 0;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  get size(): number {
    return this.#size;
  }

  /** True when the request is new here and has to be proposed. */
  wait(id: RequestId, session: ClientSession, request: number): boolean {
    let client = this.#clients.get(id.client);
    if (client === undefined) {
      client = new Map();
      this.#clients.set(id.client, client);
    }
    const next = client.get(id.seq);
    client.set(id.seq, { session, request, next });
    this.#size++;
    return next === undefined;
  }

  answer(id: RequestId, answer: Answer): void {
    const client = this.#clients.get(id.client);
    let waiting = client?.get(id.seq);
    if (client === undefined || waiting === undefined) return;
    client.delete(id.seq);
    if (client.size === 0) this.#clients.delete(id.client);
    for (; waiting !== undefined; waiting = waiting.next) this.#reply(waiting, answer);
  }

  /** `command` is what is proposed for it. */
  waitNoop(command: Command, session: ClientSession, request: number): void {
    this.#noops.set(command, { session, request });
    this.#size++;
  }

  /** The oldest one's record is applied. */
  noopApplied(): void {
    const oldest = this.#noops.keys().next().value;
    if (oldest !== undefined) this.#answerNoop(oldest, { kind: "ok" });
  }

  /** This very command was not taken; records of those before it may still come. */
  noopNotTaken(command: Command, answer: Answer): void {
    this.#answerNoop(command, answer);
  }

  #answerNoop(command: Command, answer: Answer): void {
    const waiting = this.#noops.get(command);
    if (waiting === undefined) return;
    this.#noops.delete(command);
    this.#reply(waiting, answer);
  }

  waitResolve(gid: Gid, branch: string, session: ClientSession, request: number): void {
    const list = this.#resolves.get(gid);
    if (list === undefined) this.#resolves.set(gid, [{ session, request, branch }]);
    else list.push({ session, request, branch });
    this.#size++;
  }

  answerResolve(gid: Gid, branch: string, answer: Answer): void {
    const list = this.#resolves.get(gid);
    if (list === undefined) return;
    const left = list.filter((waiting) => waiting.branch !== branch);
    if (left.length === 0) this.#resolves.delete(gid);
    else this.#resolves.set(gid, left);
    for (const waiting of list) if (waiting.branch === branch) this.#reply(waiting, answer);
  }

  stop(answerFor: (gid: Gid | undefined) => Answer): void {
    for (const client of this.#clients.values()) {
      for (const first of client.values()) {
        for (let waiting: WaitingPut | undefined = first; waiting !== undefined; waiting = waiting.next) {
          this.#reply(waiting, answerFor(undefined));
        }
      }
    }
    for (const waiting of this.#noops.values()) this.#reply(waiting, answerFor(undefined));
    for (const [gid, list] of this.#resolves) for (const waiting of list) this.#reply(waiting, answerFor(gid));
    this.#clients.clear();
    this.#noops.clear();
    this.#resolves.clear();
  }

  #reply(waiting: Waiting, answer: Answer): void {
    this.#size--;
    this.#outbox.answer(waiting.session, waiting.request, answer);
  }
}
