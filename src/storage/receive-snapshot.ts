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

/** The sender throttles, but sends several frames a second: one that is silent for so long hangs. */
const SILENCE_MS_MAX = 15_000;

/**
 * The installed entries, or why nothing was installed. `signal` makes it give up even while the stream hangs; so does a sender's silence.
 * `open` begins the stream, which is ended for good by the signal it gets.
 */
export async function receiveSnapshot(
  store: StateStore,
  at: Zxid,
  signal: AbortSignal,
  open: (signal: AbortSignal) => AsyncIterable<SnapshotChunk>,
): Promise<Iterable<StateWrite> | string> {
  if (signal.aborted) return messageOf(signal.reason);
  const staged = await store.beginInstall(at);
  const giveUp = (problem: string): string => {
    staged.abandon();
    return problem;
  };
  const stop = new AbortController();
  const stopped = new Promise<never>((_, reject) => stop.signal.addEventListener("abort", () => reject(stop.signal.reason)));
  stopped.catch(() => undefined);
  const pass = (): void => stop.abort(signal.reason);
  signal.addEventListener("abort", pass);
  if (signal.aborted) pass();
  let chunks: AsyncIterator<SnapshotChunk, unknown> | undefined;
  try {
    chunks = open(stop.signal)[Symbol.asyncIterator]();
    for (;;) {
      let next: IteratorResult<SnapshotChunk, unknown>;
      const silence = setTimeout(() => stop.abort(new Error(`nothing came for ${SILENCE_MS_MAX} ms`)), SILENCE_MS_MAX);
      try {
        next = await Promise.race([chunks.next(), stopped]);
      } catch (error) {
        return giveUp(stop.signal.aborted ? messageOf(stop.signal.reason) : `the snapshot's stream failed: ${messageOf(error)}`);
      } finally {
        clearTimeout(silence);
      }
      if (stop.signal.aborted) return giveUp(messageOf(stop.signal.reason));
      if (next.done === true) return giveUp("the snapshot's stream ended before its end");
      await staged.add(next.value.entries);
      if (next.value.end !== undefined) return await staged.finish(next.value.end);
    }
  } finally {
    signal.removeEventListener("abort", pass);
    // The stream is the transport's: how its ending goes is of no consequence here, and a hanging one is not waited for.
    stop.abort(new Error("the snapshot is not read any further"));
    void chunks?.return?.().catch(() => undefined);
  }
}
