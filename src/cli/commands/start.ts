/**
 * `quorate start`: one node, until it is told to stop.
 */
import { runNode } from "../../server/index.js";
import type { Command } from "../command.js";
import { settingOptions, settingsOf } from "../settings-options.js";

export const command: Command = {
  usage: "start",
  summary: "one node",
  build: (yargs) =>
    settingOptions(yargs).example(
      "$0 start --id 1 --data-dir ./n1 --bootstrap --members 1=a:7500/a:7400,2=b:7500/b:7400,3=c:7500/c:7400",
      "node 1 of a new cluster of three",
    ),
  run: async (args) => runNode((await settingsOf(args, process.env)).settings, process.env),
};
