/**
 * Gids by their own time, in buckets: what is the oldest one still recorded, without a walk.
 *
 * Decides only how times are kept in order. A bucket is as wide as the coordinator's questions are coarse: a second more or less of
 * remembered outcomes matters to nobody, and records of one second come and go in any order.
 */
import { must } from "../base/index.js";

/** Width of a bucket, ms: what is forgotten moves in whole buckets. */
export const BUCKET_MS = 1024;

/** The bucket that a time falls into. */
export function bucketOf(timeMs: number): number {
  return Math.floor(timeMs / BUCKET_MS);
}

/** The keys of the buckets in use, ascending. Adding the newest and removing the oldest, which is what happens, moves nothing. */
export class BucketOrder {
  /** Those before `#oldest` are gone. */
  #keys: number[] = [];
  #oldest = 0;

  get size(): number {
    return this.#keys.length - this.#oldest;
  }

  /** The first millisecond of the oldest bucket; Infinity when there is none. */
  get oldestMs(): number {
    return this.size === 0 ? Infinity : (this.#keys[this.#oldest] as number) * BUCKET_MS;
  }

  /** The key at this place, 0 for the oldest. The place exists. */
  at(place: number): number {
    return this.#keys[this.#oldest + place] as number;
  }

  /** The bucket is not in use yet. */
  add(bucket: number): void {
    const keys = this.#keys;
    if (this.size === 0 || (keys[keys.length - 1] as number) < bucket) keys.push(bucket);
    else keys.splice(this.#position(bucket), 0, bucket);
  }

  /** The bucket is in use. */
  remove(bucket: number): void {
    const at = this.#position(bucket);
    if (at !== this.#oldest) {
      this.#keys.splice(at, 1);
      return;
    }
    this.#oldest++;
    if (this.#oldest > 1024 && this.#oldest * 2 > this.#keys.length) {
      this.#keys = this.#keys.slice(this.#oldest);
      this.#oldest = 0;
    }
  }

  clear(): void {
    this.#keys = [];
    this.#oldest = 0;
  }

  /** Where a bucket is, or belongs, in the order. */
  #position(bucket: number): number {
    let low = this.#oldest;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as number) < bucket) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** How many things there are of each bucket. */
export class BucketCounts {
  readonly #counts = new Map<number, number>();
  readonly #order = new BucketOrder();

  /** The first millisecond of the oldest bucket that has any: no time in here is below it. Infinity when there are none. */
  get oldestMs(): number {
    return this.#order.oldestMs;
  }

  add(timeMs: number): void {
    const bucket = bucketOf(timeMs);
    const count = this.#counts.get(bucket);
    if (count === undefined) this.#order.add(bucket);
    this.#counts.set(bucket, (count ?? 0) + 1);
  }

  /** `timeMs` was added before. */
  remove(timeMs: number): void {
    const bucket = bucketOf(timeMs);
    const count = must(this.#counts.get(bucket), "a time that was added");
    if (count > 1) {
      this.#counts.set(bucket, count - 1);
      return;
    }
    this.#counts.delete(bucket);
    this.#order.remove(bucket);
  }

  clear(): void {
    this.#counts.clear();
    this.#order.clear();
  }
}
