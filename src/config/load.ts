/**
 * Where each setting's value comes from: flag over environment over file over default.
 *
 * Everything wrong is reported at once, each problem with its place and the fix. An unknown key is an error: a misspelt bound that is
 * silently ignored is how clusters are lost.
 */
import { QuorateError } from "../base/index.js";
import { contradictions } from "./contradictions.js";
import { environmentName, flagName, unknown } from "./names.js";
import { rowOf, SETTING_KEYS, type SettingKey, type Settings } from "./table.js";
import { parseValue } from "./value.js";

export type Origin =
  | { readonly kind: "flag"; readonly name: string }
  | { readonly kind: "environment"; readonly name: string }
  | { readonly kind: "file"; readonly path: string; readonly line: number }
  | { readonly kind: "default" };

export interface ConfigSources {
  /** By setting key; undefined = not given. */
  readonly flags?: Readonly<Partial<Record<SettingKey, unknown>>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A YAML file, parsed by `parseConfigFile` (config/file.ts). */
  readonly file?: ConfigFile | undefined;
}

export interface GivenInFile {
  readonly raw: unknown;
  readonly line: number;
}

export interface ConfigFile {
  readonly path: string;
  readonly given: ReadonlyMap<SettingKey, GivenInFile>;
  readonly problems: readonly string[];
}

export interface LoadedConfig {
  readonly settings: Settings;
  readonly origins: Readonly<Record<SettingKey, Origin>>;
}

/** Variables with our prefix that are not settings. */
const OTHER_VARIABLES = new Set(["QUORATE_ENDPOINTS", "QUORATE_CONFIG", "QUORATE_FAILPOINTS", "QUORATE_ENABLE_FAILPOINTS"]);
/** Kubernetes sets these for a Service called "quorate"; test programs use the second form. */
const FOREIGN_VARIABLE = /^QUORATE(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)$|^QUORATE_TEST_/;

interface Given {
  readonly raw: unknown;
  readonly origin: Origin;
}

/** Throws QUORATE_CONFIG with one line for each problem. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const problems: string[] = [];
  const file = new Map<SettingKey, Given>();
  if (sources.file !== undefined) {
    const { path, given } = sources.file;
    problems.push(...sources.file.problems);
    for (const [key, { raw, line }] of given) file.set(key, { raw, origin: { kind: "file", path, line } });
  }
  const env = readEnvironment(sources.env ?? {}, problems);
  const settings: Partial<Record<SettingKey, unknown>> = {};
  const origins: Partial<Record<SettingKey, Origin>> = {};
  for (const key of SETTING_KEYS) {
    const flag = sources.flags?.[key];
    const given: Given | undefined =
      flag === undefined ? (env.get(key) ?? file.get(key)) : { raw: flag, origin: { kind: "flag", name: `--${flagName(key)}` } };
    origins[key] = given?.origin ?? { kind: "default" };
    if (given === undefined) {
      settings[key] = rowOf(key).default;
      continue;
    }
    const parsed = parseValue(key, given.raw);
    if (parsed.ok) settings[key] = parsed.value;
    else problems.push(`${key} ${parsed.problem} (${formatOrigin(given.origin)})`);
  }
  if (problems.length === 0)
    problems.push(...contradictions(settings as Settings, (key) => formatOrigin(origins[key] ?? { kind: "default" })));
  if (problems.length > 0) throw new QuorateError("QUORATE_CONFIG", problems.join("\n"));
  return { settings: settings as Settings, origins: origins as Record<SettingKey, Origin> };
}

/** For people: `--ping-interval-ms`, `QUORATE_PING_INTERVAL_MS`, `quorate.yaml:3`, `default`. */
export function formatOrigin(origin: Origin): string {
  if (origin.kind === "file") return `${origin.path}:${origin.line}`;
  return origin.kind === "default" ? "default" : origin.name;
}

function readEnvironment(env: Readonly<Record<string, string | undefined>>, problems: string[]): Map<SettingKey, Given> {
  const names = new Map(SETTING_KEYS.map((key) => [environmentName(key), key]));
  const out = new Map<SettingKey, Given>();
  for (const name of Object.keys(env).sort()) {
    const raw = env[name];
    if (!name.startsWith("QUORATE_") || raw === undefined || OTHER_VARIABLES.has(name)) continue;
    const key = names.get(name);
    if (key !== undefined) out.set(key, { raw, origin: { kind: "environment", name } });
    else if (!FOREIGN_VARIABLE.test(name))
      problems.push(unknown(`environment variable ${name}`, name.slice("QUORATE_".length), environmentName));
  }
  return out;
}
