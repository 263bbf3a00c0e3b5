/**
 * What the core owes its host until the next drain. Holds lists, decides nothing.
 */
import type { NodeId, Zxid } from "../base/index.js";
import type { Ready, SessionId, ZabEvent } from "./input.js";
import type { ControlMessage, SessionMessage } from "./message.js";

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };
type Lists = Mutable<Omit<Ready, "persist" | "committed" | "moreCommitted" | "role" | "wakeAtMs">>;

function emptyLists(): Lists {
  return { control: [], session: [], dial: [], close: [], reads: [], snapshotWanted: [], installWanted: [], events: [] };
}

export class Outbox {
  #lists = emptyLists();
  #dirty = false;

  control(to: NodeId, message: ControlMessage): void {
    this.#touch().control.push({ to, message });
  }

  session(session: SessionId, message: SessionMessage): void {
    this.#touch().session.push({ session, message });
  }

  dial(session: SessionId, peer: NodeId): void {
    this.#touch().dial.push({ session, peer });
  }

  close(session: SessionId): void {
    this.#touch().close.push(session);
  }

  read(id: number, ok: boolean, index: Zxid): void {
    this.#touch().reads.push({ id, ok, index });
  }

  snapshotWanted(session: SessionId, peer: NodeId): void {
    this.#touch().snapshotWanted.push({ session, peer });
  }

  installWanted(session: SessionId, peer: NodeId, at: Zxid, snapshotId: string): void {
    this.#touch().installWanted.push({ session, peer, at, snapshotId });
  }

  event(name: string, fields: ZabEvent["fields"]): void {
    this.#touch().events.push({ name, fields });
  }

  take(): Readonly<Lists> {
    if (!this.#dirty) return NOTHING;
    const lists = this.#lists;
    this.#lists = emptyLists();
    this.#dirty = false;
    return lists;
  }

  #touch(): Lists {
    this.#dirty = true;
    return this.#lists;
  }
}

const NOTHING: Readonly<Lists> = Object.freeze(emptyLists());
