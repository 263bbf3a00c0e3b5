export { REPLICA_FAILPOINTS } from "./ports.js";
export type {
  ClockPort,
  FailpointName,
  LogPort,
  NetPort,
  Recovered,
  ReplicaObserver,
  SessionPort,
  StatePort,
  StateWrite,
} from "./ports.js";
export { Replica, sameMoment } from "./replica.js";
export type { ReplicaOptions, ReplicaPorts, ReplicaStatus } from "./replica.js";
export { StampClock } from "./stamp-clock.js";
