/**
 * Membership as data: proto/quorate/v1/peer.proto, Configuration.
 */
import { ZXID_ZERO } from "../base/index.js";
import type { Configuration, Member, Membership } from "../zab/index.js";
import { readNodeId, readZxid, requiredNodeId, writeZxid } from "./common-codec.js";
import { MEMBER_ROLE } from "./enums.js";
import type { ProtoReader } from "./proto-reader.js";
import { nested } from "./proto-reader.js";
import type { ProtoWriter } from "./proto-writer.js";
import { WireError } from "./wire-error.js";

function writeMembership(w: ProtoWriter, field: number, membership: Membership): void {
  const mark = w.mark();
  for (let i = membership.members.length - 1; i >= 0; i--) {
    const member = membership.members[i] as Member;
    const inner = w.mark();
    w.uint(4, MEMBER_ROLE.code(member.role));
    w.text(3, member.clientAddress);
    w.text(2, member.peerAddress);
    w.uint(1, member.id);
    w.message(2, inner);
  }
  writeZxid(w, 1, membership.version);
  w.message(field, mark);
}

export function writeConfiguration(w: ProtoWriter, field: number, configuration: Configuration): void {
  const mark = w.mark();
  if (configuration.next !== undefined) writeMembership(w, 2, configuration.next);
  writeMembership(w, 1, configuration.current);
  w.message(field, mark);
}

function readMember(r: ProtoReader): Member {
  let id: Member["id"] | undefined;
  let peerAddress = "";
  let clientAddress = "";
  let role: Member["role"] | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) id = readNodeId(r);
    else if (tag === 18) peerAddress = r.text();
    else if (tag === 26) clientAddress = r.text();
    else if (tag === 32) role = MEMBER_ROLE.read(r);
    else r.skip(tag);
  }
  return { id: requiredNodeId(id), peerAddress, clientAddress, role: MEMBER_ROLE.required(role) };
}

function readMembership(r: ProtoReader): Membership {
  let version = ZXID_ZERO;
  const members: Member[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) version = readZxid(r);
    else if (tag === 18) members.push(nested(r, readMember));
    else r.skip(tag);
  }
  return { version, members };
}

export function readConfiguration(r: ProtoReader): Configuration {
  let current: Membership | undefined;
  let next: Membership | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) current = nested(r, readMembership);
    else if (tag === 18) next = nested(r, readMembership);
    else r.skip(tag);
  }
  if (current === undefined) throw new WireError("a configuration without a current membership");
  return { current, next };
}
