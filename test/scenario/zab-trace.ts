/**
 * Writes down what consensus peers do, one line each: what reached a peer, and below it what the peer asked for in return.
 */
import { formatZxid, type Zxid } from "../../src/base/index.js";
import type { Entry, PersistOp, Ready, Role, SessionId, ZabInput } from "../../src/zab/index.js";
import type { AnyMessage, Watcher } from "../zab/stage.js";

const text = new TextDecoder();

export class ZabTrace implements Watcher {
  /** `none`: nothing is written down. */
  level: "all" | "none" = "all";
  #lines: string[] = [];
  #pending: string | undefined;
  /** Whom a session of a node leads to. */
  readonly #sessions = new Map<string, number>();

  take(): string[] {
    const lines = this.#lines;
    [this.#lines, this.#pending] = [[], undefined];
    return lines;
  }

  say(line: string): void {
    this.#pending = undefined;
    if (this.level === "all") this.#lines.push(line);
  }

  forget(id: number): void {
    for (const key of [...this.#sessions.keys()]) if (key.startsWith(`${id}/`)) this.#sessions.delete(key);
  }

  input(id: number, from: number, input: ZabInput): void {
    switch (input.kind) {
      case "control":
        this.say(`n${id} <- n${from} ${input.message.kind}`);
        return;
      case "session":
        this.say(`n${id} <- n${from === id ? this.#peerOf(id, input.session) : from} ${input.message.kind}`);
        return;
      case "session-up":
        this.#sessions.set(`${id}/${input.session}`, input.peer);
        this.say(`n${id} session ${input.session} with n${input.peer} is up, ${input.direction}`);
        return;
      case "session-down":
        this.say(`n${id} session ${input.session} with n${input.peer} is down`);
        return;
      case "link":
        this.#later(`n${id} hears that n${input.peer} is ${input.up ? "up" : "down"}`);
        return;
      case "tick":
      case "applied":
      case "persisted":
        this.#later(`n${id} ${input.kind}`);
        return;
      case "checkpointed":
        this.say(`n${id} checkpointed ${formatZxid(input.zxid)}`);
        return;
      case "snapshot-ready":
        this.#later(`n${id} has a snapshot at ${formatZxid(input.at)}`);
        return;
      case "snapshot-installed":
        this.say(`n${id} ${input.ok ? "installed" : "could not install"} the snapshot at ${formatZxid(input.at)}`);
        return;
      case "read":
        this.say(`n${id} read ${input.id}`);
        return;
      case "transfer":
        this.say(`n${id} transfer to ${input.to === undefined ? "anybody" : `n${input.to}`}`);
        return;
      case "damaged":
        this.say(`n${id} damaged`);
        return;
    }
  }

  ready(id: number, ready: Ready): void {
    for (const { seq, op } of ready.persist) this.#effect(`persist ${seq}: ${persistWords(op)}`);
    for (const { to, message } of ready.control) this.#effect(`-> n${to} ${messageWords(message)}`);
    for (const { session, message } of ready.session) this.#effect(`-> n${this.#peerOf(id, session)} ${messageWords(message)}`);
    for (const { session, peer } of ready.dial) {
      this.#sessions.set(`${id}/${session}`, peer);
      this.#effect(`dials n${peer}, session ${session}`);
    }
    for (const session of ready.close) this.#effect(`closes session ${session} with n${this.#peerOf(id, session)}`);
    for (const { name, fields } of ready.events) if (name !== "role") this.#effect(`event ${name}${fieldWords(fields)}`);
    if (ready.role !== undefined) this.#effect(`role ${roleWords(ready.role)}`);
    for (const entry of ready.committed) this.#effect(`commits ${entryWords(entry)}`);
    for (const read of ready.reads) this.#effect(`read ${read.id} ${read.ok ? `is served at ${formatZxid(read.index)}` : "is refused"}`);
  }

  durable(id: number, seq: number): void {
    this.#effect(`n${id} durable up to ${seq}`);
  }

  #peerOf(id: number, session: SessionId): number | string {
    return this.#sessions.get(`${id}/${session}`) ?? "?";
  }

  /** Worth a line only if something follows from it. */
  #later(line: string): void {
    this.#pending = line;
  }

  #effect(line: string): void {
    const pending = this.#pending;
    if (pending !== undefined) this.say(pending);
    if (this.level === "all") this.#lines.push(`  ${line}`);
  }
}

export function messageWords({ kind, ...fields }: AnyMessage): string {
  return `${kind}${fieldWords(fields)}`;
}

export function roleWords(role: Role): string {
  switch (role.kind) {
    case "looking":
      return "looking";
    case "following":
      return `following n${role.leader} epoch ${role.epoch} ${role.phase}`;
    case "leading":
      return `leading epoch ${role.epoch} ${role.phase}`;
  }
}

function persistWords(op: PersistOp): string {
  switch (op.kind) {
    case "append":
      return `append ${op.entries.map(entryWords).join(" ")} after ${formatZxid(op.previous)}`;
    case "truncate":
      return `truncate after ${formatZxid(op.after)}`;
    case "reset":
      return `reset to ${formatZxid(op.base)}`;
    case "compact":
      return `compact up to ${formatZxid(op.upTo)}`;
    case "epochs": {
      const { acceptedEpoch, currentEpoch, damage } = op.record;
      return `epochs accepted=${acceptedEpoch} current=${currentEpoch}${damage === undefined ? "" : ` damage=${damage}`}`;
    }
  }
}

function entryWords({ zxid, payload }: Entry): string {
  return `${formatZxid(zxid)}=${text.decode(payload)}`;
}

function fieldWords(fields: object): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name, value]) => (value === true ? ` ${name}` : ` ${name}=${valueWords(value)}`))
    .join("");
}

function valueWords(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.map(valueWords).join(" ")}]`;
  if ("counter" in value && "epoch" in value) return formatZxid(value as Zxid);
  if ("payload" in value) return entryWords(value as Entry);
  if ("leader" in value && "zxid" in value && "epoch" in value) {
    return `n${valueWords(value.leader)}/${valueWords(value.epoch)}/${valueWords(value.zxid)}`;
  }
  if ("current" in value) return valueWords((value.current as { readonly version: Zxid }).version);
  return JSON.stringify(value);
}
