/**
 * What `npm run bench:compare` can be asked for. Bad input ends with the option's name, what was given and what would do.
 */
import { parseArgs } from "node:util";

export const SYSTEMS = ["etcd", "zookeeper", "quorate"];
export const KINDS = ["write", "txn"];

export const HELP = `npm run bench:compare -- [options]: Quorate beside etcd and ZooKeeper on this machine, three nodes each, fsync on.

  --only LIST               of ${SYSTEMS.join(", ")} (default all)
  --ops LIST                of ${KINDS.join(", ")} (default both): a plain durable write; a create-if-absent or a whole transaction
  --outstanding LIST        requests always in flight (default 1,128,1024)
  --seconds N               measured time of a run (default 10)
  --warmup N                seconds before it (default 3)
  --compiler-warmup N       seconds of load before that, for what compiles as it runs: ZooKeeper and Quorate (default 10)
  --runs N                  runs of each point, of which the medians are printed; 0 leaves them out (default 3)
  --retries N               further runs of a point that something else disturbed (default 2)
  --value-bytes N           payload of one operation (default 256)
  --drivers N               driver processes of etcd and ZooKeeper (default 1)
  --etcd-connections N      connections to etcd's leader, of each driver (default 4)
  --zookeeper-sessions N    ZooKeeper sessions, round the nodes, of each driver (default 3)
  --failover                also kill -9 the leader of each system under a steady load
  --kills N                 how often (default 10)
  --rate N                  writes a second meanwhile (default 200)
  --restart N               also time the restart of a killed etcd and ZooKeeper follower after N writes (default 0: off)
  --fill-seconds N          the longest that those writes may take (default 300)
  --json FILE               write the JSON lines there instead of to standard output
  --help`;

const WHOLE = {
  seconds: { fallback: 10, min: 1, max: 3600 },
  warmup: { fallback: 3, min: 0, max: 600 },
  "compiler-warmup": { fallback: 10, min: 0, max: 600 },
  runs: { fallback: 3, min: 0, max: 100 },
  retries: { fallback: 2, min: 0, max: 100 },
  // A message must fit into one frame and into the smallest window of HTTP/2.
  "value-bytes": { fallback: 256, min: 1, max: 8192 },
  drivers: { fallback: 1, min: 1, max: 16 },
  "etcd-connections": { fallback: 4, min: 1, max: 256 },
  "zookeeper-sessions": { fallback: 3, min: 1, max: 256 },
  kills: { fallback: 10, min: 1, max: 1000 },
  rate: { fallback: 200, min: 1, max: 1000 },
  restart: { fallback: 0, min: 0, max: 100_000_000 },
  "fill-seconds": { fallback: 300, min: 1, max: 7200 },
};
const OUTSTANDING_MAX = 8192;

export class BadOption extends Error {}

/** Returns the options by name (camel case), or `{ help: true }`. Throws BadOption. */
export function readOptions(argv) {
  const values = parse(argv);
  if (values.help === true) return { help: true };
  const options = { help: false, failover: values.failover === true, json: values.json };
  for (const [name, bounds] of Object.entries(WHOLE)) options[camel(name)] = whole(name, values[name], bounds);
  options.only = list("only", values.only, SYSTEMS);
  options.ops = list("ops", values.ops, KINDS);
  options.outstanding = (values.outstanding ?? "1,128,1024")
    .split(",")
    .map((each) => whole("outstanding", each.trim(), { fallback: 1, min: 1, max: OUTSTANDING_MAX }));
  for (const each of options.outstanding)
    if (each > 1 && each < options.drivers)
      throw new BadOption(`--outstanding ${each} cannot be shared by ${options.drivers} drivers: give fewer --drivers`);
  if (options.runs === 0 && !options.failover && options.restart === 0)
    throw new BadOption("--runs 0 leaves nothing to measure: give --failover or --restart N beside it, or more runs");
  return options;
}

function parse(argv) {
  const texts = ["only", "ops", "outstanding", "json", ...Object.keys(WHOLE)];
  try {
    const known = Object.fromEntries(texts.map((name) => [name, { type: "string" }]));
    return parseArgs({ args: argv, options: { ...known, failover: { type: "boolean" }, help: { type: "boolean" } } }).values;
  } catch (error) {
    throw new BadOption(`${error.message} (--help lists the options)`);
  }
}

function list(name, given, known) {
  if (given === undefined) return known;
  const names = given.split(",").map((each) => each.trim());
  const wrong = names.find((each) => !known.includes(each));
  if (wrong !== undefined) throw new BadOption(`--${name} takes ${known.join(", ")}, separated by commas; got ${JSON.stringify(wrong)}`);
  return known.filter((each) => names.includes(each));
}

function whole(name, given, { fallback, min, max }) {
  if (given === undefined) return fallback;
  const value = given === "" ? Number.NaN : Number(given);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new BadOption(`--${name} must be a whole number from ${min} to ${max}, got ${JSON.stringify(given)}`);
  return value;
}

function camel(name) {
  return name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
}
