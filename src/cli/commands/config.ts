/**
 * `quorate config print`: the settings a node started here and now would have, and where each comes from.
 */
import { formatAmount, formatOrigin, rowOf, SETTING_KEYS, type Origin, type SettingKey, type Settings } from "../../config/index.js";
import { FAILPOINT_MEANINGS } from "../../server/failpoint-list.js";
import { EXIT, flag, outputOf, type Command, type CommandArgs } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { printResult } from "../output.js";
import { settingOptions, settingsOf } from "../settings-options.js";
import { formatTable } from "../table.js";

export const command: Command = {
  usage: "config",
  summary: "settings and where they come from",
  subcommands: [
    {
      usage: "print",
      summary: "print every setting; with --origin where each comes from, with --failpoints the points of fault tests",
      build: (yargs) =>
        settingOptions(yargs)
          .option("origin", { type: "boolean", default: false, describe: "show flag, variable, file and line, or default" })
          .option("failpoints", { type: "boolean", default: false, describe: "list the failpoints and what is true when each is reached" }),
      run: print,
    },
  ],
};

async function print(args: CommandArgs): Promise<ExitCode> {
  const format = outputOf(args);
  if (flag(args, "failpoints")) {
    const rows = Object.entries(FAILPOINT_MEANINGS);
    printResult(format, {
      json: Object.fromEntries(rows),
      lines: rows.map(([name, meaning]) => ({ name, meaning })),
      table: () => formatTable(["FAILPOINT", "WHEN IT IS REACHED"], rows),
    });
    return EXIT.ok;
  }
  const { settings, origins } = await settingsOf(args, process.env);
  const withOrigin = flag(args, "origin");
  const entry = (key: SettingKey): unknown =>
    withOrigin ? { value: settings[key] ?? null, origin: originJson(origins[key]) } : (settings[key] ?? null);
  printResult(format, {
    json: Object.fromEntries(SETTING_KEYS.map((key) => [key, entry(key)])),
    lines: SETTING_KEYS.map((key) => ({ key, value: settings[key] ?? null, ...(withOrigin ? { origin: originJson(origins[key]) } : {}) })),
    table: () =>
      formatTable(
        withOrigin ? ["SETTING", "VALUE", "ORIGIN"] : ["SETTING", "VALUE"],
        SETTING_KEYS.map((key) => [key, show(key, settings), ...(withOrigin ? [formatOrigin(origins[key])] : [])]),
      ),
  });
  return EXIT.ok;
}

function show(key: SettingKey, settings: Settings): string {
  const row = rowOf(key);
  const value = settings[key];
  if (value === undefined) return "-";
  return row.type === "integer" ? formatAmount(Number(value), row.unit) : String(value);
}

function originJson(origin: Origin): object {
  return origin;
}
