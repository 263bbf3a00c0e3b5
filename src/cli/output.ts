/**
 * What a command prints: a table for people, or stable JSON for programs. Results go to stdout, everything else to stderr.
 */
import { isQuorateError, messageOf } from "../base/index.js";

export type OutputFormat = "table" | "json" | "ndjson";
export const OUTPUT_FORMATS: readonly OutputFormat[] = ["table", "json", "ndjson"];

export interface Result {
  /** The whole result: what `-o json` prints. */
  readonly json: unknown;
  /** One JSON value a line for `-o ndjson`; without it, `json` in one line. */
  readonly lines?: readonly unknown[];
  /** For people. */
  readonly table: () => string;
}

export function printResult(format: OutputFormat, result: Result): void {
  switch (format) {
    case "json":
      process.stdout.write(`${JSON.stringify(result.json, undefined, 2)}\n`);
      return;
    case "ndjson":
      for (const line of result.lines ?? [result.json]) process.stdout.write(`${JSON.stringify(line)}\n`);
      return;
    case "table":
      process.stdout.write(`${result.table()}\n`);
  }
}

/** A remark that is not part of the result. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printError(format: OutputFormat, error: unknown): void {
  process.stderr.write(`${format === "table" ? errorText(error) : JSON.stringify({ error: errorJson(error) })}\n`);
}

/** `quorate: message [CODE] (outcome unknown; retry: same-request-id; gid ...)`. */
export function errorText(error: unknown): string {
  if (!isQuorateError(error))
    return `quorate: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)} [QUORATE_INTERNAL]`;
  const facts = [
    ...(error.outcome === undefined ? [] : [`outcome ${error.outcome}`]),
    ...(error.gid === undefined ? [] : [`gid ${error.gid}`]),
    ...(error.retry === "never" ? [] : [`retry: ${error.retry}`]),
  ];
  return `quorate: ${error.message} [${error.code}]${facts.length === 0 ? "" : ` (${facts.join("; ")})`}`;
}

export function errorJson(error: unknown): Readonly<Record<string, string | null>> {
  if (!isQuorateError(error)) return { code: "QUORATE_INTERNAL", message: messageOf(error), outcome: null, retry: "never", gid: null };
  return { code: error.code, message: error.message, outcome: error.outcome ?? null, retry: error.retry, gid: error.gid ?? null };
}

/** `4s`, `2m11s`, `2h11m`, `3d4h`. */
export function formatDuration(ms: number): string {
  const s = Math.floor(ms / 1000);
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d${Math.floor((s % 86_400) / 3600)}h`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${Math.round(bytes / 1024)} KB`;
  if (bytes < 1024 ** 3) return `${Math.round(bytes / 1024 ** 2)} MB`;
  return `${(bytes / 1024 ** 3).toFixed(1)} GB`;
}
