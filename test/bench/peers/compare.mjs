/**
 * `npm run bench:compare`: etcd, ZooKeeper and Quorate in turn on this machine, three nodes each, and one table of all three.
 *
 * The systems take turns within every point (A B C, A B C), so that whatever drifts on the machine hits all of them. Every run has a fresh cluster.
 * Exits with 1 when a system cannot be had here (SKIP and why) or a point has no sound run.
 */
import { writeFileSync } from "node:fs";
import { failoverOfPeer, restartOfPeer } from "./failover.mjs";
import { describeMachine, FOREIGN_CORES_MAX, STEAL_CORES_MAX } from "./machine.mjs";
import { measurePeer, OPERATIONS } from "./measure.mjs";
import { BadOption, HELP, readOptions } from "./options.mjs";
import { preparePackages, Unavailable } from "./packages.mjs";
import { failoverOfQuorate, measureQuorate } from "./quorate.mjs";
import { failoverTable, ratioTable, rateTable, ratios, restartTable, summarize } from "./report.mjs";
import { Workshop } from "./workshop.mjs";

process.exitCode = await main();

async function main() {
  let workshop;
  try {
    const options = readOptions(process.argv.slice(2));
    if (options.help) {
      console.log(HELP);
      return 0;
    }
    if (options.json !== undefined) writeFileSync(options.json, "");
    const packages = preparePackages(options.only.filter((system) => system !== "quorate"));
    workshop = new Workshop();
    return await compare({ options, packages, workshop });
  } catch (error) {
    // The process ends when all is stopped; until then there is nothing to say.
    if (workshop?.interrupted) await new Promise(() => undefined);
    if (error instanceof Unavailable) console.error(`SKIP: ${error.message}`);
    else if (error instanceof BadOption) console.error(error.message);
    else throw error;
    return 1;
  } finally {
    await workshop?.close();
  }
}

async function compare(context) {
  const { options, packages, workshop } = context;
  const lines = [];
  const say = (line) => {
    lines.push(line);
    if (options.json === undefined) console.log(JSON.stringify(line));
    else writeFileSync(options.json, `${JSON.stringify(line)}\n`, { flag: "a" });
  };
  const about = { date: new Date().toISOString(), ...describeMachine(workshop.dir), packages: packages.versions };
  say({ about, undisturbedMeans: { foreignCoresAtMost: FOREIGN_CORES_MAX, stealCoresAtMost: STEAL_CORES_MAX } });
  const points = await ratePoints(context, say);
  const compared = ratios(points);
  for (const line of [...points, ...compared]) say(line);
  const gaps = options.failover ? await failovers(context, say) : [];
  const restarts = options.restart > 0 ? await restartsOf(context, say) : [];

  console.log(
    `\n${about.date}, ${about.cores} cores (${about.model}), Linux ${about.linux}, Node ${about.node}; ${versionText(packages.versions)}`,
  );
  console.log(`append of 256 bytes and fdatasync: p50 ${about.fdatasyncMs.p50} ms, p99 ${about.fdatasyncMs.p99} ms`);
  if (points.length > 0) console.log(`\n${rateTable(points)}`);
  if (compared.length > 0) console.log(`\n${ratioTable(compared)}`);
  if (gaps.length > 0) console.log(`\n${failoverTable(gaps)}`);
  if (restarts.length > 0) console.log(`\n${restartTable(restarts)}`);
  console.log(
    `\nSHARED: every run of the point had other processes above ${FOREIGN_CORES_MAX} core or the host above ${STEAL_CORES_MAX}: compare, do not quote.`,
  );
  return points.every(({ counted }) => counted > 0) ? 0 : 1;
}

async function ratePoints(context, say) {
  const { options } = context;
  const lines = [];
  if (options.runs === 0) return [];
  for (const kind of options.ops)
    for (const outstanding of options.outstanding) {
      /** Undisturbed runs still wanted, and further runs that may be spent on getting them. */
      const wanted = new Map(options.only.map((system) => [system, options.runs]));
      const spare = new Map(options.only.map((system) => [system, options.retries]));
      for (let run = 1; ; run++) {
        const turn = options.only.filter((system) => wanted.get(system) > 0);
        if (turn.length === 0) break;
        for (const system of turn) {
          const line = { run, ...(await oneRun(system, kind, outstanding, context)) };
          const again = !line.undisturbed && spare.get(system) > 0;
          if (again) spare.set(system, spare.get(system) - 1);
          else wanted.set(system, wanted.get(system) - 1);
          lines.push(line);
          say(line);
        }
      }
    }
  return summarize(lines);
}

async function oneRun(system, kind, outstanding, context) {
  console.error(`${system} ${OPERATIONS[system][kind]}, ${outstanding} outstanding`);
  try {
    return system === "quorate" ? await measureQuorate(kind, outstanding, context) : await measurePeer(system, kind, outstanding, context);
  } catch (error) {
    if (context.workshop.interrupted) throw error;
    console.error(`  failed: ${error.message}`);
    return { system, op: OPERATIONS[system][kind], kind, outstanding, failed: error.message, undisturbed: false };
  }
}

async function failovers(context, say) {
  const lines = [];
  for (const system of context.options.only) {
    console.error(`${system}: ${context.options.kills} leaders are killed`);
    const line = system === "quorate" ? await failoverOfQuorate(context) : await failoverOfPeer(system, context);
    say(line);
    lines.push(line);
  }
  return lines;
}

async function restartsOf(context, say) {
  const lines = [];
  for (const system of context.options.only.filter((each) => each !== "quorate")) {
    console.error(`${system}: a follower is killed after ${context.options.restart} writes`);
    for (const line of await restartOfPeer(system, context)) {
      say(line);
      lines.push(line);
    }
  }
  return lines;
}

function versionText(versions) {
  return Object.entries(versions)
    .filter(([name]) => /^(etcd|libzookeeper|openjdk)/.test(name))
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}
