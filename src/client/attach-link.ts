/**
 * One Attach stream of one participant to one node: says hello with everything in doubt, and batches what goes out.
 */
import type { BranchReply, Inquiry } from "../coordinator/index.js";
import { codecs, FRAME_BYTES_MAX } from "../wire/index.js";
import type { CoordinatorFrame, ParticipantFrame } from "../wire/index.js";
import type { Endpoint } from "./endpoint.js";
import { StreamKeeper } from "./stream-keeper.js";

const ATTACH_PATH = "/quorate.v1.Participants/Attach";
/** About what a reply or an inquiry takes, without its detail. */
const ITEM_BYTES = 96;
/** Inquiries of one frame. */
const INQUIRIES_MAX = Math.floor(FRAME_BYTES_MAX / ITEM_BYTES);

export interface AttachLinkHandlers {
  hello(): NonNullable<ParticipantFrame["hello"]>;
  /** Everything in doubt, for the first frame. */
  inDoubt(): readonly Inquiry[];
  onOpen(link: AttachLink): void;
  onFrame(link: AttachLink, frame: CoordinatorFrame): void;
  onLost(link: AttachLink, why: string, wasOpen: boolean): void;
}

export class AttachLink {
  readonly endpoint: Endpoint;
  readonly #keeper: StreamKeeper<CoordinatorFrame>;
  #replies: BranchReply[] = [];
  #inquiries: Inquiry[] = [];
  #flushing = false;
  #known = false;

  constructor(endpoint: Endpoint, handlers: AttachLinkHandlers) {
    this.endpoint = endpoint;
    this.#keeper = new StreamKeeper<CoordinatorFrame>(endpoint, {
      path: ATTACH_PATH,
      decode: (bytes) => codecs.coordinatorFrame.decode(bytes),
      onDial: (write) => {
        const inDoubt = handlers.inDoubt();
        write(encode(handlers.hello(), [], inDoubt.slice(0, INQUIRIES_MAX)));
        for (let from = INQUIRIES_MAX; from < inDoubt.length; from += INQUIRIES_MAX) {
          write(encode(undefined, [], inDoubt.slice(from, from + INQUIRIES_MAX)));
        }
      },
      onMessage: (frame) => {
        if (!this.#known) {
          this.#known = true;
          handlers.onOpen(this);
        }
        handlers.onFrame(this, frame);
      },
      onDrain: () => this.#schedule(),
      onLost: (why, wasOpen) => {
        this.#known = false;
        // The coordinator repeats its calls and we repeat our inquiries: what was not written is not needed any more.
        this.#replies = [];
        this.#inquiries = [];
        handlers.onLost(this, why, wasOpen);
      },
    });
  }

  get open(): boolean {
    return this.#keeper.open;
  }

  get lastFailure(): string | undefined {
    return this.#keeper.lastFailure;
  }

  start(): void {
    this.#keeper.start();
  }

  stop(): void {
    this.#flush();
    this.#keeper.stop();
  }

  reply(reply: BranchReply): void {
    this.#replies.push(reply);
    this.#schedule();
  }

  inquire(inquiry: Inquiry): void {
    this.#inquiries.push(inquiry);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushing || (this.#replies.length === 0 && this.#inquiries.length === 0)) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#keeper.writable && (this.#replies.length > 0 || this.#inquiries.length > 0)) {
      const replies = this.#replies.splice(0, fitting(this.#replies));
      const inquiries = this.#inquiries.splice(0, INQUIRIES_MAX);
      this.#keeper.write(encode(undefined, replies, inquiries));
    }
  }
}

/** How many of the first replies make a frame. */
function fitting(replies: readonly BranchReply[]): number {
  let bytes = 0;
  for (let i = 0; i < replies.length; i++) {
    const result = replies[i]?.result;
    bytes += ITEM_BYTES + (result !== undefined && "detail" in result ? result.detail.length : 0);
    if (bytes > FRAME_BYTES_MAX) return i + 1;
  }
  return replies.length;
}

function encode(hello: ParticipantFrame["hello"], replies: readonly BranchReply[], inquiries: readonly Inquiry[]): Uint8Array {
  return codecs.participantFrame.encode({ hello, replies, inquiries });
}
