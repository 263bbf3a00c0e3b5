/**
 * Logs: pino, one JSON object a line on stdout; or short lines for a person at a terminal.
 *
 * Writes are synchronous: a node logs little, and the last line before a crash is the one that matters.
 */
import { Writable } from "node:stream";
import { pino, type Logger as PinoLogger } from "pino";

export interface LoggingOptions {
  readonly level: string;
  readonly format: "json" | "pretty";
  /** On every line. */
  readonly base: Readonly<Record<string, unknown>>;
}

export function createLogger(options: LoggingOptions): PinoLogger {
  const settings = { level: options.level, base: options.base, timestamp: pino.stdTimeFunctions.isoTime };
  if (options.format === "json") return pino(settings, pino.destination({ fd: 1, sync: true }));
  return pino(settings, new Writable({ decodeStrings: false, write: writePretty }));
}

function writePretty(chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
  process.stdout.write(`${prettyLine(String(chunk))}\n`);
  done();
}

const LEVELS: Readonly<Record<number, string>> = { 20: "debug", 30: "info ", 40: "WARN ", 50: "ERROR", 60: "FATAL" };

/** `07:15:02.113 info  n1 role role=leading epoch=4`. A line that is not JSON passes unchanged. */
export function prettyLine(line: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line.trimEnd();
  }
  const { time, level, node, msg, ...rest } = fields;
  const extra = Object.entries(rest)
    .filter(([key]) => key !== "cluster")
    .map(([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${String(time).slice(11, 23)} ${LEVELS[Number(level)] ?? String(level)} ${String(node)} ${String(msg)}${extra.join("")}`;
}
