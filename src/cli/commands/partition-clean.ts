/**
 * `quorate partition clean`: removes what runs have left behind whose process is gone. Living runs are left alone.
 */
import { removeDeadDisks } from "../../../jepsen-like/disk/leftovers.js";
import { leftovers, removeLeftovers } from "../../../jepsen-like/run-folder.js";
import { messageOf, QuorateError } from "../../base/index.js";
import { EXIT, outputOf, type Command, type CommandArgs } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { printResult } from "../output.js";
import { formatTable } from "../table.js";

export const partitionClean: Command = {
  usage: "clean",
  summary: "remove what runs have left behind that were killed: processes, network namespaces, disks, folders",
  run: clean,
};

async function clean(args: CommandArgs): Promise<ExitCode> {
  const left = leftovers();
  try {
    await removeLeftovers(left);
    const disks = removeDeadDisks();
    const processes = left.processes.map(({ pid, command }) => ({ pid, command }));
    printResult(outputOf(args), {
      json: { processes, namespaces: left.namespaces, disks, folders: left.folders },
      table: () => {
        const rows = [
          ...processes.map(({ pid, command }) => [`process ${pid}`, command]),
          ...(left.namespaces > 0 ? [["network namespaces", String(left.namespaces)]] : []),
          ...[...disks, ...left.folders].map((each) => ["disk or folder", each]),
        ];
        return rows.length === 0 ? "Nothing was left behind." : formatTable(["REMOVED", ""], rows);
      },
    });
    return EXIT.ok;
  } catch (error) {
    throw new QuorateError("QUORATE_INTERNAL", `not everything could be removed: ${messageOf(error)}`, { cause: error });
  }
}
