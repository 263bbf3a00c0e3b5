/**
 * What is remembered of request clients, so that a repeated request gets its first answer.
 *
 * Decides which answers are still needed (`ackBelow`) and which clients are idle below the floor. Whether an unknown client is
 * expired is decided in put.ts.
 *
 * Inside, a client is one mutable object in a list by last use, so that neither a put nor the floor walks all of them; immutable
 * ClientMemory values are made only for a checkpoint.
 */
import { uuidTimeMs } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { ClientMemory } from "./api.js";

export type RememberedAnswer = ClientMemory["answers"][number];

export class Client {
  readonly client: string;
  ackBelow = 0;
  /** Ascending seq; those before `head` are dropped. */
  answers: RememberedAnswer[] = [];
  head = 0;
  lastStampMs = 0;
  older: Client | undefined = undefined;
  newer: Client | undefined = undefined;

  constructor(client: string) {
    this.client = client;
  }

  get remembered(): number {
    return this.answers.length - this.head;
  }

  /** Index of the first answer with a seq of at least this. */
  position(seq: number): number {
    const answers = this.answers;
    const last = answers[answers.length - 1];
    if (last === undefined || last.seq < seq) return answers.length;
    let low = this.head;
    let high = answers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((answers[middle] as RememberedAnswer).seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  answer(seq: number): RememberedAnswer | undefined {
    const found = this.answers[this.position(seq)];
    return found?.seq === seq ? found : undefined;
  }

  acknowledge(below: number): void {
    if (below <= this.ackBelow) return;
    this.ackBelow = below;
    this.head = this.position(below);
    // Dropped in bulk: each answer is moved at most once for every one that was dropped.
    if (this.head > 32 && this.head * 2 > this.answers.length) {
      this.answers = this.answers.slice(this.head);
      this.head = 0;
    }
  }

  toMemory(): ClientMemory {
    return { client: this.client, ackBelow: this.ackBelow, answers: this.answers.slice(this.head), lastStampMs: this.lastStampMs };
  }
}

export class ClientMemories {
  readonly #clients = new Map<string, Client>();
  #oldest: Client | undefined = undefined;
  #newest: Client | undefined = undefined;

  get size(): number {
    return this.#clients.size;
  }

  get(client: string): Client | undefined {
    return this.#clients.get(client);
  }

  values(): IterableIterator<Client> {
    return this.#clients.values();
  }

  clear(): void {
    this.#clients.clear();
    this.#oldest = undefined;
    this.#newest = undefined;
  }

  create(client: string): Client {
    const created = new Client(client);
    this.#clients.set(client, created);
    this.#append(created);
    return created;
  }

  remember(client: Client, seq: number, outcome: RememberedAnswer["outcome"], version: Zxid, stampMs: number): void {
    const at = client.position(seq);
    const answer = { seq, outcome, version };
    if (at === client.answers.length) client.answers.push(answer);
    else client.answers.splice(at, 0, answer);
    this.touch(client, stampMs);
  }

  touch(client: Client, stampMs: number): void {
    client.lastStampMs = stampMs;
    if (this.#newest === client) return;
    this.#unlink(client);
    this.#append(client);
  }

  /**
   * Forgets every client last used below `floorMs` whose own time is below it too; their ids. One whose clock runs ahead stays until
   * the floor has passed its name: dropped earlier, a late repetition would be taken for a new client's request and done twice.
   *
   * Stops after the `most` longest idle ones; those that stay go on being answered from memory, which is harmless. It never stops
   * between clients of the same stamp: their order is not stored, so a replica that was restored may have them in another one.
   */
  dropIdle(floorMs: number, most: number): string[] {
    const dropped: string[] = [];
    let seen = 0;
    let stampMs = 0;
    for (let client = this.#oldest; client !== undefined && client.lastStampMs < floorMs;) {
      if (++seen > most && client.lastStampMs !== stampMs) break;
      stampMs = client.lastStampMs;
      const { newer } = client;
      if (uuidTimeMs(client.client) < floorMs) {
        this.#unlink(client);
        this.#clients.delete(client.client);
        dropped.push(client.client);
      }
      client = newer;
    }
    return dropped;
  }

  /** Loads stored memories, in any order. */
  restore(memories: readonly ClientMemory[]): void {
    const ordered = [...memories].sort((a, b) => a.lastStampMs - b.lastStampMs);
    for (const memory of ordered) {
      const client = this.create(memory.client);
      client.ackBelow = memory.ackBelow;
      client.answers = [...memory.answers];
      client.lastStampMs = memory.lastStampMs;
    }
  }

  #append(client: Client): void {
    client.older = this.#newest;
    client.newer = undefined;
    if (this.#newest === undefined) this.#oldest = client;
    else this.#newest.newer = client;
    this.#newest = client;
  }

  #unlink(client: Client): void {
    if (client.older === undefined) this.#oldest = client.newer;
    else client.older.newer = client.newer;
    if (client.newer === undefined) this.#newest = client.older;
    else client.newer.older = client.older;
    client.older = undefined;
    client.newer = undefined;
  }
}
