/**
 * The leader's own proposals in log order, so that apply need not decode what this process encoded.
 *
 * Decoding costs about as much as apply itself; a leader would pay it for every record it has just encoded.
 */
import type { Zxid } from "../base/index.js";
import type { StampedCommand } from "../txn/index.js";

export class ProposalQueue {
  #epoch = 0;
  /** Counter of `#commands[#head]`. */
  #first = 1;
  #head = 0;
  #commands: StampedCommand[] = [];

  /** `first` is the zxid of the first command; the rest follow one by one. */
  push(first: Zxid, commands: readonly StampedCommand[]): void {
    const next = this.#first + (this.#commands.length - this.#head);
    if (first.epoch !== this.#epoch || first.counter !== next) {
      this.#commands = [];
      this.#head = 0;
      this.#epoch = first.epoch;
      this.#first = first.counter;
    }
    for (const command of commands) this.#commands.push(command);
  }

  /** The command proposed as `zxid`, if it was proposed here; everything before it is dropped. */
  take(zxid: Zxid): StampedCommand | undefined {
    if (zxid.epoch !== this.#epoch || zxid.counter < this.#first) return undefined;
    const index = this.#head + (zxid.counter - this.#first);
    const command = this.#commands[index];
    if (command === undefined) return undefined;
    this.#head = index + 1;
    this.#first = zxid.counter + 1;
    if (this.#head >= 4096 && this.#head * 2 >= this.#commands.length) {
      this.#commands = this.#commands.slice(this.#head);
      this.#head = 0;
    }
    return command;
  }

  clear(): void {
    this.#commands = [];
    this.#head = 0;
    this.#epoch = 0;
    this.#first = 1;
  }
}
