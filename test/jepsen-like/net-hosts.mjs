/**
 * Run inside a sandbox by net-namespaces.test.ts: makes the network of three nodes, breaks it, and prints what really arrived where, as
 * one JSON object. On each node, and here for the outside, an agent of its own sends and counts: the network's own counters are not asked.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { NamespaceNetwork } from "../../dist/jepsen-like/net/namespace-network.js";
import { cutBetween, oneWay } from "../../dist/jepsen-like/net/network.js";
import { addressOf, inside, namespaceOf } from "../../dist/jepsen-like/net/namespace-layout.js";

const PORT = 9000;
const AGENT = `
const dgram = require("node:dgram"), net = require("node:net");
const seen = {}, tcp = { accepted: 0, errors: [] };
let up;
const socket = dgram.createSocket("udp4");
socket.on("message", (_, from) => { seen[from.address] = (seen[from.address] ?? 0) + 1; });
socket.on("error", () => undefined);
net.createServer((peer) => { tcp.accepted++; peer.on("error", (e) => tcp.errors.push(e.code)); }).listen(${PORT});
socket.bind(${PORT}, () => console.log("ready"));
require("node:readline").createInterface(process.stdin).on("line", async (line) => {
  const [what, address, count] = JSON.parse(line);
  if (what === "send") {
    for (let i = 0; i < count; i++) await new Promise((done) => socket.send("x", ${PORT}, address, done));
    console.log("sent");
  } else if (what === "take") {
    console.log(JSON.stringify(seen));
    for (const key of Object.keys(seen)) delete seen[key];
  } else if (what === "connect") {
    up = net.connect(${PORT}, address, () => console.log("connected"));
    up.on("error", (e) => tcp.errors.push(e.code));
  } else if (what === "drain") setTimeout(() => console.log("drained"), 5);
  else if (what === "tcp") console.log(JSON.stringify(tcp));
}).on("close", () => process.exit());
`;

class Agent {
  #child;
  #lines;

  constructor(launch) {
    const [program, ...args] = [...launch, process.execPath, "-e", AGENT];
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async line() {
    return (await this.#lines.next()).value;
  }

  async ask(...request) {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    return this.line();
  }

  close() {
    this.#child.stdin.end();
  }
}

const run = "test";
const nodes = [1, 2, 3];
const network = await NamespaceNetwork.create(run, nodes.length);
const agents = new Map([...nodes.map((node) => [node, new Agent(inside(namespaceOf(run, node)))]), ["outside", new Agent([])]]);
for (const agent of agents.values()) await agent.line();

const LINKS = [
  ...nodes.flatMap((from) => nodes.filter((to) => to !== from).map((to) => [from, to, addressOf("p", to), addressOf("p", from)])),
  ...nodes.flatMap((node) => [
    ["outside", node, addressOf("c", node), addressOf("c", "harness"), "clients"],
    [node, "outside", addressOf("c", "harness"), addressOf("c", node), "clients"],
    ["outside", node, addressOf("b", node), addressOf("b", "harness"), "participants"],
    [node, "outside", addressOf("b", "harness"), addressOf("b", node), "participants"],
  ]),
];
const nameOf = (end, side) => (end === "outside" ? side : `n${end}`);

/** How many of `count` datagrams arrived, for each direction of each link. */
async function arrivals(count) {
  for (const [from, to, address] of LINKS) {
    await agents.get(from).ask("send", address, count);
    // A socket's buffer holds some 250 small datagrams: nothing may be lost there.
    await agents.get(to).ask("drain");
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  const taken = new Map();
  for (const [end, agent] of agents) taken.set(end, JSON.parse(await agent.ask("take")));
  return Object.fromEntries(
    LINKS.map(([from, to, , source, side]) => [`${nameOf(from, side)}>${nameOf(to, side)}`, taken.get(to)[source] ?? 0]),
  );
}

const result = {};
result.whole = await arrivals(5);
await network.load(oneWay([1], [2, 3]));
result.oneWay = await arrivals(5);
result.oneWayFelt = await network.takeFelt();
await network.load(cutBetween(["participants"], [3]));
result.participants = await arrivals(5);
await network.heal();
await network.load([...oneWay([2], [3], 30), ...oneWay([3], [1])]);
result.lossy = await arrivals(200);
result.lossyFelt = await network.takeFelt();
await network.heal();
result.healed = await arrivals(5);

await network.load(cutBetween([1], [2]));
result.quietFelt = await network.takeFelt();
await network.heal();

await agents.get(1).ask("connect", addressOf("p", 2));
result.cut = await network.reset(2, 1);
await new Promise((resolve) => setTimeout(resolve, 100));
result.resetErrors = [JSON.parse(await agents.get(1).ask("tcp")).errors, JSON.parse(await agents.get(2).ask("tcp")).errors];
await network.heal();

await network.cable(1, false);
result.unplugged = await arrivals(5);
result.connected = [network.connected(1, 2), network.connected(2, 3), network.connected(1, "clients")];
result.cableFelt = await network.takeFelt();
await network.heal();
result.plugged = await arrivals(5);

for (const agent of agents.values()) agent.close();
console.log(JSON.stringify(result));
