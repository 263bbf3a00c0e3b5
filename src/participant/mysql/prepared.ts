/** Every prepared branch of a server, of Quorate or not. */
import type { PreparedBranch } from "../prepared.js";
import { promisePool, Session, type MysqlPool } from "./session.js";
import { recover } from "./xa.js";
import { parseXid, type RawXid } from "./xid.js";

/** XA RECOVER tells no time, and lists the whole server. Rejects with the database's own error. */
export async function listPrepared(pool: MysqlPool): Promise<readonly PreparedBranch[]> {
  const all = await Session.use(promisePool(pool), recover);
  return all.map((raw) => ({ id: printable(raw), ageMs: undefined, owner: parseXid(raw) }));
}

/** As an XA statement would name it: what is not plain text stands in hexadecimal. */
function printable({ gtrid, bqual, format }: RawXid): string {
  const part = (bytes: Buffer): string => {
    const text = bytes.toString("latin1");
    return /^[\x20-\x26\x28-\x7e]*$/.test(text) ? `'${text}'` : `0x${bytes.toString("hex")}`;
  };
  return `${part(gtrid)},${part(bqual)},${format}`;
}
