/**
 * etcd: how its servers run here (its defaults), and how it is written to.
 */
import { Cluster, NODES } from "./cluster.mjs";
import { createRequest, putRequest, readStatus, readWritten } from "./etcd-codec.mjs";
import { GrpcConnection } from "./grpc-connection.mjs";
import { freePorts, HOST } from "./workshop.mjs";

const PUT = "/etcdserverpb.KV/Put";
const TXN = "/etcdserverpb.KV/Txn";
const STATUS = "/etcdserverpb.Maintenance/Status";
const ASK_TIMEOUT_MS = 1_000;
/** As many as Quorate's benchmark writes to. */
const KEYS = 10_000;
const DIGITS = 10;

export class EtcdCluster extends Cluster {
  static title = "etcd";
  #program;
  #ports;

  static async create(workshop, dir, { etcd }) {
    const cluster = new EtcdCluster(workshop, dir);
    cluster.#program = etcd;
    cluster.#ports = await freePorts(2 * NODES);
    cluster.endpoints = cluster.#ports.slice(0, NODES).map((port) => ({ host: HOST, port }));
    return cluster;
  }

  launch(i) {
    const peer = (k) => `http://${HOST}:${this.#ports[NODES + k]}`;
    const client = `http://${HOST}:${this.#ports[i]}`;
    const all = Array.from({ length: NODES }, (_, k) => `n${k}=${peer(k)}`).join(",");
    const args = ["--name", `n${i}`, "--data-dir", `${this.dir}/n${i}`, "--initial-cluster", all, "--initial-cluster-state", "new"];
    args.push("--listen-client-urls", client, "--advertise-client-urls", client);
    args.push("--listen-peer-urls", peer(i), "--initial-advertise-peer-urls", peer(i), "--initial-cluster-token", "quorate-bench");
    return { program: this.#program, args };
  }

  /** undefined while this node does not serve. */
  async state(i) {
    const status = await askOnce(this.endpoints[i], STATUS);
    if (status === undefined || /^0+$/.test(status.leader)) return undefined;
    return { leads: status.leader === status.member, applied: status.appliedIndex };
  }
}

function askOnce(endpoint, path) {
  return new Promise((resolve) => {
    const finish = (status) => {
      clearTimeout(timer);
      resolve(status);
      connection.destroy();
    };
    const timer = setTimeout(finish, ASK_TIMEOUT_MS);
    const connection = new GrpcConnection(endpoint, path, {
      onUp: () =>
        connection.call(Buffer.alloc(0), (error, buffer, at, end) =>
          finish(error === undefined ? readStatus(buffer.subarray(at, end)) : undefined),
        ),
      onDown: () => finish(undefined),
    });
  });
}

/** One connection that writes numbered keys: `write(n, done)` with `done(error)`. */
export class EtcdWriter {
  #connection;
  #request;
  #creates;

  constructor(endpoint, { kind, prefix, value }, handlers) {
    this.#creates = kind === "txn";
    this.#request = numbered(this.#creates ? createRequest : putRequest, prefix, value);
    this.#connection = new GrpcConnection(endpoint, this.#creates ? TXN : PUT, handlers);
  }

  /** What an answer's callback must be: made once for each slot, not for each write. */
  callback(done) {
    return (error, buffer, at, end) => {
      if (error !== undefined) return done(error);
      const { revision, succeeded } = readWritten(buffer, at, end);
      return done(revision === 0 ? "no revision" : this.#creates && !succeeded ? "exists" : undefined);
    };
  }

  write(n, callback) {
    this.#connection.call(this.#request(this.#creates ? n : n % KEYS), callback);
  }

  close() {
    this.#connection.close();
  }

  destroy() {
    this.#connection.destroy();
  }

  /** etcd needs nothing before its keys. */
  static prepare() {
    return Promise.resolve();
  }
}

/** Encodes once; later only the digits of the key change, wherever it stands. */
function numbered(encode, prefix, value) {
  const key = (n) => `${prefix}/${String(n).padStart(DIGITS, "0")}`;
  const template = encode(key(0), value);
  const places = [];
  for (let at = template.indexOf(key(0)); at >= 0; at = template.indexOf(key(0), at + 1)) places.push(at + prefix.length + 1);
  return (n) => {
    const digits = String(n).padStart(DIGITS, "0");
    for (const place of places) template.write(digits, place, "latin1");
    return template;
  };
}
