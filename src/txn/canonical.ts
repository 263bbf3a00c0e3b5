/**
 * The whole state as one text, the same for equal states whatever the order they were built in. For tests and simulation only.
 */
import type { ClientMemory, KnownParticipant, Register } from "./api.js";
import type { Tables } from "./tables.js";

export function canonicalText(tables: Tables): string {
  const lines = [`meta ${line(tables.meta())}`];
  const section = (name: string, values: Iterable<object>): void => {
    const texts: string[] = [];
    for (const value of values) texts.push(`${name} ${line(value)}`);
    lines.push(...texts.sort());
  };
  section("transaction", tables.transactions.values());
  section("outcome", tables.outcomes.newest(Number.MAX_SAFE_INTEGER));
  section("register", tables.registers.values() satisfies Iterable<Register>);
  section("participant", tables.participants.values() satisfies Iterable<KnownParticipant>);
  const memories: ClientMemory[] = [];
  for (const client of tables.clients.values()) memories.push(client.toMemory());
  section("client", memories);
  return lines.join("\n");
}

function line(value: object): string {
  return JSON.stringify(value, (_key, part: unknown) => (part === undefined ? null : ordered(part)));
}

/** Keys sorted and bytes as hex: done on the parent, because a Buffer turns itself into something else before a replacer sees it. */
function ordered(part: unknown): unknown {
  if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(part).sort()) {
    const value = (part as Record<string, unknown>)[key];
    out[key] = value instanceof Uint8Array ? `0x${Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("")}` : value;
  }
  return out;
}
