/**
 * `quorate health`: proposes nothing and waits for it to commit. 0 means that the cluster takes writes right now.
 */
import { EXIT, outputOf, type Command } from "../command.js";
import { connectionOptions, withCluster } from "../connection.js";
import { printResult } from "../output.js";

export const command: Command = {
  usage: "health",
  summary: "prove that a proposal commits",
  build: connectionOptions,
  run: (args) =>
    withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
      const { leader, epoch, tookMs } = await quorate.health({ timeoutMs });
      printResult(outputOf(args), {
        json: { healthy: true, leader: leader ?? null, epoch, tookMs: Number(tookMs.toFixed(3)) },
        table: () => `healthy: an empty proposal committed in ${tookMs.toFixed(1)} ms, leader n${leader ?? "?"}, epoch ${epoch}`,
      });
      return EXIT.ok;
    }),
};
