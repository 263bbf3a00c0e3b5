/**
 * The enemy: breaks things at random times in the safety phase, and puts everything right again at its end.
 */
import { type Prng } from "../base/index.js";
import { blockedPairs, type Shape } from "./partition.js";
import type { Cluster, Plan } from "./cluster.js";
import type { SimNode } from "./sim-node.js";

/** A run without any change of leader by these parts of its time gets one by force. */
const FORCED_AT = [0.5, 0.7, 0.85];

export class Nemesis {
  readonly #cluster: Cluster;
  readonly #prng: Prng;
  readonly #plan: Plan;
  /** Nodes to be killed when they next write, so that the write is under way. */
  readonly #doomed = new Set<SimNode>();
  #active = true;
  #partition = 0;

  constructor(cluster: Cluster, plan: Plan) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#prng = cluster.world.fork("nemesis");
  }

  start(): void {
    const { faults, safetyMs } = this.#cluster.swarm;
    this.#plan.failpointChance = faults.failpointChance;
    this.#plan.onDied = (node) => this.#restartLater(node);
    this.#plan.onSubmitted = (node, promise) => {
      if (promise && this.#active && this.#prng.chance(faults.promiseCrashChance)) this.#doomed.add(node);
      this.#writing(node);
    };
    this.#every(faults.crashNode, () => this.#crash(this.#prng.pick(this.#cluster.nodes)));
    this.#every(faults.crashLeader, () => this.#withLeader((leader) => this.#crash(leader)));
    this.#every(faults.pauseNode, () => this.#pause(this.#prng.pick(this.#cluster.nodes)));
    this.#every(faults.pauseLeader, () => this.#withLeader((leader) => this.#pause(leader)));
    this.#every(faults.partition, () => this.#cut(this.#prng.pick(["one", "halves", "ring", "one-way", "bridge", "outsiders"] as const)));
    this.#every(faults.isolateLeader, () => this.#withLeader((leader) => this.#cut("one", leader)));
    this.#every(faults.breakStream, () => this.#breakStream());
    this.#every(faults.slowDisk, () => this.#slowDisk());
    this.#every(faults.clockJump, () => this.#jumpClock());
    this.#every(faults.handOver, () => this.#withLeader((leader) => this.#handOver(leader)));
    this.#every(faults.crashInstance, () => this.#crashInstance());
    this.#every(faults.crashResource, () => this.#crashResource());
    this.#every(faults.killClient, () => this.#cluster.killClient(this.#prng.pick(this.#cluster.clients)));
    this.#every(faults.powerCut, () => this.#powerCut());
    this.#every(faults.rot, () => this.#damage("rot"));
    this.#every(faults.wipe, () => this.#damage("wipe"));
    for (const part of FORCED_AT) this.#cluster.world.at(safetyMs * part, () => this.#force());
  }

  /** Lifts every fault and starts everything that is down. */
  stop(): void {
    this.#active = false;
    this.#plan.failpointChance = 0;
    const { network, nodes, instances, resources, clients, world, links, shared } = this.#cluster;
    world.mark("nemesis", "heal");
    network.setOptions({ ...network.options, loss: 0, duplicate: 0, reorder: 0, silentCrashChance: 0, resetChance: 1 });
    network.setBlocked([]);
    links.hintMsMean = Math.min(links.hintMsMean, 50);
    for (const node of nodes) {
      node.disk.slowness = 1;
      node.disk.options = { ...node.disk.options, stallChance: 0 };
      node.resume();
      node.start();
    }
    for (const resource of resources) resource.restart();
    for (const instance of instances) {
      instance.options = { ...instance.options, refuseChance: 0, failChance: 0, hangChance: 0 };
      // Attaching anew un-pauses branches; where instances stay, an operator has to.
      if (this.#prng.chance(0.5)) instance.crash();
      instance.start();
    }
    for (const client of clients) this.#cluster.startClient(client);
    shared.options = { ...shared.options, dies: 0, reckless: 0 };
  }

  #every(meanMs: number, act: () => void): void {
    if (meanMs === Infinity) return;
    const next = (): void => {
      this.#cluster.world.after(this.#prng.exponential(meanMs), () => {
        if (!this.#active) return;
        act();
        next();
      });
    };
    next();
  }

  #withLeader(act: (leader: SimNode) => void): void {
    const leader = this.#cluster.leader();
    if (leader !== undefined) act(leader);
  }

  #crash(node: SimNode): void {
    if (!node.up) return;
    this.#cluster.world.cover("node-crashed");
    if (this.#prng.chance(0.5)) this.#doomed.add(node);
    else node.crash();
  }

  #powerCut(): void {
    this.#cluster.world.cover("power-cut");
    for (const node of this.#cluster.nodes) node.crash();
  }

  #writing(node: SimNode): void {
    if (!this.#doomed.delete(node) || !this.#active) return;
    const { syncMsMin, syncMsMean } = this.#cluster.swarm.disk;
    const { life } = node;
    this.#cluster.world.after(this.#prng.float() * (syncMsMin + syncMsMean) * node.disk.slowness, () => {
      if (node.life === life) node.crash();
    });
  }

  #restartLater(node: SimNode): void {
    this.#cluster.world.after(5 + this.#prng.exponential(this.#cluster.swarm.faults.downMsMean), () => node.start());
  }

  #pause(node: SimNode): void {
    if (!node.up || node.paused) return;
    this.#cluster.world.cover("node-paused");
    node.pause();
    const { life } = node;
    this.#cluster.world.after(this.#prng.exponential(this.#cluster.swarm.faults.pauseMsMean), () => {
      if (node.life === life) node.resume();
    });
  }

  #cut(shape: Shape, victim?: SimNode): void {
    const { world, network, nodes, clients, instances } = this.#cluster;
    const outsiders = [...clients, ...instances].map(({ host }) => host);
    const hosts = nodes.map(({ host }) => host);
    const pairs = blockedPairs(this.#prng, shape, hosts, outsiders, victim?.host);
    world.cover(`partition ${shape}`);
    world.mark("nemesis", `partition ${shape}`, () => pairs.map(([from, to]) => `${from}>${to}`).join(" "));
    network.setBlocked(pairs);
    const mine = ++this.#partition;
    world.after(this.#prng.exponential(this.#cluster.swarm.faults.partitionMsMean), () => {
      if (mine !== this.#partition || !this.#active) return;
      world.mark("nemesis", "partition ends");
      network.setBlocked([]);
    });
  }

  #breakStream(): void {
    const hosts = new Set(this.#cluster.nodes.map(({ host }) => host));
    const peersOnly = this.#prng.chance(0.4);
    const broken = this.#cluster.network.breakRandom((stream) => !peersOnly || (hosts.has(stream.hosts[0]) && hosts.has(stream.hosts[1])));
    if (broken) this.#cluster.world.cover("stream-broken");
  }

  #slowDisk(): void {
    const node = this.#prng.pick(this.#cluster.nodes);
    node.disk.slowness = this.#prng.int(5, 60);
    this.#cluster.world.cover("slow-disk");
    this.#cluster.world.after(this.#prng.exponential(3000), () => {
      node.disk.slowness = 1;
    });
  }

  #jumpClock(): void {
    const node = this.#prng.pick(this.#cluster.nodes);
    const far = Math.pow(1.5, this.#prng.int(6, 28));
    node.wallOffsetMs = this.#prng.chance(0.3) ? 0 : this.#prng.chance(0.5) ? far : -far;
    this.#cluster.world.cover("clock-jump");
    this.#cluster.world.mark(node.name, "clock", () => `${node.wallOffsetMs} ms`);
  }

  #handOver(leader: SimNode): void {
    const others = this.#cluster.nodes.filter((node) => node !== leader);
    const to = this.#prng.chance(0.5) ? this.#prng.pick(others).id : undefined;
    this.#cluster.world.cover("hand-over-asked");
    leader.deliver((replica) => replica.transfer(to));
  }

  #crashInstance(): void {
    const instance = this.#prng.pick(this.#cluster.instances);
    if (!instance.up) return;
    this.#cluster.world.cover("instance-crashed");
    instance.crash();
    this.#cluster.world.after(this.#prng.exponential(this.#cluster.swarm.faults.downMsMean), () => instance.start());
  }

  #crashResource(): void {
    const resource = this.#prng.pick(this.#cluster.resources);
    if (!resource.up) return;
    this.#cluster.world.cover("resource-crashed");
    resource.crash();
    this.#cluster.world.after(this.#prng.exponential(this.#cluster.swarm.faults.downMsMean), () => resource.restart());
  }

  /**
   * Destroys durable state of one node. As many nodes as a quorum can spare may be damaged at once, so that every committed record
   * keeps an intact copy among those whose vote counts.
   */
  #damage(how: "rot" | "wipe"): void {
    const { nodes, world, oracle } = this.#cluster;
    const damaged = nodes.filter((node) => node.disk.damage !== undefined).length;
    if (damaged + 1 > Math.floor((nodes.length - 1) / 2)) return;
    const node = this.#prng.pick(nodes);
    if (node.disk.damage !== undefined) return;
    if (how === "rot" && node.up && this.#prng.chance(0.25)) {
      // Found by reading while running: nothing it has written is trusted any more.
      oracle.damaged(node);
      world.cover("damage found-running");
      node.deliver((replica) => replica.input({ kind: "damaged" }));
      return;
    }
    node.crash();
    if (how === "wipe") node.disk.wipe();
    else if (!node.disk.rot()) return;
    oracle.damaged(node);
    world.cover(`damage ${how}`);
    world.mark(node.name, `damage ${how}`);
  }

  /** Every run sees at least one change of leader. */
  #force(): void {
    if (!this.#active || this.#cluster.oracle.serving.size > 1) return;
    this.#withLeader((leader) => {
      const kind = this.#prng.int(0, 3);
      this.#cluster.world.cover("forced-leader-change");
      if (kind === 0) this.#pause(leader);
      else if (kind === 1) this.#cut("one", leader);
      else if (kind === 2) this.#handOver(leader);
      else this.#crash(leader);
    });
  }
}
