/**
 * How a participant in a process of its own is ended.
 */
import { EXIT } from "./exit-codes.js";

/**
 * Resolves at the first signal. A second signal does not wait for branches under way: they are in doubt until the participant is back,
 * and then settled.
 */
export function toldToStop(exitWithParent: boolean): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
      process.once(signal, () => {
        process.once(signal, () => process.exit(EXIT.failed));
        resolve();
      });
    if (exitWithParent)
      process.stdin
        .on("end", () => process.exit(EXIT.ok))
        .on("error", () => process.exit(EXIT.ok))
        .resume();
  });
}
