/**
 * One process's way to a simulated service that reserves: an instance that passes the cluster's calls on, or a client that tries itself.
 *
 * A call that is on its way arrives, whatever becomes of who sent it.
 */
import type { Prng } from "../base/index.js";
import type { Vote } from "../txn/index.js";
import { AskTimes, type Attachment, type BranchName, type OnePhaseEnd, type Voted, type Work } from "./resource-manager.js";
import { sleep, spawn, waitFor, type Task } from "./task.js";
import type { TccResource } from "./tcc-resource.js";
import type { World } from "./world.js";

export class TccAttachment implements Attachment {
  readonly #world: World;
  readonly #resource: TccResource;
  readonly #prng: Prng;
  readonly #asks = new AskTimes();

  constructor(world: World, resource: TccResource, prng: Prng) {
    this.#world = world;
    this.#resource = resource;
    this.#prng = prng;
  }

  prepare(name: BranchName, work: Work | undefined, _epoch: number, refuse: boolean): Task<Voted | undefined> {
    return this.#sent(this.#try(name, work, refuse));
  }

  *#try({ gid, branch }: BranchName, work: Work | undefined, refuse: boolean): Task<Voted | undefined> {
    const { lateChance, lateMsMean } = this.#resource.options;
    if (this.#prng.chance(lateChance)) yield* sleep(this.#world, this.#prng.exponential(lateMsMean));
    if (!this.#resource.up) return undefined;
    const { result, write } = this.#resource.try(gid, branch, work, refuse);
    if (result.vote === "no") return result;
    if (!(yield* this.#resource.durable(write))) return undefined;
    this.#resource.saidYes(gid, branch);
    return result;
  }

  /** Runs to its end, also when the process that waits for it is gone. */
  *#sent<T>(call: Task<T>): Task<T> {
    return yield* waitFor<T>((resume) => {
      const arriving = function* (): Task<void> {
        resume(yield* call);
      };
      spawn(this.#world, () => true, arriving());
    });
  }

  *onePhase({ gid, branch }: BranchName): Task<OnePhaseEnd | undefined> {
    throw new Error(`${this.#resource.name} is sent a one-phase commit of branch ${branch} of ${gid}, which is to be tried`);
  }

  *commit({ gid, branch }: BranchName): Task<boolean> {
    if (!this.#resource.up) return false;
    return yield* this.#resource.durable(this.#resource.confirm(gid, branch));
  }

  *rollback({ gid, branch }: BranchName): Task<boolean> {
    if (!this.#resource.up) return false;
    return yield* this.#resource.durable(this.#resource.cancel(gid, branch));
  }

  /** The client's own try. Some do not wait for a call that is long on its way: for them it is a no, and it arrives all the same. */
  *bring(name: BranchName, work: Work, pauseMs: () => number): Task<Vote> {
    yield* sleep(this.#world, pauseMs());
    const patienceMs = this.#resource.options.lateMsMean / 4;
    const voted = yield* waitFor<Voted | undefined>((resume) => {
      const arriving = function* (call: Task<Voted | undefined>): Task<void> {
        resume(yield* call);
      };
      spawn(this.#world, () => true, arriving(this.#try(name, work, false)));
      this.#world.after(patienceMs, () => resume(undefined));
    });
    return voted?.vote ?? "no";
  }

  inDoubt(): readonly BranchName[] {
    return this.#resource.up && this.#resource.options.asks ? this.#resource.prepared() : [];
  }

  due(firstDelayMs: number): readonly BranchName[] {
    return this.#resource.up && this.#resource.options.asks ? this.#asks.due(this.#resource.prepared(), this.#world.now, firstDelayMs) : [];
  }

  *forgetBelow(floorMs: number): Task<void> {
    if (this.#resource.up) this.#resource.forgetBelow(floorMs);
  }
}
