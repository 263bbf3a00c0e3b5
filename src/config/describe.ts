/**
 * The settings as a document: docs/config.md is exactly this text.
 */
import { unreachable } from "../base/index.js";
import { environmentName, flagName } from "./names.js";
import type { Room, Row } from "./row.js";
import { rowOf, SETTING_KEYS, SETTINGS, type Settings, type SettingKey, type TunableKey, type Tunables } from "./table.js";

const HEADINGS: Readonly<Record<Room, string>> = {
  node: "The node",
  consensus: "Consensus",
  transactions: "Transactions",
  replica: "Replicated state",
  storage: "Storage",
  transport: "Transport",
  server: "Process",
};

export function defaultSettings(): Settings {
  return Object.fromEntries(SETTING_KEYS.map((key) => [key, rowOf(key).default])) as Settings;
}

export function isTunable(key: SettingKey): key is TunableKey {
  return SETTINGS[key].type === "integer";
}

/** Settings for one simulated run: each tunable with a simulation range drawn from it by its name, the others at their default. */
export function drawTunables(int: (min: number, max: number, key: TunableKey) => number): Tunables {
  const out: Partial<Record<TunableKey, number>> = {};
  for (const key of SETTING_KEYS) {
    if (!isTunable(key)) continue;
    const { simulation, default: usual } = SETTINGS[key];
    out[key] = simulation === undefined ? usual : int(simulation[0], simulation[1], key);
  }
  return out as Tunables;
}

export function configDocument(): string {
  const out = [
    "# Settings",
    "",
    "Generated from `src/config/table.ts` by `npm run docs`; a test fails when it is not current.",
    "",
    "A setting is taken from its flag, else its environment variable, else the YAML file named by `--config` (or `QUORATE_CONFIG`), else its",
    "default. `quorate config print --origin` shows where each value of a node comes from. An unknown key is an error. Integers may carry a unit:",
    "`1500`, `1500ms`, `1.5s`, `32MiB`. Names: `pingIntervalMs` in the file is `--ping-interval-ms` and `QUORATE_PING_INTERVAL_MS`.",
    "",
    "What every node must agree on (limits of payloads, the commit window, ...) is not a setting but part of the replicated state machine.",
  ];
  for (const [room, heading] of Object.entries(HEADINGS)) {
    const keys = SETTING_KEYS.filter((key) => rowOf(key).room === room);
    if (keys.length === 0) continue;
    out.push("", `## ${heading}`, "", "| setting | default | bounds | simulation | why |", "|---|---|---|---|---|");
    for (const key of keys) out.push(`| ${nameCell(key)} | ${cells(rowOf(key)).join(" | ")} |`);
  }
  return `${out.join("\n")}\n`;
}

function nameCell(key: SettingKey): string {
  return `\`${key}\`<br>\`--${flagName(key)}\`<br>\`${environmentName(key)}\``;
}

function cells(row: Row): readonly string[] {
  switch (row.type) {
    case "integer": {
      const amount = (value: number): string => formatAmount(value, row.unit);
      const simulation = row.simulation === undefined ? "-" : `${amount(row.simulation[0])} to ${amount(row.simulation[1])}`;
      return [amount(row.default), `${amount(row.min)} to ${amount(row.max)}`, simulation, row.reason];
    }
    case "boolean":
      return [String(row.default), "true, false", "-", row.reason];
    case "choice":
      return [row.default, row.choices.join(", "), "-", row.reason];
    case "text":
      return [row.default ?? "-", row.form, "-", row.reason];
    default:
      return unreachable(row);
  }
}

/** The largest unit that keeps the number whole. */
export function formatAmount(value: number, unit: string): string {
  const steps: readonly (readonly [string, number])[] =
    unit === "ms"
      ? [
          ["d", 86_400_000],
          ["h", 3_600_000],
          ["min", 60_000],
          ["s", 1000],
        ]
      : unit.startsWith("bytes")
        ? [
            ["GiB", 1024 ** 3],
            ["MiB", 1024 ** 2],
            ["KiB", 1024],
          ]
        : [];
  const rate = unit.endsWith("/s") ? "/s" : "";
  for (const [name, size] of steps) if (value >= size && value % size === 0) return `${value / size} ${name}${rate}`;
  if (unit === "count" || unit === "entries") return String(value);
  return `${value} ${unit}`;
}
