/**
 * `quorate demo transfer`: banks, many transfers, a kill, and a verdict read from the banks' own stores.
 */
import { command as bank } from "../demo-bank.js";
import { command as transfer } from "../demo-transfer.js";
import type { Command } from "../command.js";

export const command: Command = {
  usage: "demo",
  summary: "see it work: transfers between banks while coordinators, participants or databases are killed",
  subcommands: [transfer, bank],
};
