/**
 * Texts for people, cut to a length on their way into a record.
 *
 * Half of a surrogate pair has no UTF-8 form: the leader would apply it as it is, and everybody else the character that replaces it.
 */

/** The first `max` UTF-16 units, without half a character at the end. */
export function clip(text: string, max: number): string {
  if (text.length <= max) return text;
  const last = text.charCodeAt(max - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? max - 1 : max);
}
