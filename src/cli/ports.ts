/**
 * Ports for the nodes of one machine: the documented ones, or the same block shifted until all of it is free.
 */
import { createServer } from "node:net";
import { QuorateError } from "../base/index.js";

export const HOST = "127.0.0.1";
const CLIENT_PORT = 7400;
const PEER_PORT = 7500;
const ADMIN_PORT = 7600;

/** Inside one hundred first, so that the last digit still tells the node; then the same ports of the next thousands. */
const SHIFTS: readonly number[] = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000];

export interface NodePorts {
  readonly client: number;
  readonly peer: number;
  readonly admin: number;
}

export interface PortBlock {
  readonly shift: number;
  /** The first port of the documented block that was taken. */
  readonly taken: number | undefined;
  readonly ports: readonly NodePorts[];
}

export function portsAt(shift: number, nodes: number): readonly NodePorts[] {
  return Array.from({ length: nodes }, (_, i) => ({
    client: CLIENT_PORT + shift + i,
    peer: PEER_PORT + shift + i,
    admin: ADMIN_PORT + shift + i,
  }));
}

/** Throws QUORATE_CONFIG when every block has a port in use. */
export async function findPortBlock(nodes: number): Promise<PortBlock> {
  let taken: number | undefined;
  for (const shift of SHIFTS) {
    const ports = portsAt(shift, nodes);
    const busy = await firstBusy(ports.flatMap((node) => [node.client, node.peer, node.admin]));
    if (busy === undefined) return { shift, taken, ports };
    taken ??= busy;
  }
  throw new QuorateError(
    "QUORATE_CONFIG",
    `no free block of ports: each of ${SHIFTS.map((shift) => CLIENT_PORT + shift).join(", ")} and the ports after it have one in use`,
  );
}

async function firstBusy(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) if (!(await isFree(port))) return port;
  return undefined;
}

export function isFree(port: number, host = HOST): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
