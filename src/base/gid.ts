/**
 * Global transaction ids.
 *
 * A gid is `<group>-<uuid v7 as 32 hex digits>`, at most 48 ASCII characters of a strict alphabet, because it ends up inside SQL
 * text and XA ids. The UUID's own 48-bit millisecond time says how old the gid is: the floor and the commit window are compared
 * with it, never with a clock at apply.
 */
declare const brand: unique symbol;
export type Gid = string & { readonly [brand]: "Gid" };

export const GID_PATTERN = /^[a-z][a-z0-9]{0,14}-[0-9a-f]{32}$/;
export const GID_MAX_LENGTH = 48;

/** What is wrong with a gid, in words that name the field and the fix; undefined when it is well formed. */
export function gidProblem(value: string, field = "gid"): string | undefined {
  if (GID_PATTERN.test(value)) return undefined;
  if (value.length > GID_MAX_LENGTH) return `${field} is ${value.length} characters long; the limit is ${GID_MAX_LENGTH}`;
  const bad = /[^a-z0-9-]/.exec(value);
  if (bad !== null)
    return `${field} has the character ${JSON.stringify(bad[0])} at position ${bad.index}; only a-z, 0-9 and "-" are allowed`;
  return `${field} ${JSON.stringify(value)} must be <group>-<32 hex digits of a UUID v7>, for example q-0192f0c1a2b37c4d8e9f0a1b2c3d4e5f; let the client library or Begin make it`;
}

export function isGid(value: string): value is Gid {
  return GID_PATTERN.test(value);
}

/** Brands a text that is known to be a gid. Throws RangeError with the problem otherwise. */
export function gid(value: string): Gid {
  const problem = gidProblem(value);
  if (problem !== undefined) throw new RangeError(problem);
  return value as Gid;
}

/** Milliseconds since 1970 inside the gid's UUID v7. */
export function gidTimeMs(value: Gid): number {
  return uuidTimeMs(value.slice(value.indexOf("-") + 1));
}

/** Milliseconds since 1970 inside a UUID v7 given as 32 hex digits. */
export function uuidTimeMs(hex: string): number {
  return Number.parseInt(hex.slice(0, 12), 16);
}

/**
 * A UUID v7 as 32 hex digits, from a given time (ms since 1970) and a source of random 32-bit integers.
 * RFC 9562 section 5.7. Pure: the caller brings time and randomness, so a simulator can replay it.
 */
export function uuid7(timeMs: number, random32: () => number): string {
  const time = Math.max(0, Math.floor(timeMs)).toString(16).padStart(12, "0").slice(-12);
  const hex8 = (n: number): string => (n >>> 0).toString(16).padStart(8, "0");
  const a = hex8(random32());
  const b = hex8(random32());
  const c = hex8(random32());
  const variant = (8 + (Number.parseInt(b[0] ?? "0", 16) & 3)).toString(16);
  return `${time}7${a.slice(0, 3)}${variant}${b.slice(1)}${c}`;
}

/** A new gid of `group`. */
export function newGid(timeMs: number, random32: () => number, group = "q"): Gid {
  return gid(`${group}-${uuid7(timeMs, random32)}`);
}
