/**
 * Quorum reads through one follower. The client library sends everything to the leader; this is a session stream to a single node that
 * must follow, so that what it answers comes from that node's own applied state after a quorum round.
 */
import { formatNodeId, messageOf, PRODUCT_VERSION, QuorateError, type NodeId, type Zxid } from "../base/index.js";
import { Endpoint, type RawStream } from "../client/endpoint.js";
import { newGid } from "../client/index.js";
import type { Answer } from "../coordinator/index.js";
import { codecs, type NodeView, type ServerFrame } from "../wire/index.js";

const SESSION_PATH = "/quorate.v1.Session/Open";
const VIEW_TIMEOUT_MS = 5_000;
const READ_TIMEOUT_MS = 10_000;

export type Register = { readonly value: Uint8Array; readonly version: Zxid } | undefined;

interface Waiting {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

export class FollowerReader {
  readonly #endpoint: Endpoint;
  readonly #stream: RawStream;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onView = new Set<() => void>();
  #view: NodeView | undefined;
  #failure: Error | undefined;
  #next = 1;

  private constructor(address: string) {
    this.#endpoint = new Endpoint(address);
    this.#stream = this.#endpoint.stream(SESSION_PATH);
    this.#stream.on("data", (bytes: Uint8Array) => this.#received(codecs.serverFrame.decode(bytes)));
    this.#stream.on("error", (error) => this.#fail(error));
    this.#stream.on("end", () => this.#fail(new Error("the node closed the stream")));
    const client = newGid().slice("q-".length);
    this.#stream.write(codecs.clientFrame.encode({ hello: { client, version: PRODUCT_VERSION }, requests: [] }));
  }

  /** Rejects with QUORATE_WRONG_STATE unless the node at this address follows an established leader. */
  static async open(address: string): Promise<FollowerReader> {
    const reader = new FollowerReader(address);
    try {
      await reader.#firstView(address);
      reader.assertFollowing();
      return reader;
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /** Throws QUORATE_WRONG_STATE: what was read since the last look did not come from a follower. */
  assertFollowing(): NodeId {
    const view = this.#view;
    if (view?.role === "following" && view.established) return view.node;
    const what =
      view === undefined
        ? "has said nothing"
        : `${formatNodeId(view.node)} is ${view.role}, ${view.established ? "established" : "not established"}`;
    throw new QuorateError(
      "QUORATE_WRONG_STATE",
      `reads must come from a follower of an established leader, but ${this.#endpoint.address} ${what}`,
    );
  }

  /** One register, linearizable. Rejects with the node's error. */
  async read(name: string): Promise<Register> {
    const answer = await this.#ask(name);
    if (answer.kind === "error") throw new QuorateError(answer.code, answer.message, { retry: answer.retry });
    if (answer.kind !== "read") throw new QuorateError("QUORATE_INTERNAL", `the node answered read with ${answer.kind}`);
    const { value, version } = answer;
    return value === undefined || version === undefined ? undefined : { value, version };
  }

  close(): void {
    this.#fail(new Error("closed"));
    this.#stream.cancel();
    this.#endpoint.close();
  }

  #ask(name: string): Promise<Answer> {
    const request = this.#next++;
    return new Promise<Answer>((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      const timer = setTimeout(() => {
        this.#waiting.delete(request);
        reject(new QuorateError("QUORATE_TIMEOUT", `${this.#endpoint.address} did not answer a read within ${READ_TIMEOUT_MS} ms`));
      }, READ_TIMEOUT_MS);
      const settled =
        <T>(then: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          then(value);
        };
      this.#waiting.set(request, { resolve: settled(resolve), reject: settled(reject) });
      this.#stream.write(codecs.clientFrame.encode({ hello: undefined, requests: [{ request, body: { kind: "read", name } }] }));
    });
  }

  #firstView(address: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new QuorateError("QUORATE_UNREACHABLE", `${address} said nothing within ${VIEW_TIMEOUT_MS} ms`)),
        VIEW_TIMEOUT_MS,
      );
      this.#onView.add(() => {
        clearTimeout(timer);
        if (this.#failure === undefined) resolve();
        else reject(new QuorateError("QUORATE_UNREACHABLE", `${address}: ${messageOf(this.#failure)}`));
      });
    });
  }

  #received(frame: ServerFrame): void {
    if (frame.view !== undefined) {
      this.#view = frame.view;
      this.#told();
    }
    for (const { request, answer } of frame.answers) {
      this.#waiting.get(request)?.resolve(answer);
      this.#waiting.delete(request);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#told();
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }

  #told(): void {
    for (const tell of this.#onView) tell();
    this.#onView.clear();
  }
}
