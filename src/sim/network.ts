/**
 * The simulated network: hosts, directed blocks between them, datagrams that may be lost, repeated and reordered, and streams that
 * are first-in-first-out until they break.
 *
 * A blocked direction holds a stream's frames back, as TCP does; the stream breaks when a keepalive notices, or at once when the
 * partition answers with resets. What a broken stream still delivers is a prefix of what was sent.
 */
import type { Prng } from "../base/index.js";
import { Stream, type StreamEnd } from "./stream.js";
import type { World } from "./world.js";

export type Host = number;

export interface NetworkOptions {
  readonly delayMsMin: number;
  readonly delayMsMean: number;
  readonly loss: number;
  readonly duplicate: number;
  /** Chance that a datagram takes several times the usual delay, so that later ones overtake it. */
  readonly reorder: number;
  /** How long a silent partition or a silent death goes unnoticed by a stream. */
  readonly keepaliveMs: number;
  /** Chance that a partition answers with resets instead of silence. */
  readonly resetChance: number;
  /** Chance that a crashed host sends nothing, as after a power cut, instead of closing its connections. */
  readonly silentCrashChance: number;
}

const HOSTS_MAX = 64;
/** A datagram that is to be overtaken takes up to this many usual delays. */
const REORDER_DELAYS_MAX = 8;

export class Network {
  readonly #world: World;
  readonly #prng: Prng;
  readonly #streams = new Set<Stream>();
  readonly #blocked = new Uint8Array(HOSTS_MAX * HOSTS_MAX);
  readonly #up: boolean[] = [];
  #options: NetworkOptions;
  /** Called after any change of who reaches whom. */
  onChange: () => void = () => undefined;

  constructor(world: World, options: NetworkOptions) {
    this.#world = world;
    this.#prng = world.fork("network");
    this.#options = options;
  }

  get options(): NetworkOptions {
    return this.#options;
  }

  setOptions(options: NetworkOptions): void {
    this.#options = options;
  }

  /** A new host, down until `start`. */
  addHost(): Host {
    if (this.#up.length >= HOSTS_MAX) throw new RangeError(`at most ${HOSTS_MAX} hosts`);
    return this.#up.push(false) - 1;
  }

  isUp(host: Host): boolean {
    return this.#up[host] === true;
  }

  start(host: Host): void {
    this.#up[host] = true;
    this.onChange();
  }

  /** The host's process is gone: its connections end, after what they still carry. */
  stop(host: Host): void {
    this.#up[host] = false;
    const silent = this.#prng.chance(this.#options.silentCrashChance);
    for (const stream of [...this.#streams]) if (stream.touches(host)) stream.hostDied(host, silent);
    this.onChange();
  }

  isBlocked(from: Host, to: Host): boolean {
    return this.#blocked[from * HOSTS_MAX + to] === 1;
  }

  /** Both directions open and both hosts up. */
  reaches(a: Host, b: Host): boolean {
    return this.isUp(a) && this.isUp(b) && !this.isBlocked(a, b) && !this.isBlocked(b, a);
  }

  /** Replaces the whole map of blocked directions. */
  setBlocked(pairs: readonly (readonly [Host, Host])[]): void {
    this.#blocked.fill(0);
    for (const [from, to] of pairs) this.#blocked[from * HOSTS_MAX + to] = 1;
    for (const stream of [...this.#streams]) {
      const [a, b] = stream.hosts;
      if (!this.isBlocked(a, b) && !this.isBlocked(b, a)) {
        stream.unblocked(this.#prng.exponential(this.#options.delayMsMean * 4));
        continue;
      }
      if (this.#prng.chance(this.#options.resetChance)) stream.breakOff(this.delay(), this.delay());
      else this.#noticeLater(stream);
    }
    this.onChange();
  }

  /** One way's delay, ms. */
  delay(): number {
    return this.#options.delayMsMin + this.#prng.exponential(this.#options.delayMsMean);
  }

  /** Best effort: `deliver` runs zero, one or two times. */
  datagram(from: Host, to: Host, deliver: () => void): void {
    const { loss, duplicate, reorder } = this.#options;
    if (this.isBlocked(from, to) || this.#prng.chance(loss)) return;
    const copies = this.#prng.chance(duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const factor = this.#prng.chance(reorder) ? 1 + this.#prng.float() * REORDER_DELAYS_MAX : 1;
      this.#world.after(this.delay() * factor, () => {
        if (this.isUp(to) && !this.isBlocked(from, to)) deliver();
      });
    }
  }

  /**
   * Opens a stream. `accept` runs at the other host and returns its end, or undefined to refuse; `opened` then gets the stream, or
   * undefined after the time a refusal or a silent network takes.
   */
  connect(
    from: Host,
    to: Host,
    near: StreamEnd,
    accept: (stream: Stream) => StreamEnd | undefined,
    opened: (stream: Stream | undefined) => void,
  ): void {
    this.#world.after(this.delay(), () => {
      if (this.isBlocked(from, to) || this.isBlocked(to, from)) {
        this.#world.after(this.#prng.chance(this.#options.resetChance) ? this.delay() : this.#options.keepaliveMs, () => opened(undefined));
        return;
      }
      if (!this.isUp(to) || !this.isUp(from)) {
        this.#world.after(this.delay(), () => opened(undefined));
        return;
      }
      const stream: Stream = new Stream(this.#world, this, from, to, near);
      const openAt = this.#world.now + this.delay();
      let refused = false;
      // Scheduled before `accept`, so that nothing the other side sends overtakes the news that the stream is open.
      this.#world.at(openAt, () => opened(refused ? undefined : stream));
      this.#streams.add(stream);
      const far = accept(stream);
      if (far === undefined) {
        refused = true;
        this.#streams.delete(stream);
      } else stream.accepted(far, openAt);
    });
  }

  forget(stream: Stream): void {
    this.#streams.delete(stream);
  }

  /** Breaks one random open stream, as a NAT or an operator would. Returns false when there is none. */
  breakRandom(accept: (stream: Stream) => boolean): boolean {
    const open = [...this.#streams].filter(accept);
    if (open.length === 0) return false;
    const stream = this.#prng.pick(open);
    stream.breakOff(this.delay(), this.#prng.chance(0.5) ? this.delay() : this.#options.keepaliveMs);
    return true;
  }

  /** How many frames of `length` get through when a stream ends abruptly. */
  survivors(length: number): number {
    return this.#prng.int(0, length);
  }

  #noticeLater(stream: Stream): void {
    this.#world.after(this.#options.keepaliveMs * (0.5 + this.#prng.float()), () => {
      const [a, b] = stream.hosts;
      if (this.isBlocked(a, b) || this.isBlocked(b, a)) stream.breakOff(0, this.#prng.float() * this.#options.keepaliveMs);
    });
  }
}
