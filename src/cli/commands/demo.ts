/**
 * `quorate demo transfer`: two banks, many transfers, a killed leader, and a verdict read from the banks' own stores.
 */
import { command as transfer } from "../demo-transfer.js";
import type { Command } from "../command.js";

export const command: Command = {
  usage: "demo",
  summary: "see it work: transfers between two banks while coordinators are killed",
  subcommands: [transfer],
};
