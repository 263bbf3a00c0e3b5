/**
 * Bytes that are not what they claim to be. Whoever decodes drops the connection they came from, never the process.
 */
export class WireError extends Error {
  override readonly name = "WireError";
}
