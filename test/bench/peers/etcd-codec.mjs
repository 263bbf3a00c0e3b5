/**
 * The messages of etcd's v3 API that a driver needs, in protobuf: two writes, and what their answers say.
 */
const BYTES = 2;
const VARINT = 0;
const CREATE_REVISION = 1;

/** etcdserverpb.PutRequest: key = 1, value = 2. */
export function putRequest(key, value) {
  return message([bytes(1, Buffer.from(key)), bytes(2, value)]);
}

/**
 * etcdserverpb.TxnRequest: compare = 1, success = 2. If no key of this name was ever created, it is put.
 *
 * The comparison is that of `create_revision` (target = 2, key = 3, create_revision = 5, which is written although 0: a oneof) for equality (result = 1, 0 left out).
 */
export function createRequest(key, value) {
  const compare = message([varint(2, CREATE_REVISION), bytes(3, Buffer.from(key)), varint(5, 0)]);
  const operation = bytes(2, putRequest(key, value)); // RequestOp.request_put
  return message([bytes(1, compare), bytes(2, operation)]);
}

/** `{ revision, succeeded }` of a PutResponse or TxnResponse: header = 1 { revision = 3 }, succeeded = 2. */
export function readWritten(buffer, at, end) {
  let revision = 0;
  let succeeded = false;
  each(buffer, at, end, (field, wire, value, valueEnd) => {
    if (field === 2 && wire === VARINT) succeeded = value !== 0;
    if (field !== 1 || wire !== BYTES) return;
    each(buffer, value, valueEnd, (inner, innerWire, number) => {
      if (inner === 3 && innerWire === VARINT) revision = number;
    });
  });
  return { revision, succeeded };
}

/**
 * StatusResponse: header = 1 { member_id = 2 }, version = 2, leader = 4, raftIndex = 5, raftAppliedIndex = 7. Ids as 16 hex digits: they have 64 bits.
 */
export function readStatus(buffer) {
  const status = { member: "0", leader: "0", version: "", raftIndex: 0, appliedIndex: 0 };
  each(buffer, 0, buffer.length, (field, wire, value, end, id) => {
    if (field === 4 && wire === VARINT) status.leader = id();
    if (field === 1 && wire === BYTES)
      each(buffer, value, end, (inner, innerWire, _, __, innerId) => {
        if (inner === 2 && innerWire === VARINT) status.member = innerId();
      });
    if (field === 2 && wire === BYTES) status.version = buffer.toString("utf8", value, end);
    if (field === 5 && wire === VARINT) status.raftIndex = value;
    if (field === 7 && wire === VARINT) status.appliedIndex = value;
  });
  return status;
}

function message(parts) {
  return Buffer.concat(parts);
}

function varint(field, value) {
  return Buffer.concat([tag(field, VARINT), number(value)]);
}

function bytes(field, value) {
  return Buffer.concat([tag(field, BYTES), number(value.length), value]);
}

function tag(field, wire) {
  return number(field * 8 + wire);
}

function number(value) {
  const out = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...out, rest]);
    out.push((rest % 128) | 128);
  }
}

/** Calls back for each field: a varint's value, or where its bytes begin and end. `id()` is a varint exactly, as text. */
function each(buffer, from, end, found) {
  let at = from;
  const next = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= end) throw new Error("a message of etcd ends in the middle of a field");
      const byte = buffer[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < end) {
    const key = next();
    const wire = key & 7;
    if (wire === VARINT) {
      const began = at;
      const value = next();
      const stop = at;
      found(key >>> 3, wire, value, 0, () => exact(buffer, began, stop));
    } else if (wire === BYTES) {
      const length = next();
      found(key >>> 3, wire, at, at + length, undefined);
      at += length;
    } else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
    else throw new Error(`a message of etcd has a field of the unknown kind ${wire}`);
  }
}

function exact(buffer, from, end) {
  let value = 0n;
  for (let i = end - 1; i >= from; i--) value = (value << 7n) | BigInt(buffer[i] & 127);
  return value.toString(16).padStart(16, "0");
}
