/**
 * The gRPC services of quorate.v1: paths, and which side streams.
 *
 * proto/quorate/v1 is the truth; a test holds this list against it. Reading the files at every start instead would cost a node a
 * fifth of the time from its birth to its first vote.
 */
export type ServiceName = "Peer" | "Session" | "Participants" | "Participant" | "Coordinator";

export interface MethodShape {
  /** "/quorate.v1.Session/Open" */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

type Streams = "none" | "response" | "both";

const SERVICES: Readonly<Record<ServiceName, Readonly<Record<string, Streams>>>> = {
  Peer: { Control: "both", Follow: "both", Snapshot: "response" },
  Session: { Open: "both" },
  Participants: { Attach: "both" },
  // Served by others, called by the leader.
  Participant: { Call: "none" },
  Coordinator: {
    Begin: "none",
    Enlist: "none",
    Commit: "none",
    Abort: "none",
    Get: "none",
    List: "none",
    Put: "none",
    Read: "none",
    Retry: "none",
    Resolve: "none",
    Status: "none",
    MoveLeader: "none",
    Health: "none",
  },
};

/** The methods of a service by their names. */
export function serviceShape(service: ServiceName): Readonly<Record<string, MethodShape>> {
  return Object.fromEntries(
    Object.entries(SERVICES[service]).map(([name, streams]) => [
      name,
      { path: `/quorate.v1.${service}/${name}`, requestStream: streams === "both", responseStream: streams !== "none" },
    ]),
  );
}
