/**
 * What every durable file carries and is checked against: whose data this is.
 */
import type { NodeId } from "../base/index.js";

export interface Identity {
  readonly clusterId: string;
  readonly nodeId: NodeId;
}

/** A place in the log's files. Segment numbers only ever grow, so positions grow for the life of a folder, truncations included. */
export interface LogPosition {
  readonly segment: number;
  /** Byte offset inside the segment. */
  readonly offset: number;
}

export const LOG_POSITION_ZERO: LogPosition = { segment: 0, offset: 0 };

export function laterPosition(a: LogPosition, b: LogPosition): LogPosition {
  return a.segment > b.segment || (a.segment === b.segment && a.offset >= b.offset) ? a : b;
}

export function formatPosition(position: LogPosition): string {
  return `segment ${position.segment} offset ${position.offset}`;
}

/** Called at named points of the write paths; a fault test stops the process or throws there. */
export type Failpoint = (name: FailpointName) => void;

export type FailpointName =
  | "log.append.before"
  | "log.append.after"
  | "log.truncate.before"
  | "log.truncate.after"
  | "log.sync.before"
  | "log.sync.after"
  | "log.roll.before"
  | "log.roll.after"
  | "log.reset.before"
  | "log.reset.after"
  | "log.compact.before"
  | "log.compact.after"
  | "epochs.write.before"
  | "epochs.write.after"
  | "checkpoint.write.before"
  | "checkpoint.write.after"
  | "install.switch.before"
  | "install.switch.after";

export const noFailpoint: Failpoint = () => undefined;
