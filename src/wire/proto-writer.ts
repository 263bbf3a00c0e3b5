/**
 * Protobuf encoding, back to front.
 *
 * A message is written from its last byte to its first (upb's technique): when the length prefix of a nested message is due, the
 * message behind it is finished and its length is known. Nothing is sized twice, nothing is moved, and a payload is copied exactly
 * once, into the bytes that are handed out. Callers therefore write fields, and list items, in descending order.
 *
 * Why not protobufjs's Writer: it builds a linked list of closures, one object per field; a 256-byte record costs 565 ns there and
 * about 150 ns here. test/wire checks every message against protobufjs's reading of proto/quorate/v1.
 *
 * Finished messages are carved from a shared slab, so one allocation serves many. A message kept for long keeps its slab: writers of
 * long-lived bytes (log records) and of short-lived ones (frames) are therefore different instances.
 */
import { assert, InvariantViolation } from "../base/index.js";

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
/** Texts up to this length, gids among them, are written by a loop: it takes half the time of the calls into the runtime. */
const SHORT_TEXT = 64;
const TWO_28 = 0x1000_0000;

const doubleBytes = new Uint8Array(8);
const doubleView = new DataView(doubleBytes.buffer);

export class ProtoWriter {
  readonly #slabBytes: number;
  #slab: Buffer;
  /** First written byte; everything below is free. */
  #at: number;
  /** One past the last byte of the message being written. */
  #end: number;

  constructor(slabBytes: number) {
    this.#slabBytes = slabBytes;
    this.#slab = Buffer.allocUnsafeSlow(slabBytes);
    this.#at = slabBytes;
    this.#end = slabBytes;
  }

  /** Starts a message of about `hintBytes`, and drops an unfinished one. A message that fits the hint is never moved. */
  begin(hintBytes = 0): void {
    this.#end = this.#at;
    if (this.#at < hintBytes) this.#grow(hintBytes);
  }

  /** The finished message. The bytes are the caller's: nothing is ever written to them again. */
  finish(): Uint8Array {
    const out = new Uint8Array(this.#slab.buffer, this.#slab.byteOffset + this.#at, this.#end - this.#at);
    this.#end = this.#at;
    return out;
  }

  /** Bytes written so far: taken before the fields of a nested message, given back to {@link message} after them. */
  mark(): number {
    return this.#end - this.#at;
  }

  /** Closes the nested message whose fields were written since `mark`. */
  message(field: number, mark: number): void {
    this.#varint(this.#end - this.#at - mark);
    this.#tag(field, LENGTH);
  }

  /** An integer from 0 to 2^53 - 1; nothing when it is 0. */
  uint(field: number, value: number): void {
    if (value !== 0) this.uintPresent(field, value);
  }

  /** An integer with presence (optional, or member of a oneof): written even when it is 0. */
  uintPresent(field: number, value: number): void {
    this.#varint(value);
    this.#tag(field, VARINT);
  }

  bool(field: number, value: boolean): void {
    if (value) this.uintPresent(field, 1);
  }

  double(field: number, value: number): void {
    if (value === 0) return;
    this.#reserve(8);
    doubleView.setFloat64(0, value, true);
    this.#at -= 8;
    this.#slab.set(doubleBytes, this.#at);
    this.#tag(field, FIXED64);
  }

  /** Nothing when it is empty. */
  bytes(field: number, value: Uint8Array): void {
    if (value.length !== 0) this.bytesPresent(field, value);
  }

  bytesPresent(field: number, value: Uint8Array): void {
    const length = value.length;
    this.#reserve(length);
    this.#at -= length;
    this.#slab.set(value, this.#at);
    this.#varint(length);
    this.#tag(field, LENGTH);
  }

  /** UTF-8; nothing when it is empty. */
  text(field: number, value: string): void {
    if (value.length !== 0) this.textPresent(field, value);
  }

  textPresent(field: number, value: string): void {
    const length = value.length <= SHORT_TEXT && this.#ascii(value) ? value.length : this.#utf8(value);
    this.#varint(length);
    this.#tag(field, LENGTH);
  }

  /** Items of a repeated text field: empty ones are kept. */
  texts(field: number, values: readonly string[]): void {
    for (let i = values.length - 1; i >= 0; i--) this.textPresent(field, values[i] as string);
  }

  #ascii(value: string): boolean {
    const length = value.length;
    this.#reserve(length);
    let at = this.#at;
    for (let i = length - 1; i >= 0; i--) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return false;
      this.#slab[--at] = unit;
    }
    this.#at = at;
    return true;
  }

  #utf8(value: string): number {
    const length = Buffer.byteLength(value, "utf8");
    this.#reserve(length);
    this.#at -= length;
    this.#slab.write(value, this.#at, length, "utf8");
    return length;
  }

  #tag(field: number, type: number): void {
    const tag = (field << 3) | type;
    if (tag < 0x80 && this.#at > 0) this.#slab[--this.#at] = tag;
    else this.#varint(tag);
  }

  /** Least significant group first; above 28 bits in two halves, because JavaScript shifts 32-bit integers only. */
  #varint(value: number): void {
    this.#reserve(10);
    const slab = this.#slab;
    if (value < 0x80 && value >= 0 && Number.isInteger(value)) {
      slab[--this.#at] = value;
      return;
    }
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new InvariantViolation(`wire integers lie between 0 and 2^53 - 1, got ${value}`);
    }
    let low = value < TWO_28 ? value : value % TWO_28;
    let high = value < TWO_28 ? 0 : (value - low) / TWO_28;
    let at = this.#at - varintBytes(value, high);
    this.#at = at;
    if (high > 0) {
      for (let i = 0; i < 4; i++, low >>>= 7) slab[at++] = (low & 0x7f) | 0x80;
      for (; high > 0x7f; high >>>= 7) slab[at++] = (high & 0x7f) | 0x80;
      slab[at] = high;
    } else {
      for (; low > 0x7f; low >>>= 7) slab[at++] = (low & 0x7f) | 0x80;
      slab[at] = low;
    }
  }

  #reserve(bytes: number): void {
    if (this.#at < bytes) this.#grow(bytes);
  }

  /** A new slab with room for `bytes` more in front of what is written of the current message. */
  #grow(bytes: number): void {
    const written = this.#end - this.#at;
    const needed = written + bytes;
    // Doubling past the slab's size keeps the moving of one long message linear.
    const size = needed <= this.#slabBytes / 2 ? this.#slabBytes : Math.max(this.#slabBytes, needed * 2);
    const slab = Buffer.allocUnsafeSlow(size);
    slab.set(this.#slab.subarray(this.#at, this.#end), size - written);
    this.#slab = slab;
    this.#end = size;
    this.#at = size - written;
    assert(this.#at >= bytes, "a grown slab has the room it was grown for");
  }
}

function varintBytes(value: number, high: number): number {
  if (high === 0) return value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4;
  return high < 0x80 ? 5 : high < 0x4000 ? 6 : high < 0x20_0000 ? 7 : 8;
}
