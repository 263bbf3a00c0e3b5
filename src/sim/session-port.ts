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
  /** Streams with something to send, in the order they got it. */
  readonly #dirtyClients = new Set<ClientStream>();
  readonly #dirtyInstances = new Set<InstanceStream>();
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
          const opening: ClientStream = { stream, view: this.#view, answers: [] };
          this.#clients.set(session, opening);
          if (this.#view !== undefined) this.#dirtyClients.add(opening);
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
        const open = this.#clients.get(session);
        if (open !== undefined) this.#dirtyClients.delete(open);
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
          const opening: InstanceStream = { stream, view: this.#view, calls: [], answers: [] };
          this.#instances.set(instance, opening);
          if (this.#view !== undefined) this.#dirtyInstances.add(opening);
          this.#deliver((replica) => replica.instanceUp(instance, hello.participant, hello.participantKind, hello));
        }
        if (replies.length > 0) this.#deliver((replica) => replica.replies(instance, replies));
        if (inquiries.length > 0) this.#deliver((replica) => replica.inquiries(instance, inquiries));
      },
      onDown: () => {
        const open = this.#instances.get(instance);
        if (open !== undefined) this.#dirtyInstances.delete(open);
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
    const client = this.#clients.get(session);
    if (client === undefined) return;
    client.answers.push({ request, answer });
    this.#dirtyClients.add(client);
  }

  call(call: BranchCall): void {
    const { phase, kind, gid, branch, epoch, attempt, payload } = call;
    const instance = this.#instances.get(call.instance);
    if (instance === undefined) return;
    instance.calls.push({ phase, kind, gid, branch, epoch, attempt, payload });
    this.#dirtyInstances.add(instance);
  }

  inquiryAnswers(instance: InstanceId, answers: readonly InquiryAnswer[]): void {
    const stream = this.#instances.get(instance);
    if (stream === undefined) return;
    stream.answers.push(...answers);
    this.#dirtyInstances.add(stream);
  }

  setView(view: NodeView): void {
    this.#view = view;
    for (const client of this.#clients.values()) {
      client.view = view;
      this.#dirtyClients.add(client);
    }
    for (const instance of this.#instances.values()) {
      instance.view = view;
      this.#dirtyInstances.add(instance);
    }
  }

  /** Puts everything of one turn on the streams. */
  flush(): void {
    for (const client of this.#dirtyClients) {
      const frame: ServerFrame = { view: client.view, answers: client.answers };
      client.view = undefined;
      client.answers = [];
      client.stream.send(1, pack(codecs.serverFrame, frame, this.#encoded));
    }
    this.#dirtyClients.clear();
    for (const instance of this.#dirtyInstances) {
      const frame: CoordinatorFrame = { view: instance.view, calls: instance.calls, answers: instance.answers };
      instance.view = undefined;
      instance.calls = [];
      instance.answers = [];
      instance.stream.send(1, pack(codecs.coordinatorFrame, frame, this.#encoded));
    }
    this.#dirtyInstances.clear();
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
