/**
 * What the streams of one server or network have carried.
 */
import type { StreamStats } from "./api.js";

export class Counters {
  framesSent = 0;
  framesReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  itemsSent = 0;
  itemsReceived = 0;
  dropped = 0;
  refused = 0;

  sent(bytes: number, items: number): void {
    this.framesSent++;
    this.bytesSent += bytes;
    this.itemsSent += items;
  }

  received(bytes: number, items: number): void {
    this.framesReceived++;
    this.bytesReceived += bytes;
    this.itemsReceived += items;
  }

  snapshot(): StreamStats {
    return { ...this };
  }
}
