/**
 * The work of a branch from the command line: `--payload TEXT` or `--payload-file FILE`.
 */
import { readFileSync } from "node:fs";
import { messageOf, QuorateError } from "../base/index.js";
import { decodeKvPayload } from "../participant/kv/index.js";
import { TXN_LIMITS } from "../txn/index.js";
import { text, type CommandArgs } from "./command.js";

/**
 * The bytes to send; empty when neither option is given. Work for a key-value participant must be a list of its operations, which is
 * checked here so that a typing error is not first seen as a vote of no.
 * Throws QUORATE_INVALID_ARGUMENT, QUORATE_TOO_LARGE.
 */
export function payloadOf(args: CommandArgs, participantKind: string | undefined): Uint8Array {
  const given = text(args, "payload");
  const file = text(args, "payload-file");
  if (given !== undefined && file !== undefined)
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", "give --payload or --payload-file, not both");
  const payload = file === undefined ? Buffer.from(given ?? "", "utf8") : readPayload(file);
  const { payloadBytesMax } = TXN_LIMITS;
  if (payload.length > payloadBytesMax)
    throw new QuorateError("QUORATE_TOO_LARGE", `the payload is ${payload.length} bytes; the limit payloadBytesMax is ${payloadBytesMax}`, {
      retry: "never",
    });
  if (participantKind === "kv") {
    const decoded = decodeKvPayload(payload);
    if ("problem" in decoded)
      throw new QuorateError(
        "QUORATE_INVALID_ARGUMENT",
        `payload: ${decoded.problem}. A kv participant takes a JSON list of operations, for example '[{"op":"add","key":"acct-7","delta":-5,"min":0}]'`,
      );
  }
  return payload;
}

function readPayload(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--payload-file ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
