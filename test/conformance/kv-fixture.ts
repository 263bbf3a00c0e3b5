/** The embedded key-value participant for the conformance suite. A crash is a copy of the folder as the kernel has it at that moment. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";
import { copyStore } from "../support/copy-store.js";
import type { ParticipantFixture } from "./participant.js";

/** Long enough for a commit on a busy machine. */
const LOCK_WAIT_MS = 800;

export async function kvFixture(): Promise<ParticipantFixture> {
  const root = mkdtempSync(join(tmpdir(), "quorate-kv-"));
  const clusterId = "conformance";
  let life = 0;
  const open = async (): Promise<KvParticipant> => {
    const participant = kv({ name: "bank", dir: join(root, String(life)), lockWaitMs: LOCK_WAIT_MS, youngerLockWaitMs: LOCK_WAIT_MS });
    await participant.start(clusterId);
    return participant;
  };
  let participant = await open();
  return {
    get participant() {
      return participant;
    },
    clusterId,
    lockWaitMsMax: LOCK_WAIT_MS,
    work: (account, delta) => kvPayload([{ op: "add", key: account, delta, min: 0 }]),
    balance: async (account) => Number((await participant.get(account)) ?? 0),
    async crash() {
      copyStore(join(root, String(life)), join(root, String(life + 1)));
      await participant.close();
      life++;
      participant = await open();
    },
    async dispose() {
      await participant.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
