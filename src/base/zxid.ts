/**
 * Transaction ids of the replicated log.
 *
 * A zxid names one log entry: the epoch of the leader that proposed it, and a counter that starts at 1 in each epoch and grows
 * by exactly 1. Fields are compared one by one and never packed into one number, so a counter cannot run into the epoch
 * (ZOOKEEPER-1277). `counter` is an integer below 2^53.
 */
export interface Zxid {
  readonly epoch: number;
  readonly counter: number;
}

/** Before the first entry of any log. */
export const ZXID_ZERO: Zxid = Object.freeze({ epoch: 0, counter: 0 });

export function zxid(epoch: number, counter: number): Zxid {
  return { epoch, counter };
}

/** Negative when a is older than b, 0 when equal, positive when newer. */
export function compareZxid(a: Zxid, b: Zxid): number {
  return a.epoch !== b.epoch ? a.epoch - b.epoch : a.counter - b.counter;
}

export function equalZxid(a: Zxid, b: Zxid): boolean {
  return a.epoch === b.epoch && a.counter === b.counter;
}

export function maxZxid(a: Zxid, b: Zxid): Zxid {
  return compareZxid(a, b) >= 0 ? a : b;
}

export function minZxid(a: Zxid, b: Zxid): Zxid {
  return compareZxid(a, b) <= 0 ? a : b;
}

/** `epoch:counter`, the form in every log line, document and JSON shape. */
export function formatZxid(z: Zxid): string {
  return `${z.epoch}:${z.counter}`;
}

/** Reads `epoch:counter`; undefined when the text has another form. */
export function parseZxid(text: string): Zxid | undefined {
  const match = /^(\d{1,10}):(\d{1,16})$/.exec(text);
  if (match === null) return undefined;
  const epoch = Number(match[1]);
  const counter = Number(match[2]);
  if (epoch > 0xffffffff || !Number.isSafeInteger(counter)) return undefined;
  return { epoch, counter };
}
