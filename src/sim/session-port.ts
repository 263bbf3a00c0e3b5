/**
 * One node's streams of clients and participant instances, for one life of its process.
 */
import type { Answer, BranchCall, ClientSession, InquiryAnswer, InstanceId } from "../coordinator/index.js";
import type { Replica, SessionPort } from "../replica/index.js";
import {
  codecs,
  type ClientFrame,
  type CoordinatorFrame,
  type FrameCall,
  type NodeView,
  type ParticipantFrame,
  type ServerFrame,
} from "../wire/index.js";
import type { Codec } from "../wire/index.js";
import type { Zxid } from "../base/index.js";
import type { Stream, StreamEnd } from "./stream.js";

type Deliver = (input: (replica: Replica) => void) => void;

interface ClientStream {
  readonly stream: Stream;
  view: NodeView | undefined;
  answers: { readonly request: number; readonly answer: Answer }[];
}

interface InstanceStream {
  readonly stream: Stream;
  view: NodeView | undefined;
  calls: FrameCall[];
  answers: InquiryAnswer[];
}

/** Told about linearizable reads: how far the cluster had come when one arrived, and that it is answered. */
export interface ReadWatcher {
  asked(): Zxid;
  answered(mark: Zxid): void;
}

/** Frames cross the codecs on some seeds, and travel as objects on the others. */
export function pack<T>(codec: Codec<T>, frame: T, encoded: boolean): unknown {
  return encoded ? codec.encode(frame) : frame;
}

export function unpack<T>(codec: Codec<T>, frame: unknown): T {
  return frame instanceof Uint8Array ? codec.decode(frame) : (frame as T);
}

export class StreamPort implements SessionPort {
  readonly #deliver: Deliver;
  readonly #encoded: boolean;
  readonly #clients = new Map<ClientSession, ClientStream>();
  readonly #instances = new Map<InstanceId, InstanceStream>();
  readonly #reads: ReadWatcher;
  /** Reads under way, by session and request, with the mark they arrived at. */
  readonly #marks = new Map<string, Zxid>();
  #next = 1;
  #view: NodeView | undefined;

  constructor(deliver: Deliver, encoded: boolean, reads: ReadWatcher) {
    this.#deliver = deliver;
    this.#encoded = encoded;
    this.#reads = reads;
  }

  // ---- streams come

  /** `opened` and `closed` tell the run's monitor when this node knew of the client. */
  acceptClient(stream: Stream, opened: (client: string) => void, closed: (client: string) => void): StreamEnd {
    const session = this.#next++;
    let client: string | undefined;
    return {
      onFrame: (frame) => {
        const { hello, requests } = unpack<ClientFrame>(codecs.clientFrame, frame);
        if (hello !== undefined) {
          client = hello.client;
          this.#clients.set(session, { stream, view: this.#view, answers: [] });
          this.#deliver((replica) => {
            opened(hello.client);
            replica.clientUp(session, hello.client);
          });
        }
        if (requests.length === 0) return;
        this.#deliver((replica) => {
          for (const { request, body } of requests)
            if (body.kind === "read" || body.kind === "outcome") this.#marks.set(`${session}/${request}`, this.#reads.asked());
          replica.requests(session, requests);
        });
      },
      onDown: () => {
        this.#clients.delete(session);
        const known = client;
        if (known === undefined) return;
        this.#deliver((replica) => {
          closed(known);
          replica.clientDown(session);
        });
      },
    };
  }

  acceptInstance(stream: Stream): StreamEnd {
    const instance = this.#next++;
    let known = false;
    return {
      onFrame: (frame) => {
        const { hello, replies, inquiries } = unpack<ParticipantFrame>(codecs.participantFrame, frame);
        if (hello !== undefined) {
          known = true;
          this.#instances.set(instance, { stream, view: this.#view, calls: [], answers: [] });
          this.#deliver((replica) => replica.instanceUp(instance, hello.participant, hello.participantKind));
        }
        if (replies.length > 0) this.#deliver((replica) => replica.replies(instance, replies));
        if (inquiries.length > 0) this.#deliver((replica) => replica.inquiries(instance, inquiries));
      },
      onDown: () => {
        this.#instances.delete(instance);
        if (known) this.#deliver((replica) => replica.instanceDown(instance));
      },
    };
  }

  // ---- what the replica says

  answer(session: ClientSession, request: number, answer: Answer): void {
    const mark = this.#marks.get(`${session}/${request}`);
    if (mark !== undefined) {
      this.#marks.delete(`${session}/${request}`);
      if (answer.kind === "read" || answer.kind === "transaction") this.#reads.answered(mark);
    }
    this.#clients.get(session)?.answers.push({ request, answer });
  }

  call(call: BranchCall): void {
    const { phase, gid, branch, epoch, attempt, payload } = call;
    this.#instances.get(call.instance)?.calls.push({ phase, gid, branch, epoch, attempt, payload });
  }

  inquiryAnswers(instance: InstanceId, answers: readonly InquiryAnswer[]): void {
    this.#instances.get(instance)?.answers.push(...answers);
  }

  setView(view: NodeView): void {
    this.#view = view;
    for (const client of this.#clients.values()) client.view = view;
    for (const instance of this.#instances.values()) instance.view = view;
  }

  /** Puts everything of one turn on the streams. */
  flush(): void {
    for (const client of this.#clients.values()) {
      if (client.view === undefined && client.answers.length === 0) continue;
      const frame: ServerFrame = { view: client.view, answers: client.answers };
      client.view = undefined;
      client.answers = [];
      client.stream.send(1, pack(codecs.serverFrame, frame, this.#encoded));
    }
    for (const instance of this.#instances.values()) {
      if (instance.view === undefined && instance.calls.length === 0 && instance.answers.length === 0) continue;
      const frame: CoordinatorFrame = { view: instance.view, calls: instance.calls, answers: instance.answers };
      instance.view = undefined;
      instance.calls = [];
      instance.answers = [];
      instance.stream.send(1, pack(codecs.coordinatorFrame, frame, this.#encoded));
    }
  }

  /** Throws away what this turn wanted to send. */
  discard(): void {
    for (const client of this.#clients.values()) client.answers = [];
    for (const instance of this.#instances.values()) {
      instance.calls = [];
      instance.answers = [];
    }
  }
}
