/**
 * HTTP/2 frames and the one header block that a unary gRPC call needs.
 *
 * The block uses only the static table and literals that no table keeps, so it is the same bytes for every call. Header blocks of the
 * server are never read: a unary call succeeded if, and only if, a message came before the end of its stream; a refusal is trailers alone.
 */
export const FRAME = { data: 0, headers: 1, rstStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 };
export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8 };
export const SETTING = { enablePush: 2, maxConcurrentStreams: 3, initialWindowSize: 4 };
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
export const HEADER_BYTES = 9;
/** What the protocol says until the server has said otherwise. */
export const FIRST_WINDOW = 65_535;

/** Returns where the frame's payload begins. */
export function writeFrameHeader(buffer, at, length, type, flags, stream) {
  buffer.writeUIntBE(length, at, 3);
  buffer[at + 3] = type;
  buffer[at + 4] = flags;
  return buffer.writeUInt32BE(stream, at + 5);
}

export function readFrameHeader(buffer, at) {
  return {
    length: buffer.readUIntBE(at, 3),
    type: buffer[at + 3],
    flags: buffer[at + 4],
    stream: buffer.readUInt32BE(at + 5) & 0x7fffffff,
  };
}

export function frame(type, flags, stream, payload) {
  const buffer = Buffer.alloc(HEADER_BYTES + payload.length);
  payload.copy(buffer, writeFrameHeader(buffer, 0, payload.length, type, flags, stream));
  return buffer;
}

/** `pairs`: [setting, value]. */
export function settings(pairs) {
  const payload = Buffer.alloc(pairs.length * 6);
  pairs.forEach(([name, value], i) => payload.writeUInt32BE(value, payload.writeUInt16BE(name, i * 6)));
  return frame(FRAME.settings, 0, 0, payload);
}

export function windowUpdate(increment) {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return frame(FRAME.windowUpdate, 0, 0, payload);
}

/** The header block of a gRPC call. Numbers are rows of HPACK's static table. */
export function grpcHeaders(authority, path) {
  return Buffer.concat([
    Buffer.from([0x80 | 3, 0x80 | 6]), // :method POST, :scheme http
    Buffer.from([4]),
    literal(path), // :path
    Buffer.from([1]),
    literal(authority), // :authority
    Buffer.from([15, 31 - 15]),
    literal("application/grpc"), // content-type, whose row needs a second byte
    Buffer.from([0]),
    literal("te"),
    literal("trailers"),
  ]);
}

/** Plain text, no Huffman code. */
function literal(text) {
  if (text.length >= 127) throw new Error(`a header of ${text.length} bytes is more than this driver writes`);
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, "latin1")]);
}
