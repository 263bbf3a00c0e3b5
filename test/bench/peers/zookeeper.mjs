/**
 * ZooKeeper: how its servers run here (the configuration of its own example, forceSync on), and how it is written to.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { Cluster, NODES } from "./cluster.mjs";
import { freePorts, HOST } from "./workshop.mjs";
import { ZooKeeperConnection } from "./zookeeper-connection.mjs";
import { ERROR_NODE_EXISTS } from "./zookeeper-codec.mjs";

const ASK_TIMEOUT_MS = 1_000;
/** What zkServer.sh gives a server. */
const HEAP = "-Xmx1000m";
/** As many as Quorate's benchmark writes to. */
const KEYS = 10_000;
/** New nodes go below this many parents: one long list of children would be measured instead. */
const PARENTS = 64;
const PREPARE_OUTSTANDING = 256;

export class ZooKeeperCluster extends Cluster {
  static title = "zookeeper";
  #java;
  #ports;

  static async create(workshop, dir, { zookeeper }) {
    const cluster = new ZooKeeperCluster(workshop, dir);
    cluster.#java = zookeeper;
    cluster.#ports = await freePorts(3 * NODES);
    cluster.endpoints = cluster.#ports.slice(0, NODES).map((port) => ({ host: HOST, port }));
    for (let i = 0; i < NODES; i++) cluster.#configure(i);
    return cluster;
  }

  launch(i) {
    const { java, classpath } = this.#java;
    const logs = ["-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"];
    const main = ["-Dzookeeper.admin.enableServer=false", "-cp", classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain"];
    return { program: java, args: [HEAP, ...logs, ...main, `${this.dir}/n${i}/zoo.cfg`] };
  }

  /** undefined while this node does not serve. */
  async state(i) {
    const text = await fourLetters(this.endpoints[i], "srvr");
    const mode = /^Mode: (\w+)$/m.exec(text)?.[1];
    if (mode !== "leader" && mode !== "follower") return undefined;
    return { leads: mode === "leader", applied: Number(/^Zxid: (0x[0-9a-f]+)$/m.exec(text)?.[1] ?? 0) };
  }

  #configure(i) {
    const data = `${this.dir}/n${i}`;
    mkdirSync(data, { recursive: true });
    const peers = Array.from(
      { length: NODES },
      (_, k) => `server.${k + 1}=${HOST}:${this.#ports[NODES + k]}:${this.#ports[2 * NODES + k]}`,
    );
    const own = [`dataDir=${data}`, `clientPort=${this.#ports[i]}`, `clientPortAddress=${HOST}`];
    writeFileSync(`${data}/myid`, `${i + 1}\n`);
    writeFileSync(`${data}/zoo.cfg`, [`tickTime=2000`, `initLimit=10`, `syncLimit=5`, ...own, ...peers, ""].join("\n"));
  }
}

/** Sends one of ZooKeeper's four letter words; what it says, or nothing. */
function fourLetters({ host, port }, word) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let text = "";
    socket.setEncoding("latin1").setTimeout(ASK_TIMEOUT_MS, () => socket.destroy());
    socket.once("connect", () => socket.write(word));
    socket.on("data", (part) => (text += part));
    socket.once("error", () => undefined);
    socket.once("close", () => resolve(text));
  });
}

/** One session that writes numbered nodes: `write(n, done)` with `done(error)`. */
export class ZooKeeperWriter {
  #connection;
  #value;
  #prefix;
  #creates;

  constructor(endpoint, { kind, prefix, value }, handlers) {
    this.#creates = kind === "txn";
    this.#prefix = prefix;
    this.#value = value;
    this.#connection = new ZooKeeperConnection(endpoint, handlers);
  }

  callback(done) {
    return done;
  }

  write(n, callback) {
    if (this.#creates) this.#connection.create(`/parent-${n % PARENTS}/${this.#prefix}-${n}`, this.#value, callback);
    else this.#connection.setData(`/bench/${n % KEYS}`, this.#value, callback);
  }

  close() {
    this.#connection.close();
  }

  destroy() {
    this.#connection.destroy();
  }

  /** Makes the nodes that a load needs to be there. */
  static async prepare(endpoint, { kind, value }) {
    const parents = kind === "txn" ? Array.from({ length: PARENTS }, (_, i) => `/parent-${i}`) : ["/bench"];
    const nodes = kind === "txn" ? [] : Array.from({ length: KEYS }, (_, i) => `/bench/${i}`);
    await createAll(endpoint, parents, Buffer.alloc(0));
    await createAll(endpoint, nodes, value);
  }
}

function createAll(endpoint, paths, value) {
  if (paths.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    let next = 0;
    let left = paths.length;
    const done = (error) => {
      if (error !== undefined && error !== `error ${ERROR_NODE_EXISTS}`) {
        reject(new Error(`ZooKeeper refused to create what the load needs: ${error}`));
        connection.destroy();
        return;
      }
      left -= 1;
      if (next < paths.length) connection.create(paths[next++], value, done);
      if (left > 0) return;
      resolve();
      connection.close();
    };
    const connection = new ZooKeeperConnection(endpoint, {
      onUp() {
        while (next < Math.min(PREPARE_OUTSTANDING, paths.length)) connection.create(paths[next++], value, done);
      },
      onDown: (reason) => reject(new Error(`ZooKeeper: ${reason}`)),
    });
  });
}
