/**
 * Where each setting's value comes from: flag over environment over file over default.
 *
 * Everything wrong is reported at once, each problem with its place and the fix. An unknown key is an error: a misspelt bound that is
 * silently ignored is how clusters are lost.
 */
import { createRequire } from "node:module";
import type * as yaml from "yaml";
import { QuorateError } from "../base/index.js";
import { contradictions } from "./contradictions.js";
import { closestKey, environmentName, flagName } from "./names.js";
import { isSettingKey, rowOf, SETTING_KEYS, type SettingKey, type Settings } from "./table.js";
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
  /** A YAML file, already read. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
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
  const file = sources.file === undefined ? new Map<SettingKey, Given>() : readFile(sources.file, problems);
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

function readFile(file: { readonly path: string; readonly text: string }, problems: string[]): Map<SettingKey, Given> {
  // Loaded where there is a file: its modules are an eighth of all that a node reads before it serves.
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = createRequire(import.meta.url)("yaml") as typeof yaml;
  const out = new Map<SettingKey, Given>();
  const lines = new LineCounter();
  const document = parseDocument(file.text, { lineCounter: lines, uniqueKeys: true });
  for (const error of document.errors) problems.push(`${file.path}:${lines.linePos(error.pos[0]).line}: ${firstLine(error.message)}`);
  if (document.errors.length > 0 || document.contents === null) return out;
  if (!isMap(document.contents)) {
    problems.push(`${file.path}:1: the file must be a mapping of settings, for example "pingIntervalMs: 50"`);
    return out;
  }
  for (const pair of document.contents.items) {
    const keyNode = pair.key as yaml.Node;
    const name = isScalar(keyNode) ? String(keyNode.value) : String(keyNode);
    const line = lines.linePos(keyNode.range?.[0] ?? 0).line;
    if (!isSettingKey(name)) {
      problems.push(`${file.path}:${line}: ${unknown("setting", name, (key) => key)}`);
      continue;
    }
    const value = pair.value as yaml.Node | null;
    const raw = isSeq(value)
      ? value.items.map((item) => (isScalar(item) ? String(item.value) : String(item))).join(",")
      : isScalar(value)
        ? value.value
        : undefined;
    if (raw === undefined || raw === null) problems.push(`${file.path}:${line}: ${name} has no plain value`);
    else out.set(name, { raw, origin: { kind: "file", path: file.path, line } });
  }
  return out;
}

function unknown(what: string, name: string, spell: (key: string) => string): string {
  const guess = closestKey(name);
  const spelt = what === "setting" ? `${what} ${JSON.stringify(name)}` : what;
  return `unknown ${spelt}${guess === undefined ? "; `quorate config print` lists all" : `; did you mean ${spell(guess)}?`}`;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}
