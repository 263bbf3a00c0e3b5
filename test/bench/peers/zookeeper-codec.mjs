/**
 * ZooKeeper's client protocol, as far as a driver needs it: jute records (big-endian, length before every string and buffer) in frames
 * that begin with their length, four bytes.
 *
 * Writers put one whole frame into `buffer` at `at` and return where it ends.
 */
export const OP = { create: 1, setData: 5, ping: 11, closeSession: -11 };
export const XID_PING = -2;
export const XID_EVENT = -1;
export const ERROR_NODE_EXISTS = -110;
const PASSWORD_BYTES = 16;
const PERMISSIONS_ALL = 31;
const SCHEME = "world";
const WHO = "anyone";

/** Everything of a frame but path and value. */
export const FRAME_OVERHEAD = 64;

export function writeConnect(buffer, at, timeoutMs) {
  let p = at + 4;
  p = buffer.writeInt32BE(0, p); // version
  p = buffer.writeBigInt64BE(0n, p); // last zxid seen
  p = buffer.writeInt32BE(timeoutMs, p);
  p = buffer.writeBigInt64BE(0n, p); // a new session
  p = buffer.writeInt32BE(PASSWORD_BYTES, p);
  buffer.fill(0, p, p + PASSWORD_BYTES);
  p += PASSWORD_BYTES;
  p = buffer.writeUInt8(0, p); // not for reading only
  return endFrame(buffer, at, p);
}

/** A persistent node that anybody may change. */
export function writeCreate(buffer, at, xid, path, value) {
  let p = header(buffer, at, xid, OP.create);
  p = text(buffer, p, path);
  p = bytes(buffer, p, value);
  p = buffer.writeInt32BE(1, p); // one rule of access
  p = buffer.writeInt32BE(PERMISSIONS_ALL, p);
  p = text(buffer, p, SCHEME);
  p = text(buffer, p, WHO);
  p = buffer.writeInt32BE(0, p); // flags: persistent
  return endFrame(buffer, at, p);
}

/** Whatever its version was. */
export function writeSetData(buffer, at, xid, path, value) {
  let p = header(buffer, at, xid, OP.setData);
  p = text(buffer, p, path);
  p = bytes(buffer, p, value);
  p = buffer.writeInt32BE(-1, p);
  return endFrame(buffer, at, p);
}

export function writePing(buffer, at) {
  return endFrame(buffer, at, header(buffer, at, XID_PING, OP.ping));
}

export function writeCloseSession(buffer, at, xid) {
  return endFrame(buffer, at, header(buffer, at, xid, OP.closeSession));
}

/** `at` is where the record begins, after the frame's length. A timeout of 0 means that the session is refused. */
export function readConnected(buffer, at) {
  return { timeoutMs: buffer.readInt32BE(at + 4), session: buffer.readBigInt64BE(at + 8) };
}

export function readReply(buffer, at) {
  return { xid: buffer.readInt32BE(at), zxid: buffer.readBigInt64BE(at + 4), error: buffer.readInt32BE(at + 12) };
}

function header(buffer, at, xid, op) {
  return buffer.writeInt32BE(op, buffer.writeInt32BE(xid, at + 4));
}

function text(buffer, p, value) {
  const length = buffer.write(value, p + 4, "utf8");
  buffer.writeInt32BE(length, p);
  return p + 4 + length;
}

function bytes(buffer, p, value) {
  buffer.writeInt32BE(value.length, p);
  buffer.set(value, p + 4);
  return p + 4 + value.length;
}

function endFrame(buffer, at, end) {
  buffer.writeInt32BE(end - at - 4, at);
  return end;
}
