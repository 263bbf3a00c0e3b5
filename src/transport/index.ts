export type {
  ClientServer,
  ClientServerHandlers,
  ClientServerOptions,
  PeerNet,
  PeerNetOptions,
  SnapshotChunk,
  StreamStats,
} from "./api.js";
export { createClientServer } from "./client-server.js";
export { CLIENT_REQUESTS_MAX } from "./client-stream.js";
export { SESSION_BUFFER_BYTES_MAX } from "./follow-session.js";
export { createPeerNet } from "./peer-net.js";
