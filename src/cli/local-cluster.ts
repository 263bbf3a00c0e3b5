/**
 * A cluster of real processes on this machine: what `quorate dev`, the demo and the integration tests stand on.
 *
 * Each node is a child with a pipe on its standard input that nobody writes to: when this process dies, by whatever cause, the pipe
 * closes and the node stops. Children are in process groups of their own, so a terminal's Ctrl-C reaches only this process.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ERROR_CODES, formatNodeId, must, nodeId, QuorateError, type ErrorCode, type NodeId } from "../base/index.js";
import { HOST, type NodePorts } from "./ports.js";

/** bin/quorate.js of the folder this module belongs to, built or not. */
export const PROGRAM = findProgram(import.meta.url);
const POLL_MS = 15;
const PROBE_TIMEOUT_MS = 1000;
const LOG_TAIL_LINES = 5;

export interface LocalClusterOptions {
  readonly clusterId: string;
  /** Holds a folder `n<id>` and a log `n<id>.log` for each node. */
  readonly dir: string;
  /** One entry for each node, node 1 first: ports of this machine, or where and how it runs. */
  readonly ports: readonly (NodePorts | NodeSite)[];
  /** Further options of `quorate start`, for every node. */
  readonly args: readonly string[];
  /** Over this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called whenever a node's process ends. */
  readonly onExit?: (exit: NodeExit) => void;
}

/** A node with addresses of its own. */
export interface NodeSite {
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly adminAddress: string;
  /** Command and arguments that start a program there, and become it; empty: simply start it. */
  readonly launch: readonly string[];
}

export interface NodeExit {
  readonly id: NodeId;
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** This class was asked to end it. */
  readonly expected: boolean;
}

/** What /readyz says. */
export interface Readiness {
  readonly ready: boolean;
  readonly node: number;
  readonly role: string;
  readonly phase: string;
  readonly epoch: number;
  readonly leader: number | null;
  readonly established: boolean;
}

export interface LocalNode extends NodeSite {
  readonly id: NodeId;
  readonly dataDir: string;
  readonly logFile: string;
}

interface Running {
  readonly child: ChildProcess;
  readonly exited: Promise<NodeExit>;
  expected: boolean;
  ended: boolean;
  /** It has served: its end is news, not a failed start. */
  served: boolean;
}

export class LocalCluster {
  readonly nodes: readonly LocalNode[];
  readonly #options: LocalClusterOptions;
  readonly #running = new Map<NodeId, Running>();
  /** No node had data when this was made: their first start, and only that, begins a new cluster. A folder lost later is lost. */
  readonly #isNew: boolean;

  /** Starts nothing yet. */
  constructor(options: LocalClusterOptions) {
    this.#options = options;
    this.nodes = options.ports.map((ports, i) => ({
      id: nodeId(i + 1),
      ...siteOf(ports),
      dataDir: join(options.dir, `n${i + 1}`),
      logFile: join(options.dir, `n${i + 1}.log`),
    }));
    this.#isNew = this.nodes.every((node) => !existsSync(node.dataDir));
    mkdirSync(options.dir, { recursive: true });
  }

  get endpoints(): string {
    return this.nodes.map((node) => node.clientAddress).join(",");
  }

  get members(): string {
    return this.nodes.map((node) => `${node.id}=${node.peerAddress}/${node.clientAddress}`).join(",");
  }

  node(id: number): LocalNode {
    return must(
      this.nodes.find((node) => node.id === id),
      `node ${id} of this cluster`,
    );
  }

  pid(id: number): number | undefined {
    const running = this.#running.get(this.node(id).id);
    return running === undefined || running.ended ? undefined : running.child.pid;
  }

  startAll(): void {
    for (const node of this.nodes) this.start(node.id);
  }

  /** Starts one node, also again after it ended. `extra`: options and variables for this start alone. */
  start(id: number, extra: { readonly args?: readonly string[]; readonly env?: Readonly<Record<string, string>> } = {}): void {
    const node = this.node(id);
    if (this.pid(id) !== undefined) throw new QuorateError("QUORATE_WRONG_STATE", `${formatNodeId(node.id)} is running`);
    const log = openSync(node.logFile, "a");
    const args = [PROGRAM, "start", "--id", String(id), "--cluster-id", this.#options.clusterId, "--data-dir", node.dataDir];
    args.push("--members", this.members, "--admin-listen", node.adminAddress, "--exit-with-parent");
    if (this.#isNew && !this.#running.has(node.id)) args.push("--bootstrap");
    const [program = "", ...before] = [...node.launch, process.execPath];
    const child = spawn(program, [...before, ...args, ...this.#options.args, ...(extra.args ?? [])], {
      stdio: ["pipe", log, log],
      detached: true,
      // Checkpoints, snapshots and the filling of spare segments must not queue in front of the log's sync; libuv's default is four.
      env: { UV_THREADPOOL_SIZE: "8", ...process.env, ...this.#options.env, ...extra.env },
    });
    closeSync(log);
    // Writing to a node that just died must not end this process; nothing is ever written.
    child.stdin?.on("error", () => undefined);
    const running: Running = { child, expected: false, ended: false, served: false, exited: this.#watch(node.id, child) };
    this.#running.set(node.id, running);
  }

  /** Sends a signal; SIGKILL and SIGTERM are then no surprise. */
  signal(id: number, signal: NodeJS.Signals): void {
    const running = this.#running.get(this.node(id).id);
    if (running === undefined || running.ended) return;
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") running.expected = true;
    running.child.kill(signal);
  }

  /** Resolves when the node's process has ended. */
  async exited(id: number): Promise<NodeExit | undefined> {
    return await this.#running.get(this.node(id).id)?.exited;
  }

  /** Asks one node to stop; kills it when it has not within `graceMs`. */
  async stop(id: number, graceMs: number): Promise<void> {
    const running = this.#running.get(this.node(id).id);
    if (running === undefined || running.ended) return;
    this.signal(id, "SIGCONT");
    this.signal(id, "SIGTERM");
    const timer = setTimeout(() => this.signal(id, "SIGKILL"), graceMs);
    await running.exited;
    clearTimeout(timer);
  }

  async stopAll(graceMs: number): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.stop(node.id, graceMs)));
  }

  /** For a process that is about to end: no node survives it. */
  killAll(): void {
    for (const node of this.nodes) this.signal(node.id, "SIGKILL");
  }

  /** What the node's own probe says; undefined when it does not answer. */
  readiness(id: number): Promise<Readiness | undefined> {
    return fetchJson(`http://${this.node(id).adminAddress}/readyz`) as Promise<Readiness | undefined>;
  }

  /**
   * Resolves when a leader is established and each of `ids` (every running node by default) serves. Throws QUORATE_NO_QUORUM after
   * `timeoutMs`, or at once, with what its log says, when a node has ended that was waited for by name or has never served.
   */
  async ready(timeoutMs: number, ids?: readonly number[]): Promise<{ readonly leader: NodeId; readonly epoch: number }> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const wanted = ids ?? this.nodes.filter((node) => this.pid(node.id) !== undefined).map((node) => node.id);
      for (const node of this.nodes) this.#refuseDead(node, ids?.includes(node.id) === true);
      // Those that serve already have other things to do than to be asked, until the last one has come up.
      const late = wanted.filter((id) => this.#running.get(this.node(id).id)?.served !== true);
      const asked = late.length > 0 && late.length < wanted.length && performance.now() < deadline ? late : wanted;
      const answers = await Promise.all(asked.map((id) => this.readiness(id)));
      answers.forEach((answer, i) => {
        const running = this.#running.get(this.node(asked[i] ?? 0).id);
        if (answer?.ready === true && running !== undefined) running.served = true;
      });
      if (asked !== wanted && answers.every((answer) => answer?.ready === true)) continue;
      const leader = answers.find((answer) => answer?.role === "leading" && answer.established);
      if (asked === wanted && leader !== undefined && answers.every((answer) => answer?.ready === true && answer.epoch === leader.epoch))
        return { leader: nodeId(leader.node), epoch: leader.epoch };
      if (performance.now() > deadline) {
        const said = answers.map(
          (answer, i) => `n${asked[i]}: ${answer === undefined ? "no answer" : `${answer.role}, ${answer.phase}, epoch ${answer.epoch}`}`,
        );
        throw new QuorateError("QUORATE_NO_QUORUM", `no leader within ${timeoutMs} ms (${said.join("; ")})`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The last lines a node has logged. */
  logTail(id: number, lines = LOG_TAIL_LINES): string {
    return readFileSync(this.node(id).logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** What a node that ended by itself said last: the error it printed, else the end of its log. */
  lastWords(id: number): { readonly code: ErrorCode; readonly message: string } {
    const tail = this.logTail(id);
    const error = [...tail.matchAll(/^quorate: (.*) \[(QUORATE_[A-Z_]+)\].*$/gm)].at(-1);
    const code = error?.[2];
    return { code: code !== undefined && isErrorCode(code) ? code : "QUORATE_INTERNAL", message: error?.[1] ?? tail };
  }

  #refuseDead(node: LocalNode, wanted: boolean): void {
    const running = this.#running.get(node.id);
    if (running === undefined || !running.ended || running.expected || (running.served && !wanted)) return;
    const { code, message } = this.lastWords(node.id);
    throw new QuorateError(code, `${formatNodeId(node.id)} ended: ${message}`);
  }

  #watch(id: NodeId, child: ChildProcess): Promise<NodeExit> {
    return new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        const running = this.#running.get(id);
        if (running?.child !== child || running.ended) return;
        running.ended = true;
        const exit: NodeExit = { id, pid: child.pid ?? 0, code, signal, expected: running.expected };
        this.#options.onExit?.(exit);
        resolve(exit);
      };
      child.once("exit", end);
      child.once("error", () => end(null, null));
    });
  }
}

function siteOf(ports: NodePorts | NodeSite): NodeSite {
  if ("launch" in ports) return ports;
  const at = (port: number): string => `${HOST}:${port}`;
  return { clientAddress: at(ports.client), peerAddress: at(ports.peer), adminAddress: at(ports.admin), launch: [] };
}

function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}

function findProgram(from: string): string {
  for (let here = new URL(".", from); ; here = new URL("..", here)) {
    const program = fileURLToPath(new URL("bin/quorate.js", here));
    if (existsSync(program)) return program;
    if (here.pathname === "/") throw new QuorateError("QUORATE_INTERNAL", `bin/quorate.js is missing above ${from}`);
  }
}

function fetchJson(url: string): Promise<unknown> {
  return new Promise((resolve) => {
    const request = get(url, { timeout: PROBE_TIMEOUT_MS, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("error", () => resolve(undefined));
      response.on("end", () => {
        try {
          resolve(JSON.parse(body));
        } catch {
          resolve(undefined);
        }
      });
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(undefined));
  });
}
