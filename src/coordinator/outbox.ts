/**
 * What the driver owes the replica, collected until the next drain.
 */
import type { Gid } from "../base/index.js";
import type { Command } from "../txn/index.js";
import type { Alarm, BranchCall, ClientSession, CoordinatorReady, InquiryAnswer, InstanceId } from "./api.js";
import type { Answer } from "./request.js";

const NOTHING: readonly never[] = Object.freeze([]);

export class Outbox {
  #propose: Command[] = [];
  #calls: BranchCall[] = [];
  #answers: { readonly session: ClientSession; readonly request: number; readonly answer: Answer }[] = [];
  #inquiries = new Map<InstanceId, InquiryAnswer[]>();
  #alarms: Alarm[] = [];

  propose(command: Command): void {
    this.#propose.push(command);
  }

  call(call: BranchCall): void {
    this.#calls.push(call);
  }

  answer(session: ClientSession, request: number, answer: Answer): void {
    this.#answers.push({ session, request, answer });
  }

  inquiryAnswer(instance: InstanceId, answer: InquiryAnswer): void {
    const list = this.#inquiries.get(instance);
    if (list === undefined) this.#inquiries.set(instance, [answer]);
    else list.push(answer);
  }

  alarm(name: Alarm["name"], gid: Gid | undefined, branch: string | undefined, message: string): void {
    this.#alarms.push({ name, gid, branch, message });
  }

  /** Nothing is sent or proposed any more; answers still go out. */
  dropEffects(): void {
    this.#propose = [];
    this.#calls = [];
  }

  take(wakeAtMs: number): CoordinatorReady {
    const ready: CoordinatorReady = {
      propose: this.#propose.length === 0 ? NOTHING : this.#propose,
      calls: this.#calls.length === 0 ? NOTHING : this.#calls,
      answers: this.#answers.length === 0 ? NOTHING : this.#answers,
      inquiryAnswers: this.#inquiries.size === 0 ? NOTHING : Array.from(this.#inquiries, ([instance, answers]) => ({ instance, answers })),
      alarms: this.#alarms.length === 0 ? NOTHING : this.#alarms,
      wakeAtMs,
    };
    if (this.#propose.length > 0) this.#propose = [];
    if (this.#calls.length > 0) this.#calls = [];
    if (this.#answers.length > 0) this.#answers = [];
    if (this.#inquiries.size > 0) this.#inquiries = new Map();
    if (this.#alarms.length > 0) this.#alarms = [];
    return ready;
  }
}
