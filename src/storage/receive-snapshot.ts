/**
 * Carries one snapshot from a peer's stream into a staged generation of the state.
 *
 * What can go wrong with the peer or the stream is a returned problem, and leaves the state as it was. Only failures of this node's
 * own disk reject.
 */
import { messageOf } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { StateWrite } from "../replica/ports.js";
import type { SnapshotChunk } from "./snapshot.js";
import type { StateStore } from "./state-store.js";

/** The installed entries, or why nothing was installed. `signal` makes it give up even while the stream hangs. */
export async function receiveSnapshot(
  store: StateStore,
  at: Zxid,
  signal: AbortSignal,
  open: () => AsyncIterable<SnapshotChunk>,
): Promise<Iterable<StateWrite> | string> {
  if (signal.aborted) return messageOf(signal.reason);
  const staged = await store.beginInstall(at);
  const giveUp = (problem: string): string => {
    staged.abandon();
    return problem;
  };
  let chunks: AsyncIterator<SnapshotChunk, unknown> | undefined;
  const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  aborted.catch(() => undefined);
  try {
    for (;;) {
      let next: IteratorResult<SnapshotChunk, unknown>;
      try {
        chunks ??= open()[Symbol.asyncIterator]();
        next = await Promise.race([chunks.next(), aborted]);
      } catch (error) {
        return giveUp(signal.aborted ? messageOf(signal.reason) : `the snapshot's stream failed: ${messageOf(error)}`);
      }
      if (signal.aborted) return giveUp(messageOf(signal.reason));
      if (next.done === true) return giveUp("the snapshot's stream ended before its end");
      await staged.add(next.value.entries);
      if (next.value.end !== undefined) return await staged.finish(next.value.end);
    }
  } finally {
    // The stream is the transport's: how its ending goes is of no consequence here, and a hanging one is not waited for.
    void chunks?.return?.().catch(() => undefined);
  }
}
