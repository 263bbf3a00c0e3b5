/**
 * A key of the store with its bytes: encoded, and its checksum taken, once, however many records are made of it.
 *
 * The bytes lie in a slab with those of others: a buffer for each would cost more than the encoding.
 */
import { crc32c } from "../../base/index.js";

const SLAB_BYTES = 64 * 1024;
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let used = 0;

export class StoreKey {
  readonly text: string;
  /** The key is bytes[start, start + length), UTF-8. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly length: number;
  /** CRC-32C of those bytes. */
  readonly crc: number;

  constructor(text: string) {
    const most = text.length * 3;
    if (used + most > slab.length) {
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, most));
      used = 0;
    }
    this.text = text;
    this.bytes = slab;
    this.start = used;
    this.length = write(text);
    used += this.length;
    this.crc = crc32c(slab, this.start, used);
  }
}

/** Writes the text at the slab's end. Returns its bytes. */
function write(text: string): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) return slab.write(text, used, "utf8");
    slab[used + i] = unit;
  }
  return text.length;
}
