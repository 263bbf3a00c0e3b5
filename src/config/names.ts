/**
 * The three spellings of a setting, and the guess for one that was misspelt.
 */
import { SETTING_KEYS, type SettingKey } from "./table.js";

/** `pingIntervalMs` is `ping-interval-ms` on the command line. */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `pingIntervalMs` is `QUORATE_PING_INTERVAL_MS` in the environment. */
export function environmentName(key: string): string {
  return `QUORATE_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** The setting closest to a name that nobody knows; undefined when none is near. */
export function closestKey(name: string): SettingKey | undefined {
  const plain = normalize(name);
  let best: SettingKey | undefined;
  let bestDistance = Math.floor(plain.length / 3) + 1;
  for (const key of SETTING_KEYS) {
    const distance = editDistance(plain, normalize(key));
    if (distance < bestDistance) {
      best = key;
      bestDistance = distance;
    }
  }
  return best;
}

function normalize(name: string): string {
  return name.replace(/[^A-Za-z0-9]/g, "").toLowerCase();
}

/** Levenshtein distance. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitute, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** "unknown setting "x"; did you mean y?" `spell` turns a key into the notation of the place. */
export function unknown(what: string, name: string, spell: (key: string) => string): string {
  const guess = closestKey(name);
  const spelt = what === "setting" ? `${what} ${JSON.stringify(name)}` : what;
  return `unknown ${spelt}${guess === undefined ? "; `quorate config print` lists all" : `; did you mean ${spell(guess)}?`}`;
}
