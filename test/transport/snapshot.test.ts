/**
 * Snapshots: whole or not at all, throttled, aborted cleanly.
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import { bytesService } from "../../src/transport/bytes.js";
import type { SnapshotChunk } from "../../src/transport/index.js";
import { framesOf, Pacer } from "../../src/transport/snapshot-lane.js";
import { snapshotFrameCodec } from "../../src/wire/index.js";
import { freePort, n1, n2, startPair, startPeer } from "./support.js";
import type { TestPeer } from "./support.js";

/** Never fires. */
const kept = new AbortController().signal;

const open: TestPeer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ net }) => net.shutdown()));
});

async function fetcherOf(
  readSnapshot: (id: string) => AsyncIterable<SnapshotChunk>,
  snapshotBytesPerSecond = 1e9,
): Promise<{ readonly fetcher: TestPeer; readonly sender: TestPeer }> {
  const [fetcher, sender] = await startPair({ overrides2: { readSnapshot, snapshotBytesPerSecond } });
  open.push(fetcher, sender);
  return { fetcher, sender };
}

async function collect(chunks: AsyncIterable<SnapshotChunk>): Promise<{ key: string; value: number[] }[]> {
  const all: { key: string; value: number[] }[] = [];
  for await (const chunk of chunks) for (const { key, value } of chunk.entries) all.push({ key, value: [...value] });
  return all;
}

function entries(count: number, bytes: number): { readonly key: string; readonly value: Uint8Array }[] {
  return Array.from({ length: count }, (_, index) => ({ key: `r/${index}`, value: new Uint8Array(bytes).fill(index) }));
}

describe("a transfer", () => {
  test("brings every entry in order, whatever the reader's chunks are", async () => {
    const all = entries(1_000, 700);
    const { fetcher } = await fetcherOf(async function* (id) {
      expect(id).toBe("s-1");
      yield { entries: all.slice(0, 3) };
      yield { entries: [] };
      yield { entries: all.slice(3) };
    });
    const got = await collect(fetcher.net.fetchSnapshot(n2, "s-1", kept));
    expect(got).toEqual(all.map(({ key, value }) => ({ key, value: [...value] })));
  });

  test("of nothing is complete and empty", async () => {
    const { fetcher } = await fetcherOf(async function* () {
      // An empty state has no chunk.
    });
    expect(await collect(fetcher.net.fetchSnapshot(n2, "s", kept))).toEqual([]);
  });

  test("takes at least the time its throttle asks for", async () => {
    const bytes = 400_000;
    const { fetcher } = await fetcherOf(async function* () {
      yield { entries: entries(100, bytes / 100) };
    }, 1_000_000);
    const at = performance.now();
    expect(await collect(fetcher.net.fetchSnapshot(n2, "s", kept))).toHaveLength(100);
    expect(performance.now() - at).toBeGreaterThan(390);
  });
});

describe("a transfer that fails", () => {
  test("because the sender no longer has it: a QuorateError with the sender's words", async () => {
    const [fetcher, sender] = await startPair();
    open.push(fetcher, sender);
    const fetched = collect(fetcher.net.fetchSnapshot(n2, "gone", kept));
    await expect(fetched).rejects.toThrow(QuorateError);
    await expect(fetched).rejects.toMatchObject({
      code: "QUORATE_UNREACHABLE",
      retry: "safe",
      message: expect.stringContaining("no snapshot gone"),
    });
  });

  test("midway: an error after the entries that came, and the next transfer works", async () => {
    let broken = true;
    const { fetcher } = await fetcherOf(async function* () {
      yield { entries: entries(1, 1) };
      if (broken) throw new Error("disk");
    });
    await expect(collect(fetcher.net.fetchSnapshot(n2, "s", kept))).rejects.toThrow("disk");
    broken = false;
    expect(await collect(fetcher.net.fetchSnapshot(n2, "s", kept))).toHaveLength(1);
  });

  test("because the fetcher stops: the reader is told, and closes what it holds", async () => {
    let closed: () => void = () => undefined;
    const readerClosed = new Promise<void>((resolve) => (closed = resolve));
    const { fetcher, sender } = await fetcherOf(async function* () {
      try {
        for (;;) yield { entries: entries(1, 100_000) };
      } finally {
        closed();
      }
    }, 2_000_000);
    for await (const chunk of fetcher.net.fetchSnapshot(n2, "s", kept)) {
      expect(chunk.entries).toHaveLength(1);
      break;
    }
    await readerClosed;
    await sender.log.find(({ message }) => message === "n1 gave up fetching a snapshot");
  });

  test("because nobody waits for it any more: at once, even while the sender hangs", async () => {
    const { fetcher, sender } = await fetcherOf(async function* () {
      yield { entries: entries(1, 1_000) };
      await new Promise(() => undefined);
    });
    const stop = new AbortController();
    const chunks = fetcher.net.fetchSnapshot(n2, "s", stop.signal)[Symbol.asyncIterator]();
    expect((await chunks.next()).done).toBe(false);
    const next = chunks.next();
    stop.abort();
    await expect(next).rejects.toMatchObject({ code: "QUORATE_UNREACHABLE" });
    await expect(fetcher.net.fetchSnapshot(n2, "s", stop.signal)[Symbol.asyncIterator]().next()).rejects.toThrow("aborted");
    await sender.net.shutdown();
  });

  test("because the sender goes away: an error, not a short snapshot", async () => {
    const { fetcher, sender } = await fetcherOf(async function* () {
      for (;;) yield { entries: entries(1, 1_000) };
    }, 1_000_000);
    const fetched = (async () => {
      for await (const { entries: got } of fetcher.net.fetchSnapshot(n2, "s", kept)) if (got.length > 0) await sender.net.shutdown();
    })();
    await expect(fetched).rejects.toThrow(QuorateError);
  });

  test.each([
    ["without its end frame", [{ entries: entries(2, 5), end: undefined }], "broke off before its end"],
    [
      "with another count",
      [
        { entries: entries(2, 5), end: undefined },
        { entries: [], end: { entries: 3, crc32c: 0 } },
      ],
      "2 of 3 entries",
    ],
    ["with a wrong checksum", [{ entries: [], end: { entries: 0, crc32c: 5 } }], "checksum 0 of 5"],
  ])("because it comes %s", async (_, frames, message) => {
    const server = new Server();
    server.addService(bytesService("Peer"), {
      Control: () => undefined,
      Follow: () => undefined,
      Snapshot(call: ServerWritableStream<Uint8Array, Uint8Array>) {
        for (const frame of frames) call.write(snapshotFrameCodec.encode(frame));
        call.end();
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    const fetcher = await startPeer(n1, await freePort(), { 2: port });
    open.push(fetcher);
    await expect(collect(fetcher.net.fetchSnapshot(n2, "s", kept))).rejects.toThrow(message);
    server.forceShutdown();
  });
});

describe("cutting and pacing", () => {
  test("frames hold at most their bytes, or one entry, and lose none", () => {
    const all = entries(50, 90);
    const frames = [...framesOf({ entries: [...all, { key: "big", value: new Uint8Array(5_000) }] }, 1_000)];
    expect(frames.flat().map(({ key }) => key)).toEqual([...all.map(({ key }) => key), "big"]);
    for (const frame of frames.slice(0, -1)) expect(frame.length).toBeLessThanOrEqual(9);
    expect(frames.at(-1)).toHaveLength(1);
  });

  test("a pacer spreads bytes evenly and does not make up for idle time", () => {
    const pacer = new Pacer(1_000, 0);
    expect(pacer.delayMs(100, 0)).toBe(100);
    expect(pacer.delayMs(100, 100)).toBe(100);
    expect(pacer.delayMs(100, 10_000)).toBe(100);
  });
});
