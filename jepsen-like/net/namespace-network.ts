/**
 * The network of a cluster under test as real hosts: a network namespace for each node, and a switch between them whose bridge drops
 * what it is told to. Needs a process of its own in a sandbox (sandbox.ts): everything made here ends with the last process in it.
 *
 * A fault is verified by the switch's own counters. Each direction that is cut is probed with packets from inside the sender's namespace:
 * all of them must have been dropped, and nothing may have passed. And of what the hosts themselves sent something must have been lost.
 */
import { must, QuorateError } from "../../src/base/index.js";
import { nodeId, type NodeId } from "../../src/index.js";
import {
  addressOf,
  CHAIN,
  countersOf,
  inside,
  namespaceOf,
  nodeWiring,
  portOf,
  PORTS,
  ruleset,
  segmentsOf,
  switchWiring,
  TABLE,
  wiring,
} from "./namespace-layout.js";
import {
  describeGrudge,
  grudgesBetween,
  type End,
  type Felt,
  type Grudge,
  type Network,
  type NetworkAbility,
  type NodeSite,
  type Outside,
} from "./network.js";
import { runCommand } from "./run-command.js";

/** Of each direction that is cut; nobody listens there, and nobody needs to. */
const PROBES = 3;
const PROBE_PORT = 9;
const LINK_UP_MS_MAX = 5_000;
const LINK_UP_POLL_MS = 20;

export class NamespaceNetwork implements Network {
  readonly kind = "namespaces";
  readonly abilities: ReadonlySet<NetworkAbility> = new Set<NetworkAbility>(["cable"]);
  readonly sites: readonly NodeSite[];
  readonly servicesHost = addressOf("b", "harness");
  readonly #run: string;
  readonly #nodes: readonly NodeId[];
  #grudges: readonly Grudge[] = [];
  readonly #unplugged = new Set<NodeId>();
  /** Faults that were lifted or replaced since `takeFelt`, and connections that were cut. */
  #before: Felt[] = [];

  private constructor(run: string, nodes: readonly NodeId[]) {
    this.#run = run;
    this.#nodes = nodes;
    this.sites = nodes.map((node) => ({
      clientAddress: `${addressOf("c", node)}:${PORTS.client}`,
      peerAddress: `${addressOf("p", node)}:${PORTS.peer}`,
      adminAddress: `${addressOf("a", node)}:${PORTS.admin}`,
      launch: inside(namespaceOf(run, node)),
    }));
  }

  /** `run` is part of every name. Throws a QuorateError with the program's own words when something cannot be made. */
  static async create(run: string, nodeCount: number): Promise<NamespaceNetwork> {
    const nodes = Array.from({ length: nodeCount }, (_, i) => nodeId(i + 1));
    const network = new NamespaceNetwork(run, nodes);
    await runCommand(["ip", "-batch", "-"], wiring(run, nodes));
    await network.#atSwitch(["ip", "-batch", "-"], switchWiring(nodes));
    await Promise.all(nodes.map((node) => runCommand([...network.#at(node), "ip", "-batch", "-"], nodeWiring(node, nodes))));
    await network.load([]);
    await Promise.all(nodes.map((node) => network.#linkUp(node)));
    return network;
  }

  nodeArgs(): readonly string[] {
    const members = this.#nodes.map((node, i) => `${node}=${this.#site(i).peerAddress}/${this.#site(i).clientAddress}`).join(",");
    // Clients and participants come in by different cards.
    return ["--members", members, "--client-listen", `0.0.0.0:${PORTS.client}`];
  }

  routes(side: Outside): Readonly<Record<string, string>> {
    if (side === "clients") return {};
    return Object.fromEntries(this.#nodes.map((node, i) => [this.#site(i).clientAddress, `${addressOf("b", node)}:${PORTS.client}`]));
  }

  async load(grudges: readonly Grudge[]): Promise<void> {
    await this.#collect();
    this.#grudges = grudges;
    await this.#atSwitch(["nft", "-f", "-"], ruleset(grudges));
  }

  async heal(): Promise<void> {
    for (const node of [...this.#unplugged]) await this.cable(node, true);
    this.#grudges = [];
    await this.#atSwitch(["nft", "-f", "-"], ruleset([]));
    this.#before = [];
  }

  connected(a: End, b: End): boolean {
    const unplugged = (end: End): boolean => typeof end === "number" && this.#unplugged.has(end);
    if (typeof a === "number" && typeof b === "number" && (unplugged(a) || unplugged(b))) return false;
    return !grudgesBetween(this.#grudges, a, b);
  }

  /** The kernel destroys the sockets of one end, and a RST tells the other. */
  async reset(a: End, b: End): Promise<number> {
    const [here, there] = typeof a === "number" ? [a, b] : [b, a];
    if (typeof here !== "number") throw new RangeError("a link has a node at one end at least");
    let cut = 0;
    for (const segment of segmentsOf(here, there)) {
      const remote = addressOf(segment, typeof there === "number" ? there : "harness");
      const killed = await runCommand([...this.#at(here), "ss", "--kill", "--no-header", "--tcp", "--numeric", "dst", remote]);
      cut += killed.split("\n").filter((line) => line.trim() !== "").length;
    }
    this.#before.push({ felt: true, facts: { dropped: cut, passed: 0, unfelt: [] } });
    return cut;
  }

  delay(): void {
    throw new RangeError("namespaces cannot delay packets: not every kernel has netem");
  }

  async cable(node: NodeId, plugged: boolean): Promise<void> {
    const before = await this.#carrier(node);
    await this.#atSwitch(["ip", "link", "set", portOf("p", node), plugged ? "up" : "down"]);
    if (plugged) {
      await this.#linkUp(node);
      this.#unplugged.delete(node);
    } else {
      this.#unplugged.add(node);
      const felt = before && !(await this.#carrier(node));
      this.#before.push({ felt, facts: { dropped: felt ? 1 : 0, passed: 0, unfelt: felt ? [] : [`cable of n${node}`] } });
    }
  }

  async takeFelt(): Promise<Felt> {
    await this.#collect();
    // What is still broken goes on counting from nought.
    await this.#atSwitch(["nft", "-f", "-"], ruleset(this.#grudges));
    const all = this.#before;
    this.#before = [];
    const dropped = all.reduce((sum, { facts }) => sum + facts.dropped, 0);
    return {
      felt: dropped > 0 && all.every(({ felt }) => felt),
      facts: {
        dropped,
        passed: all.reduce((sum, { facts }) => sum + facts.passed, 0),
        unfelt: all.flatMap(({ facts }) => facts.unfelt),
      },
    };
  }

  /** Everything here ends with the sandbox. */
  async close(): Promise<void> {
    await this.heal();
  }

  /** Probes what is cut, and notes what the present grudges did. */
  async #collect(): Promise<void> {
    const grudges = this.#grudges;
    if (grudges.length === 0) return;
    await this.#probe(grudges.filter(({ lossPercent }) => lossPercent >= 100));
    const counted = countersOf(await this.#atSwitch(["nft", "-j", "list", "chain", "bridge", TABLE, CHAIN]), grudges.length);
    const unfelt: string[] = [];
    let [dropped, passed] = [0, 0];
    grudges.forEach((grudge, i) => {
      const one = must(counted[i], "counters of a grudge");
      const probes = grudge.lossPercent < 100 ? 0 : PROBES;
      if (probes > 0 && (one.dropped < probes || one.passed > 0)) unfelt.push(describeGrudge(grudge));
      dropped += Math.max(0, one.dropped - probes);
      passed += one.passed;
    });
    // A link may be quiet, or lose nothing by chance; all of them together may not.
    if (unfelt.length === 0 && dropped === 0) unfelt.push(`nothing was lost, ${passed} packets passed`);
    this.#before.push({ felt: unfelt.length === 0, facts: { dropped, passed, unfelt } });
  }

  /** bash, because it can send a datagram by itself. */
  async #probe(cuts: readonly Grudge[]): Promise<void> {
    const byOrigin = new Map<End, string[]>();
    for (const { from, to } of cuts) {
      const segment = must(segmentsOf(from, to)[0], "the segment of a link");
      const address = addressOf(segment, typeof to === "number" ? to : "harness");
      byOrigin.set(from, [...(byOrigin.get(from) ?? []), address]);
    }
    const script = `for a in "$@"; do for i in $(seq ${PROBES}); do echo probe >/dev/udp/$a/${PROBE_PORT}; done; done 2>/dev/null; true`;
    await Promise.all(
      [...byOrigin].map(([from, addresses]) =>
        runCommand([...(typeof from === "number" ? this.#at(from) : []), "bash", "-c", script, "probe", ...addresses]),
      ),
    );
  }

  /** The bridge takes a port into use only when the kernel has noticed its link, which may take it a second. */
  async #linkUp(node: NodeId): Promise<void> {
    const deadline = performance.now() + LINK_UP_MS_MAX;
    for (;;) {
      const [port] = JSON.parse(await this.#atSwitch(["ip", "-json", "link", "show", "dev", portOf("p", node)])) as {
        readonly operstate: string;
      }[];
      if (port?.operstate === "UP" && (await this.#carrier(node))) return;
      if (performance.now() > deadline) throw new QuorateError("QUORATE_INTERNAL", `the cable of n${node} does not come up`);
      await new Promise((resolve) => setTimeout(resolve, LINK_UP_POLL_MS));
    }
  }

  async #carrier(node: NodeId): Promise<boolean> {
    const [card] = JSON.parse(await runCommand([...this.#at(node), "ip", "-json", "link", "show", "dev", "quorate-p"])) as {
      readonly flags: readonly string[];
    }[];
    return card?.flags.includes("LOWER_UP") === true;
  }

  #atSwitch(command: readonly string[], input = ""): Promise<string> {
    return runCommand([...inside(namespaceOf(this.#run, "switch")), ...command], input);
  }

  #at(node: NodeId): readonly string[] {
    return inside(namespaceOf(this.#run, node));
  }

  #site(index: number): NodeSite {
    return must(this.sites[index], "the site of a node");
  }
}
