/** Whether a Redis server keeps what it answers: the settings that decide it. */
import { messageOf, QuorateError } from "../../base/index.js";
import type { Send } from "./client.js";

const NEEDED: readonly { readonly name: string; readonly value: string; readonly otherwise: string }[] = [
  { name: "appendonly", value: "yes", otherwise: "writes are kept in memory only and lost with the process" },
  { name: "appendfsync", value: "always", otherwise: "a second of answered writes may be lost with the machine" },
  { name: "no-appendfsync-on-rewrite", value: "no", otherwise: "nothing is synced while the file is rewritten" },
];

export async function checkRedis(send: Send): Promise<void> {
  const problems: string[] = [];
  for (const { name, value, otherwise } of NEEDED) {
    const found = await setting(send, name);
    if (found !== value)
      problems.push(`${name} is ${found || "unknown"}: ${otherwise}; set it with CONFIG SET ${name} ${value} and in redis.conf`);
  }
  const policy = await setting(send, "maxmemory-policy");
  const limit = await setting(send, "maxmemory");
  if (limit !== "0" && policy.startsWith("allkeys"))
    problems.push(
      `maxmemory-policy is ${policy} under a maxmemory of ${limit}: marks are thrown away when memory is short; set it to noeviction or a volatile policy`,
    );
  if (problems.length === 0) return;
  throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `barrier.redis: this server does not keep what it answers: ${problems.join("; ")}`);
}

async function setting(send: Send, name: string): Promise<string> {
  let reply: unknown;
  try {
    reply = await send(["CONFIG", "GET", name]);
  } catch (error) {
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      `barrier.redis: CONFIG GET ${name} was refused (${messageOf(error)}), so durability cannot be checked. Have ` +
        `${NEEDED.map((each) => `${each.name} ${each.value}`).join(", ")} set on the server, then make the barrier with { check: false }`,
      { cause: error },
    );
  }
  // A list of name and value, or an object or Map of them, by protocol and client.
  if (Array.isArray(reply)) return String((reply as readonly unknown[])[1] ?? "");
  if (reply instanceof Map) return String(reply.get(name) ?? "");
  return String((reply as Record<string, unknown> | null)?.[name] ?? "");
}
