/**
 * One hunt, in a process of its own: `node worker.mjs JOB`, with the job as JSON. Says how far it is, and at last its result, in lines
 * of JSON.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const job = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const short = (message) => message.split("\n")[0].slice(0, 300);
const load = (path) => import(pathToFileURL(join(job.folder, path)).href);

async function seeds() {
  const { runSeed } = await load("src/sim/index.js");
  const startedMs = performance.now();
  const total = { tried: 0, seconds: 0, decisions: 0, commits: 0, leaderChanges: 0, resolvedByInquiry: 0, failures: [] };
  for (const seed of job.seeds) {
    if (total.tried > 0 && Date.now() >= (job.untilMs ?? Infinity)) break;
    const result = runSeed(seed);
    total.tried += 1;
    total.decisions += result.decisions;
    total.commits += result.commits;
    total.leaderChanges += result.leaderChanges;
    total.resolvedByInquiry += result.coverage.get("resolved-by-inquiry") ?? 0;
    total.seconds = (performance.now() - startedMs) / 1000;
    if (result.violation !== undefined) {
      const { invariant, message } = result.violation;
      total.failures.push({ seed, invariant, message: short(message) });
      if (total.failures.length >= (job.failuresMax ?? Infinity)) break;
    }
    say(total);
  }
  return { ...total, found: total.failures[0] };
}

async function worlds() {
  const { EXPLORATIONS } = await load("src/explore/index.js");
  const total = { states: 0, seconds: 0, world: undefined };
  const startedMs = performance.now();
  const wanted = EXPLORATIONS.filter(({ name, large }) => !large && name.startsWith("commit") !== job.consensus);
  const exhausted = new Set();
  // Small bounds first, then wider ones over what is left of the same worlds.
  for (const statesMax of [job.statesMax / 20, job.statesMax]) {
    for (const { name, run } of wanted) {
      if (exhausted.has(name)) continue;
      total.world = name;
      say(total);
      const result = run({ statesMax: Math.ceil(statesMax), depthMax: Infinity });
      const { states, violation } = result;
      total.states += states;
      total.seconds = (performance.now() - startedMs) / 1000;
      if (violation !== undefined)
        return { ...total, found: { world: name, moves: violation.trace.length, message: short(violation.message) } };
      if (result.exhausted) exhausted.add(name);
    }
  }
  total.exhausted = exhausted.size;
  total.worlds = wanted.length;
  return total;
}

/** What a batch of the simulator must have seen to say anything. */
async function judge() {
  const { judgeVacuity } = await load("src/sim/index.js");
  return judgeVacuity(job.batch);
}

say({ result: await { seeds, worlds, judge }[job.kind]() });
