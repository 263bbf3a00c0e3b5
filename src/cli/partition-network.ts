/**
 * `--network` of `quorate partition run`: which network the run gets, said aloud with the reason, and the sandbox around it if it is
 * namespaces.
 */
import {
  chooseNetwork,
  endWithParent,
  NETWORK_DEMANDS,
  runInSandbox,
  sandboxed,
  type NetworkDemand,
} from "../../jepsen-like/net/sandbox.js";
import { leftovers } from "../../jepsen-like/run-folder.js";
import type { COMPOSITIONS } from "../../jepsen-like/run.js";
import { EXIT, text, type CommandArgs } from "./command.js";
import type { ExitCode } from "./exit-codes.js";
import { note } from "./output.js";

export const NETWORK_OPTION = {
  type: "string",
  choices: NETWORK_DEMANDS,
  default: "auto",
  describe: "between the nodes: network namespaces, or proxies in this process; auto: namespaces where they can be had",
} as const;

/** Resolves with the status of the run in a sandbox, or undefined: the run goes on here. Throws QUORATE_CONFIG (see chooseNetwork). */
export async function runElsewhere(
  args: CommandArgs,
  { networkNeeds = [] }: Pick<(typeof COMPOSITIONS)[number], "networkNeeds">,
): Promise<ExitCode | undefined> {
  if (sandboxed() !== undefined) {
    endWithParent();
    return undefined;
  }
  const { folders, processes } = leftovers();
  if (folders.length + processes.length > 0)
    note(
      `Runs that were killed have left ${folders.length} folders and ${processes.length} processes; \`quorate partition clean\` removes them.`,
    );
  const choice = chooseNetwork((text(args, "network") ?? "auto") as NetworkDemand, networkNeeds);
  note(`network: ${choice.kind} (${choice.why})`);
  if (choice.kind === "proxies") return undefined;
  const { code, signal } = await runInSandbox(choice);
  if (signal !== null) note(`The run was ended by ${signal}; \`quorate partition clean\` removes what it has left.`);
  return Object.values(EXIT).find((each) => each === code) ?? EXIT.failed;
}
