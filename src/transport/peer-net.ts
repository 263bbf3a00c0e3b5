/**
 * The peer network of one node on gRPC: a server for the three lanes, a control link to every other voter, sessions and snapshots.
 */
import type { ServerWritableStream } from "@grpc/grpc-js";
import { Server, status } from "@grpc/grpc-js";
import { randomBytes } from "node:crypto";
import type { NodeId } from "../base/index.js";
import { must } from "../base/index.js";
import { SERVER_OPTIONS, serviceShape } from "../wire/index.js";
import type { PeerNet, PeerNetOptions } from "./api.js";
import { bytesService } from "./bytes.js";
import { ControlAcceptor } from "./control-acceptor.js";
import { ControlLink } from "./control-link.js";
import { Counters } from "./counters.js";
import { FollowLane } from "./follow-lane.js";
import { listen } from "./listen.js";
import type { PeerIdentity } from "./peer-identity.js";
import { identify, identityMetadata } from "./peer-identity.js";
import { RefusalLog } from "./refusal-log.js";
import { fetchSnapshot, serveSnapshot } from "./snapshot-lane.js";
import type { RawServerStream } from "./stream.js";
import { TurnFlusher } from "./turn-flusher.js";

type AnyCall = RawServerStream | ServerWritableStream<Uint8Array, Uint8Array>;

/** Resolves when the port is bound and the other voters are being dialed. Rejects with a QuorateError that names the address. */
export async function createPeerNet(options: PeerNetOptions): Promise<PeerNet> {
  const lanes = serviceShape("Peer");
  const path = (lane: string): string => must(lanes[lane], `method Peer.${lane}`).path;
  const addresses = new Map(options.peers.filter(({ id }) => id !== options.self).map(({ id, address }) => [id, address]));
  const addressOf = (peer: NodeId): string => must(addresses.get(peer), `address of n${peer}`);
  const known: ReadonlySet<NodeId> = new Set(addresses.keys());
  const metadata = identityMetadata(options.clusterId, { node: options.self, incarnation: randomBytes(16).toString("hex") });
  const flusher = new TurnFlusher();
  const counters = new Counters();
  const refusals = new RefusalLog(options.log);
  const { onInput, log } = options;
  const links = new Map<NodeId, ControlLink>();

  const acceptor = new ControlAcceptor({
    counters,
    log,
    onMessage: (from, message) => onInput({ kind: "control", from, message }),
    onSeen: (node) => links.get(node)?.hurry(),
  });
  const follow = new FollowLane({ path: path("Follow"), metadata, addressOf, flusher, counters, log, onInput });

  function admit(call: AnyCall): PeerIdentity | undefined {
    const result = identify(call.metadata, options.clusterId, options.self, known);
    if (result.ok) return result.identity;
    counters.refused++;
    refusals.warn({ remote: call.getPeer() }, `a peer is refused: ${result.refusal.details}`);
    call.emit("error", result.refusal);
    return undefined;
  }

  const server = new Server(SERVER_OPTIONS);
  server.addService(bytesService("Peer"), {
    Control(call: RawServerStream) {
      const identity = admit(call);
      if (identity !== undefined) acceptor.take(call, identity);
    },
    Follow(call: RawServerStream) {
      const identity = admit(call);
      if (identity === undefined) return;
      const live = acceptor.incarnationOf(identity.node);
      if (live !== undefined && live !== identity.incarnation) {
        // Either a duplicate, which the control lane refuses, or a restarted node that the control lane is about to admit.
        call.emit("error", {
          code: status.UNAVAILABLE,
          details: "another process has this node id; try again once the control link is up",
        });
        return;
      }
      follow.take(call, identity.node);
    },
    Snapshot(call: ServerWritableStream<Uint8Array, Uint8Array>) {
      const identity = admit(call);
      if (identity === undefined) return;
      void serveSnapshot(call, identity.node, { read: options.readSnapshot, bytesPerSecond: options.snapshotBytesPerSecond, log });
    },
  });
  const port = await listen(server, options.listenAddress, "other nodes");

  for (const [peer, address] of addresses) {
    const link = new ControlLink({
      peer,
      address,
      path: path("Control"),
      metadata,
      flusher,
      counters,
      log,
      onLink: (up) => onInput({ kind: "link", peer, up }),
    });
    links.set(peer, link);
  }
  for (const link of links.values()) link.dial();

  return {
    port,
    control: (to, message) => links.get(to)?.send(message),
    dial: (session, peer) => follow.dial(session, peer),
    session: (session, message) => follow.send(session, message),
    close: (session) => follow.close(session),
    fetchSnapshot: (peer, snapshotId, signal) => fetchSnapshot(addressOf(peer), path("Snapshot"), metadata, peer, snapshotId, signal),
    flush: () => flusher.flush(),
    stats: () => counters.snapshot(),
    shutdown() {
      for (const link of links.values()) link.close();
      acceptor.close();
      follow.closeAll();
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}
