/**
 * What a run needs of the cluster that it tests, whoever started it.
 */
import type { NodeId, Quorate } from "../../src/index.js";

/** One node's own word on where it stands. */
export interface NodeSight {
  readonly role: string;
  readonly phase: string;
  readonly epoch: number;
  readonly leader: number | null;
  readonly established: boolean;
}

export interface Leadership {
  readonly id: NodeId;
  readonly epoch: number;
}

export interface ClusterUnderTest {
  readonly nodes: readonly NodeId[];
  /** Several, so that races are between different streams. */
  readonly clients: readonly Quorate[];
  /** What clients and participants connect to. */
  readonly endpoints: string;
  /** Where participants must dial a node's client address; an address that is absent is dialed as it is. */
  readonly participantRoutes: Readonly<Record<string, string>>;
  /** An address of this machine at which the nodes can call a service; undefined: not known. */
  readonly servicesHost: string | undefined;
  /** `host:port` at which clients in this process dial one node. */
  clientAddress(id: NodeId): string;
  /** As the clients see it: the one with the highest epoch wins. */
  leader(): Leadership | undefined;
  /** Undefined: the node does not answer. */
  sight(id: NodeId): Promise<NodeSight | undefined>;
  /** Of a process on this machine. */
  pid(id: NodeId): number | undefined;
  /** Of a folder on this machine. */
  dataDir(id: NodeId): string | undefined;
  logFiles(): readonly string[];
  /** Whether a majority is up and mutually connected, as far as this process has broken it; undefined: it cannot know. */
  majorityConnected(): boolean | undefined;
  /** This node's present process has answered: from now on it counts as up. */
  sawAnswer(id: NodeId): void;
  /** Resolves when everything is running and in touch again. Throws a QuorateError when it does not come back. */
  healed(): Promise<void>;
  close(): Promise<void>;
}

/** The newest of what these clients believe. */
export function leaderSeenBy(clients: readonly Quorate[]): Leadership | undefined {
  const views = clients.flatMap((client) => {
    const view = client.view();
    return view?.leader === undefined || !view.established ? [] : [{ id: view.leader, epoch: view.epoch }];
  });
  return views.sort((a, b) => b.epoch - a.epoch)[0];
}
