export type { Damage, Entry, EpochRecord, PersistOp, PersistRequest, RecoveredLog } from "./entry.js";
export type { ProposeRefusal, Ready, Role, SessionId, SyncKind, ZabEvent, ZabInput } from "./input.js";
export type { Configuration, Member, Membership } from "./membership.js";
export type { ControlMessage, ElectionVote, PeerState, SessionMessage } from "./message.js";
export type { CreateZabPeer, SyncRecord, ZabOptions, ZabPeer, ZabStatus } from "./peer-api.js";
export { createZabPeer } from "./peer.js";
