/**
 * One simulated client process: a stream to every node, requests that follow the leader, and the history of what it was told.
 */
import { newGid, uuid7, type Gid, type Prng } from "../base/index.js";
import type { HistoryEvent, HistoryValue } from "../check/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import { codecs, type ClientFrame, type NodeView, type ServerFrame } from "../wire/index.js";
import type { Host, Network } from "./network.js";
import { pack, unpack } from "./session-port.js";
import { WALL_EPOCH_MS, type SimNode } from "./sim-node.js";
import type { Stream, StreamEnd } from "./stream.js";
import { sleep, waitFor, type Task } from "./task.js";
import type { World } from "./world.js";

export interface ClientOptions {
  readonly reconnectMsMean: number;
  readonly attemptMs: number;
  readonly deadlineMs: number;
  readonly encodeStreams: boolean;
  /** Added to this client's idea of the cluster's time: gids from a wrong clock. */
  readonly skewMs: number;
}

export type ClientWatcher = {
  clientKnown(node: SimNode, client: string, known: boolean): void;
};

/** What became of one attempt. */
type Attempt = Answer | "broken" | "timeout" | "no-stream";

export interface Asked {
  /** Undefined: nobody answered in time. */
  readonly answer: Answer | undefined;
  /** Some attempt before it may have had an effect that this answer does not speak of. */
  readonly ambiguous: boolean;
  readonly node: string;
}

/** Numbers the history's events and its processes. */
export class Recorder {
  readonly events: HistoryEvent[] = [];
  readonly #world: World;
  #nextProcess = 0;

  constructor(world: World) {
    this.#world = world;
  }

  process(): number {
    return this.#nextProcess++;
  }

  write(process: number, type: HistoryEvent["type"], f: string, key: string, value: HistoryValue, more: Partial<HistoryEvent> = {}): void {
    const { events } = this;
    events.push({ index: events.length, time: Math.floor(this.#world.now * 1e6), process, type, f, key, value, ...more });
    this.#world.mark("client", `${f} ${type}`, () => `${key} ${JSON.stringify(value)} ${JSON.stringify(more)}`);
  }
}

export class Client {
  readonly name: string;
  readonly host: Host;
  readonly recorder: Recorder;
  readonly prng: Prng;
  readonly world: World;
  readonly #network: Network;
  readonly #nodes: readonly SimNode[];
  readonly #watcher: ClientWatcher;
  readonly #streams = new Map<SimNode, Stream>();
  readonly #views = new Map<SimNode, { readonly view: NodeView; readonly at: number }>();
  readonly #waiting = new Map<number, { readonly node: SimNode; readonly resume: (attempt: Attempt) => void }>();
  options: ClientOptions;
  #id = "";
  #life = 0;
  #up = false;
  #nextRequest = 1;
  #lastTime: { readonly clusterMs: number; readonly at: number } | undefined;

  constructor(
    world: World,
    network: Network,
    name: string,
    nodes: readonly SimNode[],
    recorder: Recorder,
    options: ClientOptions,
    watcher: ClientWatcher,
  ) {
    this.world = world;
    this.name = name;
    this.recorder = recorder;
    this.#network = network;
    this.#nodes = nodes;
    this.prng = world.fork(`client/${name}`);
    this.options = options;
    this.#watcher = watcher;
    this.host = network.addHost();
  }

  /** This life's name: a UUID v7 from the clock it had when it started. */
  get id(): string {
    return this.#id;
  }

  get up(): boolean {
    return this.#up;
  }

  get life(): number {
    return this.#life;
  }

  start(): void {
    if (this.#up) return;
    this.#up = true;
    this.#life += 1;
    this.#id = uuid7(this.clusterTimeMs(), this.prng.uint32);
    this.#network.start(this.host);
    this.world.mark(this.name, "start", () => this.#id);
    for (const node of this.#nodes) this.#connect(node, this.#life);
  }

  /** Ends the process: everything it was doing stops where it is. */
  crash(): void {
    if (!this.#up) return;
    this.#up = false;
    this.#streams.clear();
    this.#views.clear();
    this.#waiting.clear();
    this.world.mark(this.name, "crash");
    this.#network.stop(this.host);
  }

  alive(life: number): boolean {
    return this.#up && life === this.#life;
  }

  /** The cluster's clock as far as this client knows: the last view's, moved on by its own monotonic clock. */
  clusterTimeMs(): number {
    const known = this.#lastTime;
    const base = known === undefined ? WALL_EPOCH_MS + this.world.now : known.clusterMs + (this.world.now - known.at);
    return base + this.options.skewMs;
  }

  newGid(): Gid {
    return newGid(this.clusterTimeMs(), this.prng.uint32);
  }

  // ---- asking

  /**
   * Sends a request to the leader, and again to whoever leads next, with the same identity, until it is answered or `deadlineMs`
   * passed.
   */
  *ask(body: Request, deadlineMs = this.options.deadlineMs): Task<Asked> {
    const giveUpAt = this.world.now + deadlineMs;
    let ambiguous = false;
    let delayMs = 5;
    while (this.world.now < giveUpAt) {
      const node = this.#choose();
      if (node === undefined) {
        yield* sleep(this.world, 20 + this.prng.float() * 30);
        continue;
      }
      const attempt = yield* this.askOnce(node, body, Math.min(this.options.attemptMs, giveUpAt - this.world.now));
      if (typeof attempt === "string") ambiguous ||= attempt !== "no-stream";
      else if (attempt.kind !== "error" || attempt.retry === "never" || attempt.code === "QUORATE_CONFLICT")
        return { answer: attempt, ambiguous, node: node.name };
      // A safe refusal promises that nothing was proposed for this attempt; any other may have taken effect.
      else ambiguous ||= attempt.retry !== "safe";
      delayMs = Math.min(300, delayMs * 2);
      yield* sleep(this.world, this.prng.float() * delayMs);
    }
    return { answer: undefined, ambiguous, node: "" };
  }

  *askOnce(node: SimNode, body: Request, timeoutMs: number): Task<Attempt> {
    const stream = this.#streams.get(node);
    if (stream === undefined) return "no-stream";
    const request = this.#nextRequest++;
    const frame: ClientFrame = { hello: undefined, requests: [{ request, body }] };
    return yield* waitFor<Attempt>((resume) => {
      this.#waiting.set(request, { node, resume });
      this.world.mark(this.name, `asks ${node.name}`, () => `#${request} ${showRequest(body)}`);
      stream.send(0, pack(codecs.clientFrame, frame, this.options.encodeStreams));
      this.world.after(timeoutMs, () => {
        if (this.#waiting.delete(request)) resume("timeout");
      });
    });
  }

  /** Any connected node, for questions that need not go to the leader. */
  anyNode(): SimNode | undefined {
    const open = [...this.#streams.keys()];
    return open.length === 0 ? undefined : this.prng.pick(open);
  }

  #choose(): SimNode | undefined {
    const open = [...this.#streams.keys()];
    if (open.length === 0) return undefined;
    let best: { readonly epoch: number; readonly leader: SimNode } | undefined;
    for (const { view } of this.#views.values()) {
      if (view.leader === undefined || (best !== undefined && best.epoch >= view.epoch)) continue;
      const leader = open.find((node) => node.id === view.leader);
      if (leader !== undefined) best = { epoch: view.epoch, leader };
    }
    // Now and then the wrong one: it must say so, and nothing else.
    if (best !== undefined && !this.prng.chance(0.05)) return best.leader;
    return this.prng.pick(open);
  }

  // ---- streams

  #connect(node: SimNode, life: number): void {
    let stream: Stream | undefined;
    const end: StreamEnd = {
      onFrame: (frame) => {
        if (this.alive(life)) this.#received(node, unpack<ServerFrame>(codecs.serverFrame, frame));
      },
      onDown: () => {
        if (this.#streams.get(node) !== stream) return;
        this.#streams.delete(node);
        this.#views.delete(node);
        for (const [request, waiter] of [...this.#waiting]) {
          if (waiter.node !== node) continue;
          this.#waiting.delete(request);
          waiter.resume("broken");
        }
        this.#reconnect(node, life);
      },
    };
    this.#network.connect(
      this.host,
      node.host,
      end,
      (opened) =>
        node.streams?.acceptClient(
          opened,
          (client) => this.#watcher.clientKnown(node, client, true),
          (client) => this.#watcher.clientKnown(node, client, false),
        ),
      (opened) => {
        if (!this.alive(life)) return;
        if (opened === undefined) {
          this.#reconnect(node, life);
          return;
        }
        stream = opened;
        this.#streams.set(node, opened);
        const frame: ClientFrame = { hello: { client: this.#id, version: "sim" }, requests: [] };
        opened.send(0, pack(codecs.clientFrame, frame, this.options.encodeStreams));
      },
    );
  }

  #reconnect(node: SimNode, life: number): void {
    this.world.after(1 + this.prng.exponential(this.options.reconnectMsMean), () => {
      if (this.alive(life)) this.#connect(node, life);
    });
  }

  #received(node: SimNode, frame: ServerFrame): void {
    if (frame.view !== undefined) {
      this.#views.set(node, { view: frame.view, at: this.world.now });
      this.#lastTime = { clusterMs: frame.view.clusterTimeMs, at: this.world.now };
    }
    for (const { request, answer } of frame.answers) {
      const waiter = this.#waiting.get(request);
      this.world.mark(
        this.name,
        `answer from ${node.name}`,
        () => `#${request} ${showAnswer(answer)}${waiter === undefined ? " (late)" : ""}`,
      );
      if (waiter === undefined) continue;
      this.#waiting.delete(request);
      waiter.resume(answer);
    }
  }
}

export function showRequest(body: Request): string {
  return JSON.stringify(body, (_key, value: unknown) => (value instanceof Uint8Array ? new TextDecoder().decode(value) : value));
}

export function showAnswer(answer: Answer): string {
  return JSON.stringify(answer, (_key, value: unknown) => (value instanceof Uint8Array ? new TextDecoder().decode(value) : value));
}
