/**
 * Instances of a participant: each serves one resource over a stream to every node, answers calls after a while, and asks about
 * branches that stay in doubt.
 */
import { must, type Prng } from "../base/index.js";
import type { BranchReply, Inquiry } from "../coordinator/index.js";
import { codecs, type CoordinatorFrame, type FrameCall, type NodeView, type ParticipantFrame } from "../wire/index.js";
import type { Host, Network } from "./network.js";
import type { PrepareOutcome, Resource, Work } from "./resource.js";
import { pack, unpack } from "./session-port.js";
import type { SimNode } from "./sim-node.js";
import type { Stream, StreamEnd } from "./stream.js";
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
}

const LOCK_POLL_MS = 15;
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
  readonly resource: Resource;
  readonly host: Host;
  readonly #world: World;
  readonly #network: Network;
  readonly #nodes: readonly SimNode[];
  readonly #prng: Prng;
  readonly #streams = new Map<SimNode, Stream>();
  readonly #views = new Map<SimNode, NodeView>();
  options: ParticipantOptions;
  #life = 0;
  #up = false;

  constructor(world: World, network: Network, name: string, resource: Resource, nodes: readonly SimNode[], options: ParticipantOptions) {
    this.name = name;
    this.resource = resource;
    this.#world = world;
    this.#network = network;
    this.#nodes = nodes;
    this.#prng = world.fork(`instance/${name}`);
    this.options = options;
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
          hello: { participant: this.resource.name, participantKind: this.resource.kind, instance: this.name, version: "sim" },
          replies: [],
          inquiries: this.resource.up ? this.resource.inDoubt().map(({ gid, branch }) => ({ gid, branch })) : [],
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
    if (frame.view !== undefined) {
      this.#views.set(node, frame.view);
      if (this.resource.up) this.resource.forgetBelow(frame.view.forgottenBelowMs);
    }
    const life = this.#life;
    for (const call of frame.calls) {
      this.#world.mark(
        this.name,
        `${call.phase} from ${node.name}`,
        () => `${call.gid} ${call.branch} epoch ${call.epoch} attempt ${call.attempt}`,
      );
      if (this.#prng.chance(this.options.hangChance)) continue;
      this.#world.after(this.#prng.exponential(this.options.workMsMean), () => {
        if (this.#alive(life)) this.#perform(stream, call, life, this.#world.now + this.options.lockTimeoutMs);
      });
    }
    for (const { gid, branch, answer } of frame.answers) {
      this.#world.mark(this.name, `told ${answer} by ${node.name}`, () => `${gid} ${branch}`);
      if (!this.resource.up) continue;
      if (answer === "commit") this.resource.commit(gid, branch);
      else if (answer === "rollback") this.resource.rollback(gid, branch);
      if (answer === "commit" || answer === "rollback") this.#world.cover("resolved-by-inquiry");
    }
  }

  #perform(stream: Stream, call: FrameCall, life: number, lockUntil: number): void {
    const { phase, gid, branch } = call;
    if (!this.resource.up || this.#prng.chance(this.options.failChance)) {
      this.#reply(stream, life, { phase, gid, branch, result: { kind: "failed", detail: "the database is down" } });
      return;
    }
    if (phase === "prepare") {
      const outcome = this.#prng.chance(this.options.refuseChance)
        ? this.resource.refuse(gid, branch, "refused")
        : this.resource.prepare(gid, branch, decodeWork(call.payload), call.epoch);
      this.#voted(stream, call, life, lockUntil, outcome);
      return;
    }
    if (phase === "commit") this.resource.commit(gid, branch);
    else this.resource.rollback(gid, branch);
    this.#reply(stream, life, { phase, gid, branch, result: { kind: "done" } });
  }

  #voted(stream: Stream, call: FrameCall, life: number, lockUntil: number, outcome: PrepareOutcome): void {
    const { gid, branch } = call;
    if (outcome !== "locked") {
      this.#reply(stream, life, { phase: "prepare", gid, branch, result: { kind: "vote", ...outcome } });
      return;
    }
    if (this.#world.now >= lockUntil) {
      const refused = this.resource.refuse(gid, branch, "lock timeout");
      if (refused !== "locked") this.#voted(stream, call, life, lockUntil, refused);
      return;
    }
    this.#world.after(LOCK_POLL_MS * (0.5 + this.#prng.float()), () => {
      if (this.#alive(life)) this.#perform(stream, call, life, lockUntil);
    });
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
    if (!this.resource.up || this.#streams.size === 0) return;
    const { inquiryDelayMs } = this.options;
    const old = this.resource.inDoubt().some((branch) => this.#world.now - branch.preparedAt >= inquiryDelayMs);
    if (!old) return;
    const inquiries: Inquiry[] = this.resource.due(inquiryDelayMs).map(({ gid, branch }) => ({ gid, branch }));
    if (inquiries.length === 0) return;
    const nodes = [...this.#streams.keys()];
    const leader = nodes.find((node) => this.#views.get(node)?.role === "leading");
    const node = leader !== undefined && this.#prng.chance(0.5) ? leader : this.#prng.pick(nodes);
    const stream = must(this.#streams.get(node), "an open stream");
    this.#world.mark(this.name, `asks ${node.name}`, () => inquiries.map(({ gid, branch }) => `${gid}/${branch}`).join(" "));
    this.#send(stream, { hello: undefined, replies: [], inquiries });
  }
}
