/**
 * Instances of a participant: each serves one resource over a stream to every node, answers calls after a while, and asks about
 * branches that stay in doubt.
 */
import { assert, must, type Gid, type Prng } from "../base/index.js";
import type { BranchReply, Inquiry } from "../coordinator/index.js";
import { codecs, type CoordinatorFrame, type FrameCall, type NodeView, type ParticipantFrame } from "../wire/index.js";
import type { Host, Network } from "./network.js";
import type { Attachment, BranchName, ResourceManager, Work } from "./resource-manager.js";
import { pack, unpack } from "./session-port.js";
import type { SimNode } from "./sim-node.js";
import type { Stream, StreamEnd } from "./stream.js";
import { sleep, spawn, type Task } from "./task.js";
import type { World } from "./world.js";

export interface ParticipantOptions {
  readonly workMsMean: number;
  readonly lockTimeoutMs: number;
  /** Chance that an instance votes no for a reason of its own. */
  readonly refuseChance: number;
  /** Chance that a call fails without a vote or a result. */
  readonly failChance: number;
  /** Chance that a call is never answered. */
  readonly hangChance: number;
  readonly inquiryDelayMs: number;
  readonly reconnectMsMean: number;
  readonly encodeStreams: boolean;
  /** Chance that an instance is of a version that knows one-phase commit. */
  readonly onePhaseChance: number;
  /** Chance that an instance wants to be asked only what is begun. */
  readonly afterBeginChance: number;
}

/** Told of every call that reaches an instance. */
export interface CallWatcher {
  called(participant: string, phase: string, gid: Gid, branch: string, afterBegin: boolean): void;
}

/** A dead process's connections are closed within this. */
const CLOSED_MS_MAX = 50;
const INQUIRY_SCAN_MS = 100;

export function encodeWork(work: Work): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ d: work.deltas, r: work.reads }));
}

function decodeWork(payload: Uint8Array): Work | undefined {
  if (payload.length === 0) return undefined;
  const { d, r } = JSON.parse(new TextDecoder().decode(payload)) as { d: [string, number][]; r: string[] };
  return { deltas: d, reads: r };
}

export class Instance {
  readonly name: string;
  readonly resource: ResourceManager;
  readonly host: Host;
  readonly #world: World;
  readonly #network: Network;
  readonly #nodes: readonly SimNode[];
  readonly #prng: Prng;
  readonly #streams = new Map<SimNode, Stream>();
  readonly #views = new Map<SimNode, NodeView>();
  readonly #onePhase: boolean;
  readonly #afterBegin: boolean;
  readonly #watcher: CallWatcher;
  options: ParticipantOptions;
  #attachment: Attachment | undefined;
  #life = 0;
  #up = false;

  constructor(
    world: World,
    network: Network,
    name: string,
    resource: ResourceManager,
    nodes: readonly SimNode[],
    options: ParticipantOptions,
    watcher: CallWatcher,
  ) {
    this.name = name;
    this.resource = resource;
    this.#world = world;
    this.#network = network;
    this.#nodes = nodes;
    this.#prng = world.fork(`instance/${name}`);
    this.options = options;
    this.#watcher = watcher;
    this.#onePhase = resource.kind !== "tcc" && world.fork(`instance/${name}/version`).chance(options.onePhaseChance);
    this.#afterBegin = world.fork(`instance/${name}/after-begin`).chance(options.afterBeginChance);
    this.host = network.addHost();
  }

  get up(): boolean {
    return this.#up;
  }

  start(): void {
    if (this.#up) return;
    this.#up = true;
    this.#life += 1;
    this.#network.start(this.host);
    this.#world.mark(this.name, "start");
    this.#attachment = this.resource.attach(`${this.name}/${this.#life}`, this.#prng, this.options.lockTimeoutMs);
    for (const node of this.#nodes) this.#attach(node, this.#life);
    this.#scan(this.#life);
  }

  crash(): void {
    if (!this.#up) return;
    this.#up = false;
    this.#streams.clear();
    this.#views.clear();
    this.#world.mark(this.name, "crash");
    this.#network.stop(this.host);
    const owner = `${this.name}/${this.#life}`;
    this.#world.after(this.#prng.float() * CLOSED_MS_MAX, () => this.resource.ownerGone(owner));
  }

  #alive(life: number): boolean {
    return this.#up && life === this.#life;
  }

  // ---- attaching

  #attach(node: SimNode, life: number): void {
    let stream: Stream | undefined;
    const end: StreamEnd = {
      onFrame: (frame) => {
        if (this.#alive(life) && stream !== undefined)
          this.#received(node, stream, unpack<CoordinatorFrame>(codecs.coordinatorFrame, frame));
      },
      onDown: () => {
        if (this.#streams.get(node) !== stream) return;
        this.#streams.delete(node);
        this.#views.delete(node);
        this.#reattach(node, life);
      },
    };
    this.#network.connect(
      this.host,
      node.host,
      end,
      (opened) => node.streams?.acceptInstance(opened),
      (opened) => {
        if (!this.#alive(life)) return;
        if (opened === undefined) {
          this.#reattach(node, life);
          return;
        }
        stream = opened;
        this.#streams.set(node, opened);
        this.#world.mark(this.name, `attached ${node.name}`);
        this.#send(opened, {
          hello: {
            participant: this.resource.name,
            participantKind: this.resource.kind,
            instance: this.name,
            version: "sim",
            onePhase: this.#onePhase,
            afterBegin: this.#afterBegin,
            kinds: this.resource.kind === "tcc" ? ["tcc"] : ["2pc"],
          },
          replies: [],
          inquiries: (this.#attachment?.inDoubt() ?? []).map(({ gid, branch }) => ({ gid, branch })),
        });
      },
    );
  }

  #reattach(node: SimNode, life: number): void {
    this.#world.after(1 + this.#prng.exponential(this.options.reconnectMsMean), () => {
      if (this.#alive(life)) this.#attach(node, life);
    });
  }

  #send(stream: Stream, frame: ParticipantFrame): void {
    stream.send(0, pack(codecs.participantFrame, frame, this.options.encodeStreams));
  }

  // ---- calls

  #received(node: SimNode, stream: Stream, frame: CoordinatorFrame): void {
    const life = this.#life;
    const attachment = must(this.#attachment, "the attachment of a running instance");
    if (frame.view !== undefined) {
      this.#views.set(node, frame.view);
      spawn(this.#world, () => this.#alive(life), attachment.forgetBelow(frame.view.forgottenBelowMs));
    }
    for (const call of frame.calls) {
      this.#world.mark(
        this.name,
        `${call.phase} from ${node.name}`,
        () => `${call.gid} ${call.branch} epoch ${call.epoch} attempt ${call.attempt}`,
      );
      assert(
        (call.kind === "tcc") === (this.resource.kind === "tcc"),
        () => `${this.name} is called about a branch of kind ${call.kind}, which it does not take`,
      );
      this.#watcher.called(this.resource.name, call.phase, call.gid, call.branch, this.#afterBegin);
      if (this.#prng.chance(this.options.hangChance)) continue;
      spawn(this.#world, () => this.#alive(life), this.#serve(stream, call, life));
    }
    for (const { gid, branch, answer } of frame.answers) {
      this.#world.mark(this.name, `told ${answer} by ${node.name}`, () => `${gid} ${branch}`);
      if (answer !== "commit" && answer !== "rollback") continue;
      this.#world.cover("resolved-by-inquiry");
      spawn(this.#world, () => this.#alive(life), this.#settle(answer, { gid, branch }));
    }
  }

  *#settle(answer: "commit" | "rollback", name: BranchName): Task<void> {
    const attachment = must(this.#attachment, "the attachment of a running instance");
    yield* answer === "commit" ? attachment.commit(name) : attachment.rollback(name);
  }

  *#serve(stream: Stream, call: FrameCall, life: number): Task<void> {
    const { phase, gid, branch } = call;
    yield* sleep(this.#world, this.#prng.exponential(this.options.workMsMean));
    const reply = this.#prng.chance(this.options.failChance) ? undefined : yield* this.#perform(call);
    this.#reply(stream, life, reply ?? { phase, gid, branch, result: { kind: "failed", detail: "the database is down" } });
  }

  *#perform(call: FrameCall): Task<BranchReply | undefined> {
    const { phase, gid, branch } = call;
    const attachment = must(this.#attachment, "the attachment of a running instance");
    if (phase === "one-phase") {
      assert(this.#onePhase, () => `${this.name} is sent a one-phase commit, which its version does not know`);
      const refuse = this.#prng.chance(this.options.refuseChance);
      const end = yield* attachment.onePhase(call, decodeWork(call.payload), call.epoch, refuse);
      if (end === undefined) return undefined;
      return end.kind === "done" ? { phase, gid, branch, result: end } : { phase, gid, branch, result: end };
    }
    if (phase !== "prepare") {
      const done = phase === "commit" ? yield* attachment.commit(call) : yield* attachment.rollback(call);
      return done ? { phase, gid, branch, result: { kind: "done" } } : undefined;
    }
    const refuse = this.#prng.chance(this.options.refuseChance);
    const voted = yield* attachment.prepare(call, decodeWork(call.payload), call.epoch, refuse);
    return voted === undefined ? undefined : { phase, gid, branch, result: { kind: "vote", ...voted } };
  }

  /** What was done is durable by now; only the answer can still be lost. */
  #reply(stream: Stream, life: number, reply: BranchReply): void {
    this.#world.after(this.#prng.exponential(this.options.workMsMean), () => {
      if (!this.#alive(life)) return;
      this.#world.mark(
        this.name,
        `replies ${reply.result.kind}`,
        () => `${reply.phase} ${reply.gid} ${reply.branch} ${JSON.stringify(reply.result)}`,
      );
      this.#send(stream, { hello: undefined, replies: [reply], inquiries: [] });
    });
  }

  // ---- inquiries

  #scan(life: number): void {
    this.#world.after(INQUIRY_SCAN_MS * (0.5 + this.#prng.float()), () => {
      if (!this.#alive(life)) return;
      this.#inquire();
      this.#scan(life);
    });
  }

  #inquire(): void {
    if (this.#streams.size === 0) return;
    const due = must(this.#attachment, "the attachment of a running instance").due(this.options.inquiryDelayMs);
    const inquiries: Inquiry[] = due.map(({ gid, branch }) => ({ gid, branch }));
    if (inquiries.length === 0) return;
    const nodes = [...this.#streams.keys()];
    const leader = nodes.find((node) => this.#views.get(node)?.role === "leading");
    const node = leader !== undefined && this.#prng.chance(0.5) ? leader : this.#prng.pick(nodes);
    const stream = must(this.#streams.get(node), "an open stream");
    this.#world.mark(this.name, `asks ${node.name}`, () => inquiries.map(({ gid, branch }) => `${gid}/${branch}`).join(" "));
    this.#send(stream, { hello: undefined, replies: [], inquiries });
  }
}
