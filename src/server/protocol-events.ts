/**
 * What the replica observes, as log lines and counters.
 */
import type { Logger } from "../base/index.js";

type Fields = Readonly<Record<string, string | number | boolean>>;

export class ProtocolEvents {
  readonly counts = new Map<string, number>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  readonly record = (name: string, fields: Fields): void => {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    if (name.startsWith("alarm-")) this.#logger.warn(fields, name);
    else this.#logger.info(fields, name);
  };
}
