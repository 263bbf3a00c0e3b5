/**
 * A participant's process as the harness holds it: started, killed, frozen, started again, asked about its store.
 */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { BranchRef } from "../../src/participant/index.js";
import { QuorateError } from "../../src/base/index.js";
import type { HostEvent, HostMessage, HostSpec, Question, Questions } from "./messages.js";

const HOST = fileURLToPath(new URL("host-main.js", import.meta.url));
const ATTACHED_TIMEOUT_MS = 30_000;
const ANSWER_TIMEOUT_MS = 10_000;
/** A frozen process cannot see its parent die; a shell of its own thaws it after this. */
const FROZEN_S_MAX = 15;

export interface HostListener {
  onEvents(events: readonly HostEvent[]): void;
  /** A new process has opened the store: these are prepared and undecided. */
  onFound(inDoubt: readonly BranchRef[], atNs: string): void;
  /** From now on nothing can reach the participant. `why`: nobody had asked for it. */
  onGone(why: string | undefined): void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class ParticipantProcess {
  readonly #spec: HostSpec;
  readonly #logFile: string;
  readonly #listener: HostListener;
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | undefined;
  #next = 1;
  #attached = false;
  #expected = false;
  #onChange: (() => void) | undefined;

  /** Starts nothing yet. */
  constructor(spec: HostSpec, logFile: string, listener: HostListener) {
    this.#spec = spec;
    this.#logFile = logFile;
    this.#listener = listener;
    process.once("exit", () => this.#child?.kill("SIGKILL"));
  }

  get name(): string {
    return this.#spec.name;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The leader of the moment had it when it was started last. */
  get attached(): boolean {
    return this.#attached;
  }

  launch(): void {
    if (this.#child !== undefined) throw new Error(`the process of participant ${this.name} runs`);
    const log = openSync(this.#logFile, "a");
    const child = fork(HOST, [JSON.stringify(this.#spec)], { stdio: ["ignore", log, log, "ipc"], execArgv: [], detached: true });
    closeSync(log);
    this.#child = child;
    this.#expected = false;
    child.on("message", (message) => this.#received(message as HostMessage));
    child.once("exit", (code, signal) => this.#exited(child, code, signal));
    child.on("error", () => undefined);
  }

  /** Resolves when the leader has it. Throws QUORATE_PARTICIPANT_SETUP when that takes longer than 30 s. */
  async ready(): Promise<void> {
    const untilMs = performance.now() + ATTACHED_TIMEOUT_MS;
    while (!this.#attached) {
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0 || this.#child === undefined)
        throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `participant ${this.name} did not attach; its log is ${this.#logFile}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#onChange = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Resolves when the process is gone. */
  async kill9(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#expected = true;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  freeze(): void {
    const pid = this.pid;
    if (pid === undefined) return;
    spawn("sh", ["-c", `sleep ${FROZEN_S_MAX}; kill -CONT ${pid} 2>/dev/null`], { detached: true, stdio: "ignore" }).unref();
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** Asks the store. Rejects with QUORATE_PARTICIPANT when the process is gone or does not answer within 10 s. */
  ask<Q extends Question>(question: Q, ask: Questions[Q]["ask"]): Promise<Questions[Q]["answer"]> {
    return new Promise<unknown>((resolve, reject) => {
      const child = this.#child;
      const failed = (why: string): void =>
        reject(new QuorateError("QUORATE_PARTICIPANT", `participant ${this.name}, asked for ${question}: ${why}`, { retry: "safe" }));
      if (child?.connected !== true) return failed("its process is gone");
      const id = this.#next++;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        failed(`no answer within ${ANSWER_TIMEOUT_MS} ms`);
      }, ANSWER_TIMEOUT_MS);
      this.#waiting.set(id, { resolve, reject: (error) => failed(error.message), timer });
      child.send({ id, question, ask }, (error) => {
        if (error !== null) this.#settle(id, (waiting) => waiting.reject(error));
      });
    }) as Promise<Questions[Q]["answer"]>;
  }

  #received(message: HostMessage): void {
    switch (message.kind) {
      case "found":
        return this.#listener.onFound(message.inDoubt, message.atNs);
      case "attached":
        this.#attached = true;
        return this.#onChange?.();
      case "events":
        return this.#listener.onEvents(message.events);
      case "answer":
        return this.#settle(message.id, (waiting) => waiting.resolve(message.value));
      case "refused":
        return this.#settle(message.id, (waiting) => waiting.reject(new Error(message.message)));
    }
  }

  #settle(id: number, how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    how(waiting);
  }

  #exited(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    this.#attached = false;
    this.#listener.onGone(this.#expected ? undefined : `ended by itself: ${signal ?? `exit status ${code}`}`);
    for (const id of [...this.#waiting.keys()]) this.#settle(id, (waiting) => waiting.reject(new Error("its process ended")));
    this.#onChange?.();
  }
}
