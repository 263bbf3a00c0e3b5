/**
 * One raw value, from a flag, a variable or YAML, checked against its row.
 */
import { rowOf, type SettingKey } from "./table.js";

export type Parsed = { readonly ok: true; readonly value: string | number | boolean } | { readonly ok: false; readonly problem: string };

const SUFFIXES: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  b: 1,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};
const TIME_SUFFIX = /^(ms|s|m|h|d)$/;

/** Integers may carry a unit: `1500`, `1500ms`, `1.5s`, `32MiB`. The problem starts with "is", to follow the setting's name. */
export function parseValue(key: SettingKey, raw: unknown): Parsed {
  const row = rowOf(key);
  switch (row.type) {
    case "integer": {
      const value = typeof raw === "number" ? raw : parseAmount(String(raw), row.unit === "ms");
      if (value === undefined || !Number.isSafeInteger(value))
        return {
          ok: false,
          problem: `is ${quote(raw)}, but must be an integer${row.unit === "count" ? "" : ` (${row.unit})`} from ${row.min} to ${row.max}`,
        };
      if (value < row.min || value > row.max)
        return {
          ok: false,
          problem: `is ${value}, outside its bounds ${row.min} to ${row.max}${row.unit === "count" ? "" : ` ${row.unit}`}`,
        };
      return { ok: true, value };
    }
    case "boolean": {
      if (raw === true || raw === "true" || raw === "1") return { ok: true, value: true };
      if (raw === false || raw === "false" || raw === "0") return { ok: true, value: false };
      return { ok: false, problem: `is ${quote(raw)}, but must be true or false` };
    }
    case "choice": {
      const value = String(raw);
      if (row.choices.includes(value)) return { ok: true, value };
      return { ok: false, problem: `is ${quote(raw)}, but must be one of ${row.choices.join(", ")}` };
    }
    case "text": {
      const value = String(raw);
      if (row.pattern.test(value)) return { ok: true, value };
      return { ok: false, problem: `is ${quote(raw)}, but must have the form ${row.form}` };
    }
  }
}

function parseAmount(text: string, time: boolean): number | undefined {
  const match = /^\s*(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text);
  if (match === null) return undefined;
  const suffix = (match[2] ?? "").toLowerCase();
  if (suffix === "") return Number(match[1]);
  const factor = SUFFIXES[suffix];
  if (factor === undefined || TIME_SUFFIX.test(suffix) !== time) return undefined;
  return Math.round(Number(match[1]) * factor);
}

function quote(raw: unknown): string {
  return typeof raw === "string" ? JSON.stringify(raw.length > 80 ? `${raw.slice(0, 77)}...` : raw) : String(raw);
}
