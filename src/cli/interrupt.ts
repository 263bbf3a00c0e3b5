/**
 * What a command does when it is interrupted in mid-run: nothing waits for work in flight, nothing stays behind.
 */
import { EXIT } from "./exit-codes.js";
import { note } from "./output.js";

const steps: (() => void)[] = [];

/** Runs `step`, synchronous, when the process is interrupted; last registered first. */
export function atInterrupt(step: () => void): void {
  if (steps.length === 0)
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.once(signal, () => {
        for (const each of steps.reverse()) each();
        note("Interrupted: everything this command started is gone.");
        process.exit(EXIT.failed);
      });
  steps.push(step);
}
