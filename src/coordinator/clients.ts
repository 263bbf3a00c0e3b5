/**
 * Which clients have a stream here, and which open transactions are theirs.
 *
 * An open transaction may only be aborted, so when its client's last stream stays lost it is: its locks help nobody. A sealed one is
 * carried on whatever becomes of its client.
 */
import type { ClientSession } from "./api.js";
import type { Context } from "./context.js";
import type { Drive } from "./drive.js";
import { Timed } from "./timer-wheel.js";

export class ClientEntry extends Timed {
  readonly kind = "client";
  readonly client: string;
  sessions = 0;
  readonly open = new Set<Drive>();

  constructor(client: string) {
    super();
    this.client = client;
  }
}

export class Clients {
  readonly #context: Context;
  readonly #sessions = new Map<ClientSession, string>();
  readonly #entries = new Map<string, ClientEntry>();

  constructor(context: Context) {
    this.#context = context;
  }

  up(session: ClientSession, client: string): void {
    if (this.#sessions.has(session)) return;
    this.#sessions.set(session, client);
    if (client === "") return;
    const entry = this.#entry(client);
    entry.sessions++;
    this.#context.wheel.cancel(entry);
  }

  down(session: ClientSession, nowMs: number): void {
    const client = this.#sessions.get(session);
    if (client === undefined) return;
    this.#sessions.delete(session);
    const entry = this.#entries.get(client);
    if (entry === undefined) return;
    entry.sessions--;
    this.#watch(entry, nowMs);
  }

  /** An open transaction of this client. A unary caller has no stream to lose: only the timeout ends its transactions. */
  track(drive: Drive, nowMs: number): void {
    if (drive.client === "") return;
    const entry = this.#entry(drive.client);
    entry.open.add(drive);
    this.#watch(entry, nowMs);
  }

  untrack(drive: Drive): void {
    if (drive.client === "") return;
    const entry = this.#entries.get(drive.client);
    if (entry?.open.delete(drive) === true) this.#prune(entry);
  }

  /** Every transaction is forgotten; streams stay. */
  reset(): void {
    for (const entry of this.#entries.values()) {
      entry.open.clear();
      this.#prune(entry);
    }
  }

  #watch(entry: ClientEntry, nowMs: number): void {
    if (entry.sessions > 0) return;
    if (entry.open.size === 0) this.#prune(entry);
    else if (!entry.timerSet) this.#context.wheel.set(entry, nowMs + this.#context.options.clientLostMs);
  }

  #prune(entry: ClientEntry): void {
    if (entry.open.size > 0) return;
    this.#context.wheel.cancel(entry);
    if (entry.sessions === 0) this.#entries.delete(entry.client);
  }

  #entry(client: string): ClientEntry {
    let entry = this.#entries.get(client);
    if (entry === undefined) {
      entry = new ClientEntry(client);
      this.#entries.set(client, entry);
    }
    return entry;
  }
}
