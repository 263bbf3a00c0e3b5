/**
 * `quorate leader move [node]`: planned hand-over, from any endpoint.
 */
import { nodeId, QuorateError, type NodeId } from "../../base/index.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "../command.js";
import { connectionOptions, withCluster } from "../connection.js";
import type { ExitCode } from "../exit-codes.js";
import { printResult } from "../output.js";

export const command: Command = {
  usage: "leader",
  summary: "hand leadership over",
  subcommands: [
    {
      usage: "move [node]",
      summary: "to this node (3 or n3), or to the most advanced follower",
      build: (yargs) => connectionOptions(yargs).positional("node", { type: "string", describe: "the node to lead" }),
      run: move,
    },
  ],
};

async function move(args: CommandArgs): Promise<ExitCode> {
  const to = nodeOf(text(args, "node"));
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const from = quorate.view()?.leader;
    const leader = await quorate.moveLeader(to, { timeoutMs });
    printResult(outputOf(args), {
      json: { from: from ?? null, leader },
      table: () => (from === leader ? `n${leader} leads already` : `leader is n${leader}${from === undefined ? "" : `, was n${from}`}`),
    });
    return to === undefined || to === leader ? EXIT.ok : EXIT.failed;
  });
}

function nodeOf(given: string | undefined): NodeId | undefined {
  if (given === undefined) return undefined;
  const match = /^n?(\d{1,3})$/.exec(given);
  const id = Number(match?.[1]);
  if (match === null || id < 1 || id > 255)
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `node is ${JSON.stringify(given)}, but must be 1 to 255, or n1 to n255`);
  return nodeId(id);
}
