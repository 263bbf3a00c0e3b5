/**
 * Three real servers of a peer system on loopback: started, asked who leads, killed, started again, stopped.
 *
 * A subclass says how one is launched (`launch(i)`) and what it says of itself (`state(i)`).
 */
import { usageOf } from "./machine.mjs";
import { waitFor } from "./workshop.mjs";

export const NODES = 3;
const READY_TIMEOUT_MS = 60_000;

export class Cluster {
  workshop;
  dir;
  /** Where clients connect: { host, port } of each node. */
  endpoints = [];
  #servers = [];

  constructor(workshop, dir) {
    this.workshop = workshop;
    this.dir = dir;
  }

  async start() {
    for (let i = 0; i < NODES; i++) this.launchNode(i);
    await this.ready();
  }

  launchNode(i) {
    const { program, args } = this.launch(i);
    const log = `${this.dir}/node-${i}.log`;
    this.#servers[i] = { name: `${this.constructor.title} ${i}`, child: this.workshop.server(program, args, { log, cwd: this.dir }), log };
  }

  /** Waits until every node serves and one of them leads; returns which. */
  async ready(timeoutMs = READY_TIMEOUT_MS) {
    return waitFor(
      `${this.constructor.title} is ready`,
      async () => {
        const states = await Promise.all(this.#servers.map((_, i) => this.state(i)));
        const leader = states.findIndex((state) => state?.leads === true);
        return leader >= 0 && states.every((state) => state !== undefined) ? leader : undefined;
      },
      { timeoutMs, servers: this.#servers },
    );
  }

  async leader() {
    const states = await Promise.all(this.#servers.map((_, i) => this.state(i)));
    return states.findIndex((state) => state?.leads === true);
  }

  kill(i) {
    return this.workshop.stop(this.#servers[i].child, "SIGKILL");
  }

  get pids() {
    return this.#servers.map(({ child }) => child.pid);
  }

  rssMiB() {
    return this.pids.map((pid) => Math.round(usageOf(pid)?.rssMiB ?? 0));
  }

  async stop() {
    await Promise.all(this.#servers.map(({ child }) => this.workshop.stop(child, "SIGKILL")));
    this.workshop.remove(this.dir);
  }
}
