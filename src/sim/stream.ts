/**
 * One first-in-first-out connection between two hosts. Side 0 opened it.
 */
import type { Host, Network } from "./network.js";
import type { World } from "./world.js";

export type Side = 0 | 1;

export interface StreamEnd {
  /** `bytes` is what the other side sent: encoded or not is between the two. */
  onFrame(frame: unknown): void;
  /** The stream is over for this side; called at most once, and never after this side closed it. */
  onDown(): void;
}

/** Marks the end of a direction. */
const FIN = Symbol("fin");

interface Queued {
  readonly at: number;
  readonly frame: unknown;
}

class Direction {
  queue: Queued[] = [];
  lastAt = 0;
  /** The receiving side gets nothing more. */
  ended = false;
  finQueued = false;
}

export class Stream {
  readonly hosts: readonly [Host, Host];
  readonly #world: World;
  readonly #network: Network;
  /** `#toward[side]` carries frames toward that side. */
  readonly #toward: readonly [Direction, Direction] = [new Direction(), new Direction()];
  readonly #ends: [StreamEnd, StreamEnd | undefined];

  constructor(world: World, network: Network, from: Host, to: Host, near: StreamEnd) {
    this.#world = world;
    this.#network = network;
    this.hosts = [from, to];
    this.#ends = [near, undefined];
  }

  /** The opening side hears nothing before `openAt`. */
  accepted(far: StreamEnd, openAt: number): void {
    this.#ends[1] = far;
    this.#toward[0].lastAt = openAt;
  }

  touches(host: Host): boolean {
    return this.hosts[0] === host || this.hosts[1] === host;
  }

  /** True when this side has been told, or closed it itself. */
  isDown(side: Side): boolean {
    return this.#toward[side].ended;
  }

  send(side: Side, frame: unknown): void {
    if (this.isDown(side)) return;
    this.#enqueue(this.#other(side), frame, this.#network.delay());
  }

  /** Side `side` closes: what it sent arrives, then the end; it hears nothing more itself. */
  close(side: Side): void {
    if (this.isDown(side)) return;
    this.#end(side);
    this.#fin(this.#other(side), this.#network.delay());
  }

  /** Both sides lose it: each gets a prefix of what was under way, then the end after its delay. */
  breakOff(delayMs0: number, delayMs1: number): void {
    this.#cut(0);
    this.#cut(1);
    this.#fin(0, delayMs0);
    this.#fin(1, delayMs1);
  }

  hostDied(host: Host, silent: boolean): void {
    const dead: Side = this.hosts[0] === host ? 0 : 1;
    const other = this.#other(dead);
    this.#end(dead);
    this.#cut(other);
    this.#fin(other, silent ? this.#network.options.keepaliveMs : this.#network.delay());
  }

  /** The way is free again: frames held back flow after a retransmission delay. */
  unblocked(delayMs: number): void {
    for (const side of [0, 1] as const) {
      if (this.#toward[side].queue.length > 0) this.#world.after(delayMs, () => this.#pump(side));
    }
  }

  #other(side: Side): Side {
    return side === 0 ? 1 : 0;
  }

  #enqueue(toSide: Side, frame: unknown, delayMs: number): void {
    const direction = this.#toward[toSide];
    if (direction.ended || direction.finQueued) return;
    const at = Math.max(direction.lastAt, this.#world.now + delayMs);
    direction.lastAt = at;
    direction.queue.push({ at, frame });
    this.#world.at(at, () => this.#pump(toSide));
  }

  #fin(toSide: Side, delayMs: number): void {
    const direction = this.#toward[toSide];
    if (direction.ended || direction.finQueued) return;
    this.#enqueue(toSide, FIN, delayMs);
    direction.finQueued = true;
    // A silent network hides the end too, but no longer than a keepalive takes.
    this.#world.at(direction.lastAt + this.#network.options.keepaliveMs, () => this.#finish(toSide));
  }

  /** Keeps a random prefix of what is under way to this side. */
  #cut(toSide: Side): void {
    const direction = this.#toward[toSide];
    if (direction.finQueued) return;
    direction.queue.length = this.#network.survivors(direction.queue.length);
  }

  #pump(toSide: Side): void {
    const direction = this.#toward[toSide];
    if (direction.ended || this.#network.isBlocked(this.hosts[this.#other(toSide)], this.hosts[toSide])) return;
    const { queue } = direction;
    let taken = 0;
    while (taken < queue.length && !direction.ended) {
      const head = queue[taken];
      if (head === undefined || head.at > this.#world.now) break;
      taken += 1;
      if (head.frame === FIN) this.#finish(toSide);
      else this.#ends[toSide]?.onFrame(head.frame);
    }
    if (taken > 0) queue.splice(0, taken);
  }

  #finish(side: Side): void {
    if (this.isDown(side)) return;
    this.#end(side);
    this.#fin(this.#other(side), this.#network.delay());
    this.#ends[side]?.onDown();
  }

  #end(side: Side): void {
    const direction = this.#toward[side];
    direction.ended = true;
    direction.queue.length = 0;
    if (this.#toward[this.#other(side)].ended) this.#network.forget(this);
  }
}
