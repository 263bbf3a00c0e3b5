/**
 * Protobuf decoding from bytes that may be anything.
 *
 * Strict where the format leaves room: integers above 2^53 - 1, texts that are not UTF-8, groups and truncations are WireErrors, and
 * nothing else is ever thrown. Unknown fields are skipped. A repeated occurrence of a field that is not repeated replaces the earlier one.
 *
 * Lifetime: {@link ProtoReader.view} shares the input's memory and keeps all of it alive; {@link ProtoReader.copy} does not.
 */
import { WireError } from "./wire-error.js";

const TWO_28 = 0x1000_0000;
const SAFE_HIGH = 0x200_0000; // 2^53 / 2^28
const TENTH_SCALE = 0x8_0000_0000; // of a varint's tenth byte, counted from bit 28
const COPY_SLAB_BYTES = 16 * 1024;
const EMPTY = new Uint8Array(0);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const doubleBytes = new Uint8Array(8);
const doubleView = new DataView(doubleBytes.buffer);

/** Copies are carved from small slabs: cheaper than an allocation each, and one value that lives on keeps at most one slab. */
let copySlab = new Uint8Array(COPY_SLAB_BYTES);
let copyAt = 0;

/**
 * Names of participants, branches and kinds come again and again: a short ASCII text that was seen before is the same string, which
 * takes a quarter of the time of a new one and, kept in a million transactions, no memory. Direct-mapped, so its size is its bound.
 */
const SHORT_TEXT = 16;
const seenTexts: (string | undefined)[] = new Array<string | undefined>(1024).fill(undefined);

export class ProtoReader {
  readonly #bytes: Uint8Array;
  readonly #buffer: Buffer;
  #at = 0;
  /** End of the message being read. */
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  /** The next tag (field number << 3 | wire type), or 0 at the end of the message. */
  tag(): number {
    if (this.#at >= this.#end) return 0;
    const first = this.#bytes[this.#at] as number;
    if (first < 0x80 && first > 7) {
      this.#at++;
      return first;
    }
    const tag = this.uint32();
    if (tag >>> 3 === 0) throw new WireError(`field number 0 at byte ${this.#at}`);
    return tag;
  }

  /** Enters a nested message; returns what {@link leave} takes. */
  enter(): number {
    const outer = this.#end;
    const length = this.#length(); // moves #at
    this.#end = this.#at + length;
    return outer;
  }

  leave(outer: number): void {
    this.#at = this.#end;
    this.#end = outer;
  }

  /** An integer from 0 to 2^53 - 1. */
  uint(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (at >= this.#end) throw this.#truncated();
      const byte = bytes[at++] as number;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#at = at;
        return low;
      }
    }
    let high = 0;
    for (let scale = 1; scale <= TENTH_SCALE; scale *= 128) {
      if (at >= this.#end) throw this.#truncated();
      const byte = bytes[at++] as number;
      high += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (high >= SAFE_HIGH) throw new WireError(`integer above 2^53 - 1 at byte ${this.#at}`);
        this.#at = at;
        return high * TWO_28 + low;
      }
    }
    throw new WireError(`varint longer than 10 bytes at byte ${this.#at}`);
  }

  /** An integer from 0 to 2^32 - 1. */
  uint32(): number {
    const value = this.uint();
    if (value > 0xffff_ffff) throw new WireError(`integer above 2^32 - 1 at byte ${this.#at}`);
    return value;
  }

  bool(): boolean {
    return this.uint() !== 0;
  }

  double(): number {
    const at = this.#take(8);
    for (let i = 0; i < 8; i++) doubleBytes[i] = this.#bytes[at + i] as number;
    return doubleView.getFloat64(0, true);
  }

  /** Bytes that share the input's memory. For values that do not outlive the handling of their frame, or only together. */
  view(): Uint8Array {
    const length = this.#length();
    if (length === 0) return EMPTY;
    const at = this.#take(length);
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
  }

  /** Bytes of their own. For values that are kept: one kept view would keep its whole frame, 256 KiB. */
  copy(): Uint8Array {
    const length = this.#length();
    if (length === 0) return EMPTY;
    const at = this.#take(length);
    const source = new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
    if (length > COPY_SLAB_BYTES / 4) return new Uint8Array(source);
    if (copyAt + length > COPY_SLAB_BYTES) {
      copySlab = new Uint8Array(COPY_SLAB_BYTES);
      copyAt = 0;
    }
    copySlab.set(source, copyAt);
    const out = new Uint8Array(copySlab.buffer, copyAt, length);
    copyAt += length;
    return out;
  }

  text(): string {
    const length = this.#length();
    if (length === 0) return "";
    const at = this.#take(length);
    if (length <= SHORT_TEXT) return this.#shortText(at, length);
    return this.#longText(at, length);
  }

  #shortText(at: number, length: number): string {
    const bytes = this.#bytes;
    let hash = length;
    for (let i = at; i < at + length; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0;
    const slot = (hash ^ (hash >>> 10)) & 1023;
    const seen = seenTexts[slot];
    if (seen !== undefined && seen.length === length) {
      let i = 0;
      while (i < length && seen.charCodeAt(i) === bytes[at + i]) i++;
      // Only ASCII texts are kept, so equal units are equal bytes.
      if (i === length) return seen;
    }
    const text = this.#longText(at, length);
    let units = 0;
    for (let i = at; i < at + length; i++) units |= bytes[i] as number;
    if (units < 0x80) seenTexts[slot] = text;
    return text;
  }

  #longText(at: number, length: number): string {
    const text = this.#buffer.toString("utf8", at, at + length);
    // The runtime replaces what is not UTF-8 by U+FFFD; a text that really holds one is told apart by the strict decoder.
    return text.includes("\ufffd") ? this.#strictText(at, length) : text;
  }

  /** Skips the field of an unknown tag. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#skipVarint();
        return;
      case 1:
        this.#take(8);
        return;
      case 2:
        this.#take(this.#length()); // in this order: the length moves first
        return;
      case 5:
        this.#take(4);
        return;
      default:
        // Groups (3 and 4) are not part of proto3 and would need recursion without a bound; 6 and 7 do not exist.
        throw new WireError(`wire type ${tag & 7} of field ${tag >>> 3} at byte ${this.#at}`);
    }
  }

  #skipVarint(): void {
    for (let i = 0; i < 10; i++) {
      const at = this.#take(1);
      if ((this.#bytes[at] as number) < 0x80) return;
    }
    throw new WireError(`varint longer than 10 bytes at byte ${this.#at}`);
  }

  #strictText(at: number, length: number): string {
    try {
      return utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw new WireError(`text is not UTF-8 at byte ${at}`);
    }
  }

  /** A length prefix that fits what is left of the current message. */
  #length(): number {
    const length = this.uint();
    if (length > this.#end - this.#at) throw this.#truncated();
    return length;
  }

  /** Moves past `length` bytes and returns where they start. */
  #take(length: number): number {
    const at = this.#at;
    if (length > this.#end - at) throw this.#truncated();
    this.#at = at + length;
    return at;
  }

  #truncated(): WireError {
    return new WireError(`truncated at byte ${this.#at}`);
  }
}

/** Reads the fields of one message until its end. */
export type Read<T> = (reader: ProtoReader) => T;

/** Reads a nested message. */
export function nested<T>(reader: ProtoReader, read: Read<T>): T {
  const outer = reader.enter();
  const value = read(reader);
  reader.leave(outer);
  return value;
}

/** Reads a whole message; a WireError names it. */
export function decodeMessage<T>(name: string, bytes: Uint8Array, read: Read<T>): T {
  try {
    return read(new ProtoReader(bytes));
  } catch (error) {
    if (error instanceof WireError) throw new WireError(`${name}: ${error.message}`);
    throw error;
  }
}
