/**
 * What tries to notice a planted bug: random simulation, the explorer's worlds, the tests of the rooms it is in.
 *
 * Each hunt runs in a process of its own, because a planted bug may loop for ever or exhaust memory. A hunt that ends in either has
 * noticed the bug too.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildOpened, OPENED_ROOMS, plant, readOpened } from "../../scripts/opened.mjs";
import { build, buildTested, isWithin, mutate, readSources, SIMULATED_ROOMS } from "./plant.mjs";

const WORKER = fileURLToPath(new URL("./worker.mjs", import.meta.url));
/** A seed takes less than a second; a planted bug that makes one take this long never ends. */
const STUCK_MS = 120_000;
const HEAP_MB = 3_000;
const TICK_MS = 1_000;

/** Runs one job of worker.mjs; resolves with its result, or with how it ended. `onLine`: what it says on the way. */
function work(job, limitMs, onLine = () => undefined) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MB}`, WORKER, JSON.stringify(job)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let result;
    let rest = "";
    let complaint = "";
    // Counted in ticks of this process, so that a time in which all of it was stopped is not held against the bug.
    let silentMs = 0;
    const timer = setInterval(() => {
      silentMs += TICK_MS;
      if (silentMs >= limitMs) child.kill("SIGKILL");
    }, TICK_MS);
    child.stderr.on("data", (chunk) => (complaint = (complaint + chunk).slice(-2_000)));
    child.stdout.on("data", (chunk) => {
      silentMs = 0;
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const said = JSON.parse(line);
        if ("result" in said) result = said.result;
        else onLine(said);
      }
    });
    child.on("close", (code, signal) => {
      clearInterval(timer);
      if (result !== undefined) resolve({ result });
      else resolve({ died: signal === "SIGKILL" ? "never ends" : `ends with ${signal ?? `exit code ${code}`}`, complaint });
    });
  });
}

/** What a hunt by seeds adds up. `found`: the first failure. */
export const NOTHING_TRIED = { tried: 0, seconds: 0, decisions: 0, commits: 0, leaderChanges: 0, resolvedByInquiry: 0, failures: [] };

/** What the worker is told, as JSON, which has no Infinity: a hunt without an end is one without the field. */
export function seedsJob(folder, seeds, untilMs, failuresMax) {
  return {
    kind: "seeds",
    folder,
    seeds,
    ...(Number.isFinite(untilMs) ? { untilMs } : {}),
    ...(Number.isFinite(failuresMax) ? { failuresMax } : {}),
  };
}

/**
 * Runs `seeds`, a list, until `failuresMax` failed or `untilMs` (of Date.now) is over, but at least one. `tried` counts failing ones.
 */
export async function simulate(mutant, seeds, untilMs, failuresMax = 1) {
  const planted = build(mutate(readSources(SIMULATED_ROOMS), mutant));
  let last = NOTHING_TRIED;
  const { result, died, complaint } = await work(seedsJob(planted.folder, seeds, untilMs, failuresMax), STUCK_MS, (said) => (last = said));
  planted.remove();
  if (result !== undefined) return result;
  const failure = { seed: seeds[last.tried], invariant: "process", message: `${died} ${complaint}`.trim() };
  return { ...last, tried: last.tried + 1, failures: [...last.failures, failure], found: last.failures[0] ?? failure };
}

/** Why a batch of the unchanged sources shows nothing; empty when it shows something. */
export async function vacuityOf(batch) {
  const planted = build(readSources(SIMULATED_ROOMS));
  const { result, complaint } = await work({ kind: "judge", folder: planted.folder, batch }, STUCK_MS);
  planted.remove();
  if (result === undefined) throw new Error(`the batch could not be judged: ${complaint}`);
  return result;
}

export function isSimulated(mutant) {
  return isWithin(mutant, SIMULATED_ROOMS);
}

export function isExplored({ edits }) {
  return edits.some(({ file }) => OPENED_ROOMS.includes(file.split("/")[0]));
}

/** The small worlds of consensus or of the commit path, until one shows the bug; up to `statesMax` states of each. */
export async function explore(mutant, statesMax, consensus = mutant.edits.some(({ file }) => file.startsWith("zab/"))) {
  const planted = buildOpened(plant(readOpened(), mutant, mutate));
  let last = { states: 0, seconds: 0 };
  const { result, died, complaint } = await work(
    { kind: "worlds", folder: planted.folder, consensus, statesMax },
    5 * STUCK_MS,
    (said) => (last = said),
  );
  planted.remove();
  return result ?? { ...last, found: { world: last.world ?? "?", message: `${died} ${complaint}`.trim() } };
}

/** Where the tests of a room are, when not in test/<room>. */
const TESTS = {
  zab: ["test/zab", "test/scenario"],
  txn: ["test/txn", "test/coordinator", "test/scenario"],
  coordinator: ["test/coordinator", "test/scenario"],
  "participant/kv": ["test/participant/kv", "test/conformance/kv.test.ts"],
  "participant/mysql": ["test/participant/mysql", "test/conformance/mysql.test.ts"],
  "participant/postgres": ["test/participant/postgres", "test/conformance/postgres.test.ts"],
  sim: [],
};

export function testsOf({ edits, tests }) {
  if (tests !== undefined) return [...tests];
  const rooms = edits.map(({ file }) =>
    file
      .split("/")
      .slice(0, file.startsWith("participant/") ? 2 : 1)
      .join("/"),
  );
  return [...new Set(rooms.flatMap((room) => TESTS[room] ?? [`test/${room}`]))];
}

/** Runs test files or folders against the sources with a bug. */
export async function test(mutant, files = testsOf(mutant)) {
  const planted = buildTested(mutate(readSources(), mutant));
  const out = mkdtempSync(join(tmpdir(), "quorate-mutant-report-"));
  const startedMs = performance.now();
  try {
    const report = await vitest(planted.folder, files, join(out, "report.json"));
    if (report === undefined) return { ran: 0, failed: [{ file: "-", test: "no report: the tests could not be run" }], seconds: 0 };
    const name = (file) => file.slice(planted.folder.length + 1);
    const failed = report.testResults.flatMap((file) => {
      if (file.status === "failed" && file.assertionResults.every(({ status }) => status !== "failed"))
        return [{ file: name(file.name), test: "the file itself" }];
      return file.assertionResults
        .filter(({ status }) => status === "failed")
        .map(({ fullName }) => ({ file: name(file.name), test: fullName }));
    });
    return { ran: report.numTotalTests, failed, seconds: (performance.now() - startedMs) / 1000 };
  } finally {
    rmSync(out, { recursive: true, force: true });
    planted.remove();
  }
}

/** A bug that makes tests hang must not hold up the gate: three failures say enough. */
const HURRY = ["--bail=3", "--testTimeout=40000", "--hookTimeout=40000"];

function vitest(cwd, files, report) {
  const args = [join(cwd, "node_modules/vitest/vitest.mjs"), "run", "--reporter=json", `--outputFile=${report}`, ...HURRY, ...files];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd, stdio: "ignore", detached: true });
    // Detached, so that what hangs below it ends with it.
    const timer = setTimeout(() => process.kill(-child.pid, "SIGKILL"), 5 * STUCK_MS);
    child.on("exit", () => {
      clearTimeout(timer);
      try {
        resolve(JSON.parse(readFileSync(report, "utf8")));
      } catch {
        resolve(undefined);
      }
    });
  });
}
