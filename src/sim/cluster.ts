/**
 * A whole simulated installation: nodes, resources with their instances, clients, and the oracle that watches them.
 */
import { nodeId, type Buggify, type NodeId } from "../base/index.js";
import { bootstrapConfiguration, replicaOptions } from "../config/index.js";
import type { Member } from "../zab/index.js";
import { Client, Recorder } from "./client.js";
import { Disk } from "./disk.js";
import { Links } from "./links.js";
import { Network } from "./network.js";
import { Oracle } from "./oracle.js";
import { Instance } from "./participant.js";
import { Registers } from "./registers.js";
import { KvResource } from "./resource.js";
import type { ResourceManager } from "./resource-manager.js";
import { SimNode } from "./sim-node.js";
import { SqlResource } from "./sql-resource.js";
import { TccResource } from "./tcc-resource.js";
import type { Swarm } from "./swarm.js";
import { spawn } from "./task.js";
import { lane, type Shared } from "./workload.js";
import type { World } from "./world.js";

export interface Cluster {
  readonly world: World;
  readonly swarm: Swarm;
  readonly network: Network;
  readonly nodes: readonly SimNode[];
  /** Everything that takes part in transactions, `services` among it. */
  readonly resources: readonly ResourceManager[];
  /** Those that reserve, confirm and cancel. */
  readonly services: readonly TccResource[];
  readonly instances: readonly Instance[];
  readonly clients: readonly Client[];
  readonly recorder: Recorder;
  readonly shared: Shared;
  readonly oracle: Oracle;
  readonly links: Links;
  /** Starts a client that is down, with its lanes. */
  startClient(client: Client): void;
  killClient(client: Client): void;
  /** The node that serves as leader, as far as it knows itself; the one of the highest epoch if two think so. */
  leader(): SimNode | undefined;
}

/** What the nemesis decides while the run goes on. */
export interface Plan {
  /** Chance that a process dies at a failpoint it passes. */
  failpointChance: number;
  /** Rare branches may be taken. */
  buggify: boolean;
  /** A node's process is gone, for whatever reason. */
  onDied: (node: SimNode) => void;
  /** A node gave its disk something to write. */
  onSubmitted: (node: SimNode, promise: boolean) => void;
}

export function buildCluster(world: World, swarm: Swarm, plan: Plan): Cluster {
  const network = new Network(world, swarm.network);
  const failpoints = world.fork("failpoints");
  const rare = rareBranches(world, swarm, plan);
  const nodes = new Map<NodeId, SimNode>();
  const shared: Shared = {
    resources: [],
    services: [],
    attachments: new Map(),
    recent: [],
    registers: new Registers(swarm.registers),
    aborted: new Set(),
    commitAsked: new Map(),
    votedNo: new Set(),
    options: swarm.workload,
    stopped: false,
    committed: 0,
  };
  const oracle = new Oracle(
    world,
    { clientLostMs: swarm.tunables.clientLostMs, turnMs: swarm.turnMs },
    () => [...nodes.values()],
    shared,
    () => plan.failpointChance > 0 && failpoints.chance(plan.failpointChance),
    rare,
    plan,
  );
  const members = Array.from({ length: swarm.nodes }, (_, index): Member => {
    const id = nodeId(index + 1);
    return { id, peerAddress: `n${id}:7500`, clientAddress: `n${id}:7400`, role: "voter" };
  });
  const configuration = bootstrapConfiguration(members);
  for (const { id } of members) {
    const disk = new Disk(world, `n${id}`, configuration, swarm.disk, oracle);
    const options = {
      replica: replicaOptions(id, "sim", { ...swarm.tunables, delegation: swarm.delegation }),
      turnMs: swarm.turnMs,
      encodeStreams: swarm.client.encodeStreams,
      tinyFrames: swarm.tinyFrames,
      snapshotMsMean: swarm.snapshotMsMean,
      snapshotFailChance: swarm.snapshotFailChance,
    };
    nodes.set(id, new SimNode(world, network, id, disk, nodes, options, oracle));
  }
  const nodeList = [...nodes.values()];
  const accounts = Array.from({ length: swarm.accounts }, (_, index) => `a${index + 1}`);
  const locking = swarm.resources.map((kind, index): ResourceManager => {
    const name = `p${index + 1}`;
    return kind === "kv" ? new KvResource(world, name, accounts, oracle) : new SqlResource(world, name, accounts, swarm.sql, oracle);
  });
  const services = Array.from(
    { length: swarm.tcc.services },
    (_, index) => new TccResource(world, `s${index + 1}`, accounts, swarm.tcc, oracle, oracle.tcc),
  );
  const resources = [...locking, ...services];
  Object.assign(shared, { resources: locking, services });
  const instances = resources.flatMap((resource) =>
    Array.from(
      { length: swarm.instances },
      (_, index) => new Instance(world, network, `${resource.name}.${index + 1}`, resource, nodeList, swarm.participant, oracle.tcc),
    ),
  );
  const recorder = new Recorder(world);
  const clientPrng = world.fork("clients");
  const clients = Array.from({ length: swarm.clients }, (_, index) => {
    // One client in some runs has a clock that is wrong by seconds: its gids are too old, or from the future.
    const skewMs = index === 0 && clientPrng.chance(0.25) ? clientPrng.int(-8000, 8000) : clientPrng.int(-50, 50);
    return new Client(world, network, `c${index + 1}`, nodeList, recorder, { ...swarm.client, skewMs }, oracle);
  });
  const links = new Links(world, network, nodeList, swarm.linkHintMsMean);
  const cluster: Cluster = {
    world,
    swarm,
    network,
    nodes: nodeList,
    resources,
    services,
    instances,
    clients,
    recorder,
    shared,
    oracle,
    links,
    startClient(client) {
      if (client.up) return;
      client.start();
      const { life } = client;
      for (let i = 0; i < swarm.lanes; i++) {
        spawn(
          world,
          () => client.alive(life),
          lane(client, shared, () => cluster.killClient(client)),
        );
      }
    },
    killClient(client) {
      if (!client.up) return;
      const owner = client.id;
      client.crash();
      world.cover("client-killed");
      const prng = world.fork(`kill/${owner}`);
      world.after(prng.float() * 50, () => {
        for (const resource of resources) resource.ownerGone(owner);
      });
      world.after(50 + prng.exponential(swarm.faults.downMsMean), () => cluster.startClient(client));
    },
    leader() {
      let best: { readonly node: SimNode; readonly epoch: number } | undefined;
      for (const node of nodeList) {
        const role = node.replica?.view();
        if (role?.role === "leading" && role.established && (best === undefined || role.epoch > best.epoch))
          best = { node, epoch: role.epoch };
      }
      return best?.node;
    },
  };
  return cluster;
}

/** Decides at each point of the product's code that is passed whether its rare branch is taken. */
function rareBranches(world: World, swarm: Swarm, plan: Plan): Buggify {
  const prng = world.fork("buggify");
  return (point) => {
    const chance = swarm.buggify[point];
    if (chance === 0 || !plan.buggify || !prng.chance(chance)) return false;
    world.cover(`rare ${point}`);
    return true;
  };
}

export function startCluster(cluster: Cluster): void {
  const prng = cluster.world.fork("start");
  for (const node of cluster.nodes) cluster.world.after(prng.exponential(20), () => node.start());
  for (const instance of cluster.instances) cluster.world.after(prng.exponential(30), () => instance.start());
  for (const client of cluster.clients) cluster.world.after(prng.exponential(50), () => cluster.startClient(client));
}
