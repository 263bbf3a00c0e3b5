/**
 * Loaded into a process that is to be profiled, before its own program: the first SIGUSR2 starts the profiler, the second one stops it
 * and writes `<pid>.cpuprofile` into the folder that this module's own address names as `?dir=`: variables of the environment belong to
 * the program. V8 samples every 250 microseconds meanwhile.
 */
import { renameSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";

const INTERVAL_US = 250;
const dir = new URL(import.meta.url).searchParams.get("dir") ?? ".";
const session = new Session();
let running = false;

session.connect();
process.on("SIGUSR2", () => {
  if (!running) {
    running = true;
    session.post("Profiler.enable");
    session.post("Profiler.setSamplingInterval", { interval: INTERVAL_US });
    session.post("Profiler.start");
    return;
  }
  session.post("Profiler.stop", (error, result) => {
    const file = join(dir, `${process.pid}.cpuprofile`);
    // Whoever waits for the file must never see half of it.
    writeFileSync(`${file}.part`, JSON.stringify(error === null ? result.profile : { nodes: [], error: error.message }));
    renameSync(`${file}.part`, file);
  });
});
