/**
 * What the parts of the driver share.
 */
import type { Buggify } from "../base/index.js";
import type { StateMachine } from "../txn/index.js";
import type { CoordinatorOptions } from "./api.js";
import type { ClientEntry } from "./clients.js";
import type { BranchDrive, Drive } from "./drive.js";
import type { ParticipantLine } from "./courier.js";
import type { Outbox } from "./outbox.js";
import type { TimerWheel } from "./timer-wheel.js";

/** Everything that has a timer. */
export type TimerOwner = BranchDrive | Drive | ParticipantLine | ClientEntry;

export interface Context {
  /** Read only: every change goes out as a command. */
  readonly state: StateMachine;
  readonly options: CoordinatorOptions;
  readonly outbox: Outbox;
  readonly wheel: TimerWheel<TimerOwner>;
  /** 32 random bits. */
  readonly random32: () => number;
  /** ms of the cluster's clock as the leader would stamp now; monotone. */
  readonly stampNow: () => number;
  /** Whether a simulator wants the rare branch at a point. Undefined in a real process. */
  readonly buggify?: Buggify | undefined;
}
