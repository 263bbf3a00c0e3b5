/**
 * The enemy: breaks things at random times in the safety phase, and puts everything right again at its end.
 *
 * Each kind of fault has a generator of its own, and each single fault one of its own again: leaving one out changes neither when the
 * others strike nor what they choose. That is what lets a failing run be reduced.
 */
import type { Prng } from "../base/index.js";
import type { Cluster, Plan } from "./cluster.js";
import { FAULT_KINDS, type FaultKind } from "./faults.js";
import { blockedPairs, swizzledPairs, type Shape } from "./partition.js";
import type { SimNode } from "./sim-node.js";

/** A run without any change of leader by these parts of its time gets one by force. */
const FORCED_AT = [0.5, 0.7, 0.85];
const SHAPES: readonly Shape[] = ["one", "halves", "ring", "one-way", "bridge", "outsiders"];
const SLOW_DISK_MS_MEAN = 3_000;

export class Nemesis {
  readonly #cluster: Cluster;
  readonly #plan: Plan;
  readonly #restarts: Prng;
  readonly #promises: Prng;
  readonly #writes: Prng;
  /** Nodes to be killed when they next write, so that the write is under way. */
  readonly #doomed = new Set<SimNode>();
  /** Every fault that struck, as `kind#number`. */
  readonly struck: string[] = [];
  #active = true;
  #partition = 0;

  constructor(cluster: Cluster, plan: Plan) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#restarts = cluster.world.fork("nemesis/restarts");
    this.#promises = cluster.world.fork("nemesis/promises");
    this.#writes = cluster.world.fork("nemesis/writes");
  }

  start(): void {
    const { faults, safetyMs } = this.#cluster.swarm;
    this.#plan.failpointChance = faults.failpointChance;
    this.#plan.onDied = (node) => this.#restartLater(node);
    this.#plan.onSubmitted = (node, promise) => {
      if (promise && this.#active && this.#promises.chance(faults.promiseCrashChance)) this.#doomed.add(node);
      this.#writing(node);
    };
    for (const kind of FAULT_KINDS) if (kind !== "force-change") this.#every(kind);
    if (faults.everyMs["force-change"] === Infinity) return;
    FORCED_AT.forEach((part, index) => {
      this.#cluster.world.at(safetyMs * part, () => {
        if (this.#active && this.#cluster.oracle.serving.size <= 1) this.#strike("force-change", index + 1);
      });
    });
  }

  /** Lifts every fault and starts everything that is down. */
  stop(): void {
    this.#active = false;
    this.#plan.failpointChance = 0;
    this.#plan.buggify = false;
    const { network, nodes, instances, resources, clients, world, links, shared } = this.#cluster;
    const prng = world.fork("nemesis/heal");
    world.mark("nemesis", "heal");
    network.setOptions({ ...network.options, loss: 0, duplicate: 0, reorder: 0, silentCrashChance: 0, resetChance: 1 });
    network.setBlocked([]);
    links.hintMsMean = Math.min(links.hintMsMean, 50);
    for (const node of nodes) {
      node.disk.slowness = 1;
      node.disk.full = false;
      node.disk.failNextSync = false;
      node.disk.options = { ...node.disk.options, stallChance: 0 };
      node.resume();
      node.start();
    }
    for (const resource of resources) resource.restart();
    for (const instance of instances) {
      instance.options = { ...instance.options, refuseChance: 0, failChance: 0, hangChance: 0 };
      // Attaching anew un-pauses branches; where instances stay, an operator has to.
      if (prng.chance(0.5)) instance.crash();
      instance.start();
    }
    for (const client of clients) this.#cluster.startClient(client);
    shared.options = { ...shared.options, dies: 0, reckless: 0 };
  }

  #every(kind: FaultKind): void {
    const meanMs = this.#cluster.swarm.faults.everyMs[kind];
    if (meanMs === Infinity) return;
    const times = this.#cluster.world.fork(`nemesis/${kind}`);
    let number = 0;
    const next = (): void => {
      this.#cluster.world.after(times.exponential(meanMs), () => {
        if (!this.#active) return;
        number += 1;
        this.#strike(kind, number);
        next();
      });
    };
    next();
  }

  #strike(kind: FaultKind, number: number): void {
    const name = `${kind}#${number}`;
    if (this.#cluster.swarm.without.has(name)) return;
    this.struck.push(name);
    this.#cluster.world.note("nemesis", name);
    this.#act(kind, this.#cluster.world.fork(`nemesis/${name}`));
  }

  #act(kind: FaultKind, prng: Prng): void {
    const { nodes, world, clients } = this.#cluster;
    switch (kind) {
      case "crash-node":
        return this.#crash(prng, prng.pick(nodes));
      case "crash-leader":
        return this.#withLeader((leader) => this.#crash(prng, leader));
      case "pause-node":
        return this.#pause(prng, prng.pick(nodes));
      case "pause-leader":
        return this.#withLeader((leader) => this.#pause(prng, leader));
      case "partition":
        return this.#cut(prng, prng.pick(SHAPES));
      case "isolate-leader":
        return this.#withLeader((leader) => this.#cut(prng, "one", leader));
      case "swizzle":
        return this.#swizzle(prng);
      case "break-stream":
        return this.#breakStream(prng);
      case "slow-disk":
        return this.#slowDisk(prng);
      case "full-disk":
        return this.#fillDisk(prng);
      case "fail-sync":
        return this.#failSync(prng.pick(nodes));
      case "clock-jump":
        return this.#jumpClock(prng);
      case "hand-over":
        return this.#withLeader((leader) => this.#handOver(prng, leader));
      case "crash-instance":
        return this.#crashInstance(prng);
      case "crash-resource":
        return this.#crashResource(prng);
      case "break-session":
        return this.#breakSession(prng);
      case "kill-client":
        return this.#cluster.killClient(prng.pick(clients));
      case "power-cut":
        world.cover("power-cut");
        for (const node of nodes) node.crash();
        return;
      case "rot":
      case "wipe":
        return this.#damage(prng, kind);
      case "force-change":
        return this.#force(prng);
    }
  }

  #withLeader(act: (leader: SimNode) => void): void {
    const leader = this.#cluster.leader();
    if (leader !== undefined) act(leader);
  }

  #crash(prng: Prng, node: SimNode): void {
    if (!node.up) return;
    this.#cluster.world.cover("node-crashed");
    if (prng.chance(0.5)) this.#doomed.add(node);
    else node.crash();
  }

  #writing(node: SimNode): void {
    if (!this.#doomed.delete(node) || !this.#active) return;
    const { syncMsMin, syncMsMean } = this.#cluster.swarm.disk;
    const { life } = node;
    this.#cluster.world.after(this.#writes.float() * (syncMsMin + syncMsMean) * node.disk.slowness, () => {
      if (node.life === life) node.crash();
    });
  }

  #restartLater(node: SimNode): void {
    this.#cluster.world.after(5 + this.#restarts.exponential(this.#cluster.swarm.faults.downMsMean), () => node.start());
  }

  #pause(prng: Prng, node: SimNode): void {
    if (!node.up || node.paused) return;
    this.#cluster.world.cover("node-paused");
    node.pause();
    const { life } = node;
    this.#cluster.world.after(prng.exponential(this.#cluster.swarm.faults.pauseMsMean), () => {
      if (node.life === life) node.resume();
    });
  }

  // ---- the network

  #cut(prng: Prng, shape: Shape, victim?: SimNode): void {
    const { world, network, nodes, clients, instances } = this.#cluster;
    const outsiders = [...clients, ...instances].map(({ host }) => host);
    const hosts = nodes.map(({ host }) => host);
    const pairs = blockedPairs(prng, shape, hosts, outsiders, victim?.host);
    world.cover(`partition ${shape}`);
    world.mark("nemesis", `partition ${shape}`, () => pairs.map(([from, to]) => `${from}>${to}`).join(" "));
    network.setBlocked(pairs);
    const mine = ++this.#partition;
    world.after(prng.exponential(this.#cluster.swarm.faults.partitionMsMean), () => {
      if (mine !== this.#partition || !this.#active) return;
      world.mark("nemesis", "partition ends");
      network.setBlocked([]);
    });
  }

  #swizzle(prng: Prng): void {
    const { world, network, nodes } = this.#cluster;
    const stages = swizzledPairs(
      prng,
      nodes.map(({ host }) => host),
    );
    const stepMs = this.#cluster.swarm.faults.partitionMsMean / stages.length;
    const mine = ++this.#partition;
    let at = 0;
    stages.forEach((pairs, index) => {
      world.after(at, () => {
        if (mine !== this.#partition || !this.#active) return;
        world.mark("nemesis", "swizzle", () => pairs.map(([from, to]) => `${from}>${to}`).join(" "));
        network.setBlocked(pairs);
        if (index === stages.length - 1) world.cover("swizzle-done");
      });
      at += prng.exponential(stepMs * 2);
    });
  }

  #breakStream(prng: Prng): void {
    const hosts = new Set(this.#cluster.nodes.map(({ host }) => host));
    const peersOnly = prng.chance(0.4);
    const broken = this.#cluster.network.breakRandom((stream) => !peersOnly || (hosts.has(stream.hosts[0]) && hosts.has(stream.hosts[1])));
    if (broken) this.#cluster.world.cover("stream-broken");
  }

  // ---- disks and clocks

  #slowDisk(prng: Prng): void {
    const node = prng.pick(this.#cluster.nodes);
    node.disk.slowness = prng.int(5, 60);
    this.#cluster.world.cover("slow-disk");
    this.#cluster.world.after(prng.exponential(SLOW_DISK_MS_MEAN), () => {
      node.disk.slowness = 1;
    });
  }

  /** Every write fails until somebody makes room: the node ends, and ends again after each restart. */
  #fillDisk(prng: Prng): void {
    const node = prng.pick(this.#cluster.nodes);
    node.disk.full = true;
    this.#cluster.world.mark(node.name, "disk full");
    this.#cluster.world.after(prng.exponential(this.#cluster.swarm.faults.fullDiskMsMean), () => {
      node.disk.full = false;
      this.#cluster.world.mark(node.name, "disk has room");
    });
  }

  #failSync(node: SimNode): void {
    node.disk.failNextSync = true;
    this.#cluster.world.mark(node.name, "next sync fails");
  }

  #jumpClock(prng: Prng): void {
    const node = prng.pick(this.#cluster.nodes);
    const far = Math.pow(1.5, prng.int(6, 28));
    node.wallOffsetMs = prng.chance(0.3) ? 0 : prng.chance(0.5) ? far : -far;
    this.#cluster.world.cover("clock-jump");
    this.#cluster.world.mark(node.name, "clock", () => `${node.wallOffsetMs} ms`);
  }

  #handOver(prng: Prng, leader: SimNode): void {
    const others = this.#cluster.nodes.filter((node) => node !== leader);
    const to = prng.chance(0.5) ? prng.pick(others).id : undefined;
    this.#cluster.world.cover("hand-over-asked");
    leader.deliver((replica) => replica.transfer(to));
  }

  /**
   * Destroys durable state of one node. As many nodes as a quorum can spare may be damaged at once, so that every committed record
   * keeps an intact copy among those whose vote counts.
   */
  #damage(prng: Prng, how: "rot" | "wipe"): void {
    const { nodes, world, oracle } = this.#cluster;
    const damaged = nodes.filter(({ disk }) => disk.damaged).length;
    if (damaged + 1 > Math.floor((nodes.length - 1) / 2)) return;
    const node = prng.pick(nodes);
    if (node.disk.damaged) return;
    if (how === "rot" && node.up && prng.chance(0.25)) {
      // Found by reading while running: nothing it has written is trusted any more.
      oracle.damaged(node);
      node.disk.found();
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

  // ---- participants

  #crashInstance(prng: Prng): void {
    const instance = prng.pick(this.#cluster.instances);
    if (!instance.up) return;
    this.#cluster.world.cover("instance-crashed");
    instance.crash();
    this.#cluster.world.after(prng.exponential(this.#cluster.swarm.faults.downMsMean), () => instance.start());
  }

  #crashResource(prng: Prng): void {
    const resource = prng.pick(this.#cluster.resources);
    if (!resource.up) return;
    this.#cluster.world.cover("resource-crashed");
    resource.crash();
    this.#cluster.world.after(prng.exponential(this.#cluster.swarm.faults.downMsMean), () => resource.restart());
  }

  /** A connection between a participant's process and its database. */
  #breakSession(prng: Prng): void {
    if (prng.pick(this.#cluster.resources).breakSession(prng)) this.#cluster.world.cover("session-broken");
  }

  /** Every run sees at least one change of leader. */
  #force(prng: Prng): void {
    this.#withLeader((leader) => {
      const kind = prng.int(0, 3);
      this.#cluster.world.cover("forced-leader-change");
      if (kind === 0) this.#pause(prng, leader);
      else if (kind === 1) this.#cut(prng, "one", leader);
      else if (kind === 2) this.#handOver(prng, leader);
      else this.#crash(prng, leader);
    });
  }
}
