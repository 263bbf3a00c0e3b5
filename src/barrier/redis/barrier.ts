/**
 * The barrier in Redis.
 *
 * The marks are read, the function makes its commands, and one script does both or neither, if the marks are still what they were. So
 * the function must do nothing itself: what it makes may be thrown away, and be made again.
 */
import { gidTimeMs, messageOf, QuorateError, type Gid } from "../../base/index.js";
import {
  BarrierHazard,
  checkCall,
  checkFloor,
  checkScope,
  couldNotTell,
  type Barrier,
  type BarrierCall,
  type BarrierResult,
  type BarrierScope,
} from "../contract.js";
import { marksBelow } from "../keys.js";
import { decide, EXPIRED, isNewWork, stepOf, type Marks, type Step } from "../rules.js";
import { checkRedis } from "./check.js";
import { senderOf, type RedisClient, type RedisReply, type Send } from "./client.js";
import { commitCommand, FORGET_SCRIPT, workProblem, type CommitArguments, type RedisWork } from "./script.js";

export interface RedisBarrierOptions {
  /** What the names of the barrier's keys begin with. Default "quorate:barrier:". */
  readonly prefix?: string;
  /** false: the first call does not look at the server's durability settings (where CONFIG is not allowed), and nobody does. */
  readonly check?: boolean;
}

/** A function gets a way to read, outside of any transaction, and returns the commands or the Lua body that do its work. */
export interface RedisBarrier extends Barrier<Send, RedisWork, RedisReply> {
  /** `done` carries the list of the commands' replies, or what the Lua body returned. */
  call(call: BarrierCall, fn: (read: Send) => Promise<RedisWork> | RedisWork): Promise<BarrierResult<RedisReply>>;
  /** Throws QUORATE_PARTICIPANT_SETUP naming the setting when the server would lose what it answered. */
  check(): Promise<void>;
  /** See SqlBarrier.forgetBelow. */
  forgetBelow(floorMs: number, scope: BarrierScope): Promise<void>;
}

/** Makes a barrier of a connected client, which is never closed here. Throws QUORATE_INVALID_ARGUMENT on a bad option. */
export function redisBarrier(client: RedisClient, options: RedisBarrierOptions = {}): RedisBarrier {
  return new ServerBarrier(senderOf(client), options);
}

/** Each round was overtaken by another call of the same branch, of which there are few. */
const ROUNDS_MAX = 20;
const DROP_SLICE = 500;

interface Seen {
  readonly marks: Marks;
  readonly broken: string | undefined;
  readonly epoch: number;
  readonly floorMs: number;
  /** As they were read, for the script to compare. */
  readonly texts: readonly string[];
}

class ServerBarrier implements RedisBarrier {
  readonly #send: Send;
  readonly #prefix: string;
  #checked: Promise<void> | undefined;

  constructor(send: Send, options: RedisBarrierOptions) {
    const { prefix = "quorate:barrier:", check = true } = options;
    if (typeof prefix !== "string" || prefix === "")
      throw new QuorateError("QUORATE_INVALID_ARGUMENT", "barrier.redis: prefix must be a text that is not empty");
    this.#send = send;
    this.#prefix = prefix;
    if (!check) this.#checked = Promise.resolve();
  }

  async call(call: BarrierCall, fn: (read: Send) => Promise<RedisWork> | RedisWork): Promise<BarrierResult<RedisReply>> {
    checkCall(call);
    await (this.#checked ??= this.#firstCheck());
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const result = await this.#round(call, fn);
      if (result !== undefined) return result;
    }
    throw couldNotTell(call, `${ROUNDS_MAX} times another call of this branch was faster`);
  }

  check(): Promise<void> {
    return checkRedis(this.#send);
  }

  async forgetBelow(floorMs: number, scope: BarrierScope): Promise<void> {
    checkFloor(floorMs);
    checkScope(scope);
    const keys = [this.#stateKey(scope), this.#indexKey(scope)];
    try {
      while (Number(await this.#send(["EVAL", FORGET_SCRIPT, "2", ...keys, String(floorMs), String(DROP_SLICE)])) === DROP_SLICE);
    } catch (error) {
      throw new QuorateError("QUORATE_PARTICIPANT", `barrier.redis: ${messageOf(error)}`, { retry: "safe", cause: error });
    }
  }

  async #firstCheck(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      this.#checked = undefined;
      throw error;
    }
  }

  /** undefined: the marks changed meanwhile. */
  async #round(call: BarrierCall, fn: (read: Send) => Promise<RedisWork> | RedisWork): Promise<BarrierResult<RedisReply> | undefined> {
    const keys: CommitArguments["keys"] = [this.#marksKey(call), this.#stateKey(call), this.#indexKey(call)];
    const seen = await this.#read(call, keys);
    const gidMs = gidTimeMs(call.gid as Gid);
    const below = gidMs < seen.floorMs;
    const step = stepOf(call.phase);
    if (seen.broken !== undefined) throw broken(call, seen.broken);
    const decision = decide(call, seen.marks, below);
    if (decision.kind === "answer") return decision.result;
    let epoch = "";
    if (isNewWork(step)) {
      if (below) return { kind: "refused", detail: EXPIRED };
      if (call.epoch < seen.epoch) throw couldNotTell(call, `fenced: the call is of epoch ${call.epoch}, and epoch ${seen.epoch} was seen`);
      if (call.epoch > seen.epoch) epoch = String(call.epoch);
    }
    const work = decision.kind === "mark" ? [] : await fn(this.#send);
    const problem = workProblem(work);
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `barrier.redis: what the function returned: ${problem}`);
    const reply = await this.#ask(call, commitCommand({ keys, expected: seen.texts, slot: decision.slot, step, epoch, gidMs }, work));
    const [kind, value] = reply as readonly [string, unknown];
    switch (kind) {
      case "changed":
        return undefined;
      case "done":
        return decision.kind === "mark" ? { kind: "done" } : { kind: "done", value };
      case "broken":
        throw broken(call, String(value));
      default:
        throw new RedisWorkError(String(value));
    }
  }

  async #read(call: BarrierCall, [marks, state]: CommitArguments["keys"]): Promise<Seen> {
    const [found, stored] = await Promise.all([
      this.#ask(call, ["HMGET", marks, "start", "end", "once", "broken"]),
      this.#ask(call, ["HMGET", state, "epoch", "floor"]),
    ]);
    const texts = [...(found as readonly unknown[]), ...(stored as readonly unknown[])].map((value) =>
      value === null || value === undefined ? "" : String(value),
    );
    const [start, end, once, brokenBy, epoch, floor] = texts.map((text) => (text === "" ? undefined : text));
    return {
      marks: { start: start as Step | undefined, end: end as Step | undefined, once: once as Step | undefined },
      broken: brokenBy,
      epoch: Number(epoch ?? 0),
      floorMs: Number(floor ?? 0),
      texts,
    };
  }

  async #ask(call: BarrierCall, command: Parameters<Send>[0]): Promise<RedisReply> {
    try {
      return await this.#send(command);
    } catch (error) {
      // Whether a script that got no answer ran, its mark tells the next call.
      throw couldNotTell(call, `Redis could not be asked: ${messageOf(error)}`, error);
    }
  }

  #key(name: string): string {
    return this.#prefix + name;
  }

  #marksKey(call: BarrierCall): string {
    return this.#key(`${marksBelow(call, gidTimeMs(call.gid as Gid))}/${call.gid}/${call.branch}`);
  }

  #stateKey(scope: BarrierScope): string {
    return this.#key(`s/${scope.cluster}/${scope.participant}`);
  }

  #indexKey(scope: BarrierScope): string {
    return this.#key(`i/${scope.cluster}/${scope.participant}`);
  }
}

/** The work itself failed before it wrote anything: as if the function had thrown. The message is the server's. */
export class RedisWorkError extends Error {
  override readonly name = "RedisWorkError";
}

function broken(call: BarrierCall, why: string): BarrierHazard {
  return new BarrierHazard(
    call,
    "mixed",
    `${why}. Redis does not roll back, so a part of the work is in force, and nothing more is run for this branch; put it right by hand`,
  );
}
