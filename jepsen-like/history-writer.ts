/**
 * Collects the history of a run, in order, and writes it as JSON Lines.
 *
 * Every event is recorded before a request is sent or after its answer arrived, by the one process that all clients of a run live in, so
 * its clock orders them.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { formatHistory, type HistoryEvent, type HistoryValue } from "../src/check/index.js";

const CHUNK = 5_000;

type Fields = Omit<HistoryEvent, "index" | "time">;

export class HistoryWriter {
  readonly #events: HistoryEvent[] = [];
  /** When the first event was written: time 0. */
  #beganNs: bigint | undefined;
  #nextProcess = 0;

  get events(): readonly HistoryEvent[] {
    return this.#events;
  }

  /** A process number never used before: each worker has one, and takes a new one after an operation whose outcome stayed unknown. */
  newProcess(): number {
    return this.#nextProcess++;
  }

  add(fields: Fields): void {
    const nowNs = process.hrtime.bigint();
    this.#beganNs ??= nowNs;
    this.#events.push({ index: this.#events.length, time: Number(nowNs - this.#beganNs), ...fields });
  }

  nemesis(value: HistoryValue): void {
    this.add({ process: -1, type: "info", f: "nemesis", key: "", value });
  }

  save(file: string): void {
    const fd = openSync(file, "w");
    try {
      // In pieces: a long run's history is larger than a string may be.
      for (let i = 0; i < this.#events.length; i += CHUNK) writeSync(fd, formatHistory(this.#events.slice(i, i + CHUNK)));
    } finally {
      closeSync(fd);
    }
  }
}
