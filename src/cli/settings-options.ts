/**
 * Settings on the command line: every row of the table is a flag, and `--config` names the file.
 */
import { readFileSync } from "node:fs";
import type { Argv } from "yargs";
import { messageOf, QuorateError } from "../base/index.js";
import { flagName, isTunable, loadConfig, rowOf, SETTING_KEYS, type LoadedConfig, type SettingKey } from "../config/index.js";
import { text, type CommandArgs } from "./command.js";

/** yargs lays the help out before every command, asked for or not: with all settings in it that is a tenth of a node's start. */
const HELP_ASKED = process.argv.some((word) => word === "--help" || word === "--show-hidden");

/** `keys`: the settings offered; the tunables among them are hidden from --help, which would drown in them. */
export function settingOptions(yargs: Argv, keys: readonly SettingKey[] = SETTING_KEYS): Argv {
  yargs.option("config", { type: "string", describe: "a YAML file of settings (also QUORATE_CONFIG)" });
  for (const key of keys) {
    const row = rowOf(key);
    yargs.option(flagName(key), {
      type: row.type === "boolean" ? "boolean" : "string",
      describe: row.reason.split(/(?<=\.) /, 1)[0] ?? row.reason,
      hidden: isTunable(key) || !HELP_ASKED,
    });
  }
  return yargs
    .epilogue('Every other setting of docs/config.md is a flag too; "--show-hidden" lists them.')
    .showHidden("show-hidden", "show every setting");
}

/** Rejects with QUORATE_CONFIG. */
export async function settingsOf(
  args: CommandArgs,
  env: Readonly<Record<string, string | undefined>>,
  fixed: Readonly<Partial<Record<SettingKey, unknown>>> = {},
): Promise<LoadedConfig> {
  const flags: Partial<Record<SettingKey, unknown>> = { ...fixed };
  for (const key of SETTING_KEYS) {
    const given = args[flagName(key)];
    if (given !== undefined) flags[key] = typeof given === "boolean" ? given : text(args, flagName(key));
  }
  const path = text(args, "config") ?? env["QUORATE_CONFIG"];
  if (path === undefined) return loadConfig({ flags, env });
  const { parseConfigFile } = await import("../config/file.js");
  return loadConfig({ flags, env, file: parseConfigFile(path, readConfigFile(path)) });
}

/** The setting flags of this command line again, for a child process. */
export function passOn(args: CommandArgs, keys: readonly SettingKey[]): readonly string[] {
  const out: string[] = [];
  for (const key of keys) {
    const name = flagName(key);
    const given = text(args, name);
    if (given !== undefined) out.push(`--${name}=${given}`);
  }
  const config = text(args, "config");
  if (config !== undefined) out.push(`--config=${config}`);
  return out;
}

function readConfigFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new QuorateError("QUORATE_CONFIG", `the file ${path} of --config cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
