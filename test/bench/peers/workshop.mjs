/**
 * Where a comparison's processes and data live: everything started here is stopped by its id, everything written is removed, at the end,
 * on Ctrl-C and when this process dies.
 */
import { fork, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { Unavailable } from "./packages.mjs";

export const HOST = "127.0.0.1";
const TMPFS_MAGIC = 0x01021994;
const RAMFS_MAGIC = 0x858458f6;
const STOP_PATIENCE_MS = 10_000;
/** Below the range from which Linux takes the ports of outgoing connections. */
const PORTS = { from: 20_000, to: 32_000 };

export class Workshop {
  dir;
  /** Ctrl-C came: what fails now fails because everything is being stopped. */
  interrupted = false;
  #children = new Set();
  #onSignal = (signal) => void this.#interrupted(signal);
  #onExit = () => this.#sweep();

  /** Throws Unavailable when a sync would sync nothing here, or a killed parent would leave servers behind. */
  constructor() {
    const type = statfsSync(tmpdir()).type;
    if (type === TMPFS_MAGIC || type === RAMFS_MAGIC)
      throw new Unavailable(`${tmpdir()} is memory, where fsync costs nothing: set TMPDIR to a folder on a disk`);
    if (spawnSync("setpriv", ["--version"]).status !== 0) throw new Unavailable("setpriv (package util-linux) is missing");
    this.dir = mkdtempSync(join(tmpdir(), "quorate-peers-"));
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, this.#onSignal);
    process.once("exit", this.#onExit);
  }

  folder(...names) {
    const path = join(this.dir, ...names);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** A server with its output in `log`; killed by the kernel when this process dies. Its own group: Ctrl-C reaches it through us. */
  server(program, args, { log, cwd }) {
    const out = openSync(log, "a");
    const child = spawn("setpriv", ["--pdeathsig", "KILL", program, ...args], { cwd, stdio: ["ignore", out, out], detached: true });
    closeSync(out);
    return this.#keep(child);
  }

  /** A driver process with a channel; it ends when the channel does. */
  driver(module, args) {
    return this.#keep(fork(module, args, { stdio: ["ignore", "inherit", "inherit", "ipc"], serialization: "advanced", detached: true }));
  }

  /** A program that cleans up after itself on SIGINT. Resolves to `{ status, out }`; its standard error is passed on. */
  async program(program, args) {
    const child = this.#keep(spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], detached: true }));
    child.politely = "SIGINT";
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (out += text));
    const status = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { status, out };
  }

  /** Sends the signal and waits until the process is gone. Anything but SIGKILL is followed by it after a while. */
  async stop(child, signal = "SIGTERM") {
    if (!this.#children.has(child)) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_PATIENCE_MS);
    await gone;
    clearTimeout(timer);
  }

  remove(path) {
    rmSync(path, { recursive: true, force: true });
  }

  async close() {
    await Promise.all([...this.#children].map((child) => this.stop(child, child.politely ?? "SIGKILL")));
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeListener(signal, this.#onSignal);
    process.removeListener("exit", this.#onExit);
    this.remove(this.dir);
  }

  #keep(child) {
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    child.once("error", () => this.#children.delete(child));
    return child;
  }

  async #interrupted(signal) {
    this.interrupted = true;
    console.error(`${signal}: stopping what was started`);
    await this.close();
    process.exit(128 + constants.signals[signal]);
  }

  #sweep() {
    for (const child of this.#children) child.kill("SIGKILL");
    this.remove(this.dir);
  }
}

/** This many neighbouring ports of the loopback address, all free a moment ago. */
export async function freePorts(count) {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from - count));
    const ports = Array.from({ length: count }, (_, i) => first + i);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return ports;
  }
  throw new Error(`found no ${count} free ports in a row between ${PORTS.from} and ${PORTS.to}`);
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Asks until the answer is not undefined. `servers` that end meanwhile end the waiting: their log is the reason. */
export async function waitFor(what, ask, { timeoutMs, everyMs = 50, servers = [] }) {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    const dead = servers.find(({ child }) => child.exitCode !== null || child.signalCode !== null);
    if (dead !== undefined) throw new Error(`${what}: ${dead.name} ended:\n${tail(dead.log)}`);
    if (performance.now() > untilMs)
      throw new Error(`${what}: not within ${timeoutMs} ms\n${servers.map(({ log }) => tail(log)).join("\n")}`);
    await sleep(everyMs);
  }
}

export function tail(path) {
  return readFileSync(path, "utf8").slice(-1500);
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
