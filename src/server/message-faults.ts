/**
 * Loses, repeats and delays single messages of this process, where the protocol says that it bears it: fault tests only.
 *
 * TCP hides what a network does to packets, and streams keep their order, so this sits above them: between the replica and its ports.
 * A message that is late is overtaken by those after it: lateness is also disorder. Points are the calls to participants with
 * everything that comes back, and the control messages between coordinators; peer sessions are FIFO by contract and have no point.
 *
 * It decides by chance, per message, what happens to it, and counts that; rules are set like all failpoints (failpoints.ts).
 */
import type { BranchCall, BranchReply, Inquiry, InquiryAnswer, InstanceId } from "../coordinator/index.js";
import type { NetPort, SessionPort } from "../replica/index.js";
import type { ClientServerHandlers } from "../transport/index.js";

export const MESSAGE_POINTS = ["message.call", "message.reply", "message.inquiry", "message.inquiry-answer", "message.control"] as const;
export type MessagePoint = (typeof MESSAGE_POINTS)[number];

/** Percentages are of all messages at the point, each drawn on its own. */
export interface MessageRule {
  readonly losePercent: number;
  /** Delivered now, and one to three times more within `withinMs`. */
  readonly repeatPercent: number;
  /** Delivered at any time within `withinMs`, overtaken by what comes after. */
  readonly latePercent: number;
  readonly withinMs: number;
}

export interface MessageCounts {
  readonly seen: number;
  readonly lost: number;
  /** Further deliveries, not messages. */
  readonly repeated: number;
  readonly late: number;
}

export interface MessageFaultParts {
  readonly rule: (point: MessagePoint) => MessageRule | undefined;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Runs `action` after `ms`. */
  readonly later: (ms: number, action: () => void) => void;
}

const COPIES_MAX = 3;
/** Messages that wait at most, over all points: above it they pass at once. */
const WAITING_MAX = 100_000;

export class MessageFaults {
  readonly #parts: MessageFaultParts;
  readonly #counts = new Map<MessagePoint, { seen: number; lost: number; repeated: number; late: number }>();
  #waiting = 0;

  constructor(parts: MessageFaultParts) {
    this.#parts = parts;
  }

  /** Since the process started, of points that had a rule. */
  counts(): Readonly<Record<string, MessageCounts>> {
    return Object.fromEntries([...this.#counts].map(([point, counts]) => [point, { ...counts }]));
  }

  /** Those of `messages` that pass now, in their order; the others are lost, or given to `deliver` later, one by one. */
  sift<T>(point: MessagePoint, messages: readonly T[], deliver: (message: T) => void): readonly T[] {
    const rule = this.#parts.rule(point);
    if (rule === undefined) return messages;
    const counts = this.#counts.get(point) ?? { seen: 0, lost: 0, repeated: 0, late: 0 };
    this.#counts.set(point, counts);
    const now: T[] = [];
    for (const message of messages) {
      counts.seen++;
      if (this.#happens(rule.losePercent)) {
        counts.lost++;
        continue;
      }
      if (this.#happens(rule.latePercent) && this.#wait(rule, message, deliver)) counts.late++;
      else now.push(message);
      if (!this.#happens(rule.repeatPercent)) continue;
      for (let copies = 1 + Math.floor(this.#parts.random() * COPIES_MAX); copies > 0; copies--)
        if (this.#wait(rule, message, deliver)) counts.repeated++;
    }
    return now;
  }

  /** The replica's streams with everything that leaves through them sifted. */
  sessions(port: SessionPort): SessionPort {
    const call = (one: BranchCall): void => port.call(one);
    return {
      answer: (session, request, answer) => port.answer(session, request, answer),
      call: (one) => this.sift("message.call", [one], call).forEach(call),
      inquiryAnswers: (instance, answers) => {
        const late = (answer: InquiryAnswer): void => port.inquiryAnswers(instance, [answer]);
        const now = this.sift("message.inquiry-answer", answers, late);
        if (now.length > 0) port.inquiryAnswers(instance, now);
      },
      setView: (view) => port.setView(view),
    };
  }

  /** What participants send, sifted. As the transport promises, nothing of an instance is delivered after its end. */
  handlers(handlers: ClientServerHandlers): ClientServerHandlers {
    const attached = new Set<InstanceId>();
    return {
      ...handlers,
      onInstanceUp: (instance, participant, kind, abilities) => {
        attached.add(instance);
        handlers.onInstanceUp(instance, participant, kind, abilities);
      },
      onInstanceDown: (instance) => {
        attached.delete(instance);
        handlers.onInstanceDown(instance);
      },
      onReplies: (instance, replies) => {
        const late = (reply: BranchReply): void => {
          if (attached.has(instance)) handlers.onReplies(instance, [reply]);
        };
        const now = this.sift("message.reply", replies, late);
        if (now.length > 0) handlers.onReplies(instance, now);
      },
      onInquiries: (instance, inquiries) => {
        const late = (inquiry: Inquiry): void => {
          if (attached.has(instance)) handlers.onInquiries(instance, [inquiry]);
        };
        const now = this.sift("message.inquiry", inquiries, late);
        if (now.length > 0) handlers.onInquiries(instance, now);
      },
    };
  }

  /** Control messages, sifted before they are sent. */
  net(port: NetPort): NetPort {
    return {
      ...port,
      control: (to, message) => {
        const send = (one: typeof message): void => port.control(to, one);
        this.sift("message.control", [message], send).forEach(send);
      },
    };
  }

  #happens(percent: number): boolean {
    return percent > 0 && this.#parts.random() * 100 < percent;
  }

  #wait<T>(rule: MessageRule, message: T, deliver: (message: T) => void): boolean {
    if (this.#waiting >= WAITING_MAX) return false;
    this.#waiting++;
    this.#parts.later(this.#parts.random() * rule.withinMs, () => {
      this.#waiting--;
      deliver(message);
    });
    return true;
  }
}
