/**
 * Quorate's side of the comparison: its own benchmark command, as any user runs it, in the same kind of JSON line.
 */
import { fileURLToPath } from "node:url";
import { NODES } from "./cluster.mjs";
import { isUndisturbed, watchMachine } from "./machine.mjs";
import { OPERATIONS } from "./measure.mjs";

const PROGRAM = fileURLToPath(new URL("../../../bin/quorate.js", import.meta.url));

/** The machine is watched from the program's start to its end: its warm-up and its reading back are inside. */
export async function measureQuorate(kind, outstanding, { workshop, options }) {
  const { seconds, warmup, compilerWarmup, valueBytes } = options;
  // Its nodes compile as they run, as ZooKeeper's do, and so get as long for it: here at the point's own load, there is no other.
  const numbers = { outstanding, seconds, warmup: warmup + compilerWarmup, "value-bytes": valueBytes };
  const args = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const machine = watchMachine();
  const told = await bench(workshop, [kind, ...args]);
  const around = machine();
  const nodes = Object.keys(told.cpu ?? {}).filter((name) => NODE.test(name));
  if (nodes.length !== NODES)
    throw new Error(`the benchmark accounts for ${nodes.length} of ${NODES} nodes: is another cluster of Quorate on its ports?`);
  const shares = Object.entries(told.cpu ?? {}).filter(([name]) => name !== "total" && name !== "foreign");
  const cores = (wanted) => shares.filter(([name]) => wanted(name)).map(([, value]) => value);
  return {
    system: "quorate",
    op: OPERATIONS.quorate[kind],
    kind,
    outstanding,
    valueBytes,
    ...Object.fromEntries(FIELDS.map((name) => [name, told[name]])),
    cpu: {
      servers: cores((name) => NODE.test(name)),
      participants: cores((name) => name.startsWith("bench-")),
      drivers: cores((name) => name === "driver"),
      total: told.cpu?.total,
    },
    rssMiB: Object.entries(told.rssMiB).flatMap(([name, value]) => (NODE.test(name) ? [value] : [])),
    machine: around,
    undisturbed: isUndisturbed(around),
  };
}
const NODE = /^n\d+$/;
const FIELDS = [
  "ops",
  "seconds",
  "opsPerSec",
  "opsPerCoreSec",
  "p50ms",
  "p99ms",
  "p999ms",
  "maxMs",
  "longestSilenceMs",
  "errors",
  "elections",
];

/** Returns `{ gapsMs: { min, median, max } }` and what else the command tells. */
export async function failoverOfQuorate({ workshop, options }) {
  const machine = watchMachine();
  const told = await bench(workshop, ["failover", "--kills", String(options.kills), "--rate", String(options.rate)]);
  const around = machine();
  const { gapMs, inDoubtMs, failed, kills, rate } = told;
  return { system: "quorate", op: "failover", kills, rate, gapMs, inDoubtMs, failed, machine: around, undisturbed: isUndisturbed(around) };
}

async function bench(workshop, args) {
  const { status, out } = await workshop.program(process.execPath, [PROGRAM, "bench", ...args, "-o", "json"]);
  try {
    return JSON.parse(out);
  } catch {
    throw new Error(`quorate bench ${args.join(" ")} ended with status ${status} and no result`);
  }
}
