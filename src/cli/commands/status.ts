/**
 * `quorate status`: asks every member, shows those that do not answer, and ends with 3 when no leader has a majority.
 */
import { EXIT, outputOf, type Command } from "../command.js";
import { connectionOptions, withCluster } from "../connection.js";
import { printResult } from "../output.js";
import { describeCluster } from "../status-report.js";

/** A node that answers does so within milliseconds; one that is stopped or cut off must not hold the table back. */
const NODE_TIMEOUT_MS = 1500;

export const command: Command = {
  usage: "status",
  summary: "every node and what the cluster is doing",
  build: connectionOptions,
  run: (args) =>
    withCluster(args, { requireLeader: false }, async (quorate, timeoutMs) => {
      const answers = await quorate.status({ timeoutMs: Math.min(timeoutMs, NODE_TIMEOUT_MS) });
      const report = describeCluster(answers, quorate.view());
      printResult(outputOf(args), { json: report.json, lines: report.json.nodes, table: report.table });
      return report.hasQuorum ? EXIT.ok : EXIT.noQuorum;
    }),
};
