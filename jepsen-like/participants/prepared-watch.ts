/**
 * Doubts as a database shows them: prepared branches, looked at every 100 ms by a connection that no fault of ours touches. A branch
 * that a client prepared itself is in doubt there as well.
 */
import type { Observer } from "./observer.js";

const POLL_MS = 100;

export interface PreparedWatch {
  stop(): Promise<void>;
  /** The participant or its server was away: what it holds at the next look is in doubt since then. */
  reset(): void;
}

/** `look`: our prepared branches, `gid/branch`, with how long each is prepared, ns. A branch was settled between the last look that saw it and the one that does not. */
export function watchPrepared(name: string, { probe }: Observer, look: () => Promise<ReadonlyMap<string, bigint>>): PreparedWatch {
  let stopped = false;
  let fresh = false;
  let before = new Set<string>();
  const step = async (): Promise<void> => {
    const now = await look();
    const nowNs = process.hrtime.bigint();
    if (fresh) {
      fresh = false;
      probe.back(name, [...now.keys()], nowNs);
    } else {
      for (const branch of before) if (!now.has(branch)) probe.outcome(name, branch, nowNs);
      for (const [branch, agoNs] of now) probe.yes(name, branch, nowNs - agoNs);
    }
    before = new Set(now.keys());
  };
  const loop = (async () => {
    while (!stopped) {
      // A server that is down or frozen does not answer; the next look sees what it knows then.
      await step().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await loop;
    },
    reset: () => {
      fresh = true;
    },
  };
}
