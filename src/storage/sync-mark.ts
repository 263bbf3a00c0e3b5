/**
 * The log's "synced up to" mark: a true statement about the past that makes the log's end decidable.
 *
 * Each record says how far the log was durable when it was written, so only the very last batch can be in doubt. The mark covers
 * that one: written, in its own file, when a segment begins, when the log has been idle for a moment, and at the end of the
 * process; never on the path of a commit. A mark that is old or lost is only a weaker statement.
 */
import { settled } from "./disk.js";
import type { Disk } from "./disk.js";
import { laterPosition, LOG_POSITION_ZERO } from "./identity.js";
import type { LogPosition } from "./identity.js";
import { SlotFile } from "./slot-file.js";
import type { SlotShape } from "./slot-file.js";

const SHAPE: SlotShape = { copies: 1, copyBytes: 512 };
export const SYNC_MARK_NAME = "synced";
/** Long enough not to add a write to every commit of a lone client, short beside the time it takes a machine to come back. */
const IDLE_MS = 50;

export class SyncMark {
  readonly #slots: SlotFile;
  readonly #onError: (error: Error) => void;
  #wanted: LogPosition;
  #written: LogPosition;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(slots: SlotFile, written: LogPosition, onError: (error: Error) => void) {
    this.#slots = slots;
    this.#onError = onError;
    this.#wanted = written;
    this.#written = written;
  }

  static async create(path: string, disk: Disk): Promise<void> {
    const slots = await SlotFile.create(path, disk, SHAPE, JSON.stringify(LOG_POSITION_ZERO));
    await slots.close();
  }

  /** A missing or unreadable mark is made anew, starting from `atLeast`. */
  static async open(
    path: string,
    disk: Disk,
    onError: (error: Error) => void,
  ): Promise<{ mark: SyncMark; position: LogPosition; findings: readonly string[] }> {
    const opened = await SlotFile.open(path, disk, SHAPE).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      const file = await SlotFile.create(path, disk, SHAPE, JSON.stringify(LOG_POSITION_ZERO));
      return { file, content: { text: undefined, generation: 2, newerMayBeLost: true, findings: [`${path}: the mark is missing`] } };
    });
    const position = opened.content.text === undefined ? LOG_POSITION_ZERO : (JSON.parse(opened.content.text) as LogPosition);
    return { mark: new SyncMark(opened.file, position, onError), position, findings: opened.content.findings };
  }

  /** Writes the mark in the background. `position` must be durable already. */
  note(position: LogPosition): void {
    this.#wanted = laterPosition(position, this.#wanted);
    this.#start();
  }

  /** Writes the mark when nothing newer has been noted for a moment. */
  noteSoon(position: LogPosition): void {
    this.#wanted = laterPosition(position, this.#wanted);
    if (this.#timer !== undefined || samePosition(this.#wanted, this.#written)) return;
    const seen = this.#wanted;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (samePosition(this.#wanted, seen)) this.#start();
      else this.noteSoon(this.#wanted);
    }, IDLE_MS);
    this.#timer.unref();
  }

  /** Writes a last mark, if given, and closes the file. */
  async close(position: LogPosition | undefined): Promise<void> {
    clearTimeout(this.#timer);
    if (position !== undefined) this.note(position);
    while (this.#writing !== undefined) await this.#writing;
    await this.#slots.close();
  }

  #start(): void {
    if (this.#writing !== undefined || samePosition(this.#wanted, this.#written)) return;
    const position = this.#wanted;
    this.#writing = settled((done) => this.#slots.write(JSON.stringify(position), done)).then(
      () => {
        this.#writing = undefined;
        this.#written = position;
        this.#start();
      },
      (error: unknown) => {
        this.#writing = undefined;
        this.#onError(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }
}

function samePosition(a: LogPosition, b: LogPosition): boolean {
  return a.segment === b.segment && a.offset === b.offset;
}
