/**
 * The proof behind a write benchmark: registers are read back by quorum reads through a follower, and each must hold, version and
 * content, what was acknowledged last.
 */
import { formatNodeId, QuorateError } from "../../base/index.js";
import { registerName, type PutAccount } from "../../bench/put-load.js";
import type { Quorate } from "../../client/index.js";
import { FollowerReader, type Register } from "./follower-reader.js";

export const READ_BACK = 1000;
/** Reads on their way at once. */
const AT_ONCE = 64;

export interface ReadBack {
  readonly asked: number;
  /** Of these, how many held exactly what was acknowledged. */
  readonly found: number;
  /** The node that answered. */
  readonly through: string;
  /** `following`; `leading` only in a cluster of one node, which has no follower. */
  readonly role: "following" | "leading";
}

interface Reader {
  readonly role: ReadBack["role"];
  /** Rejects when the node is not what `role` says. */
  through(): Promise<string>;
  read(name: string): Promise<Register>;
  close(): void;
}

/** Rejects with QUORATE_WRONG_STATE when the node that answers stops following meanwhile. */
export async function readBack(quorate: Quorate, account: PutAccount): Promise<ReadBack> {
  const registers = account.sample(READ_BACK);
  const reader = await openReader(quorate);
  try {
    let found = 0;
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let at = next++; at < registers.length; at = next++) {
        const register = registers[at] ?? 0;
        if (account.matches(register, await reader.read(registerName(register)))) found += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return { asked: registers.length, found, through: await reader.through(), role: reader.role };
  } finally {
    reader.close();
  }
}

async function openReader(quorate: Quorate): Promise<Reader> {
  const nodes = await quorate.status();
  const follower = nodes.find(({ status }) => status?.role === "following" && status.leader !== undefined);
  if (follower !== undefined) {
    const reader = await FollowerReader.open(follower.address);
    return {
      role: "following",
      through: async () => formatNodeId(await reader.checkFollowing()),
      read: (name) => reader.read(name),
      close: () => reader.close(),
    };
  }
  const [only] = nodes;
  if (nodes.length !== 1 || only?.status === undefined)
    throw new QuorateError("QUORATE_NO_QUORUM", "no follower answers, so what was written cannot be read back through one");
  const name = formatNodeId(only.status.id);
  return { role: "leading", through: () => Promise.resolve(name), read: (register) => quorate.read(register), close: () => undefined };
}
