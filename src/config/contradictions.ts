/**
 * Settings that are each inside their bounds but cannot hold together.
 */
import type { SettingKey, Settings, TunableKey } from "./table.js";

/** Fewer heartbeats than this inside the shortest silence would turn one late packet into an election. */
const PINGS_PER_SILENCE_MIN = 4;

/** `smaller` must not exceed `larger`. */
const ORDERED: readonly (readonly [TunableKey, TunableKey])[] = [
  ["followerSilenceMsMin", "followerSilenceMsMax"],
  ["notifyResendMsMin", "notifyResendMsMax"],
  ["retryDelayMsMin", "retryDelayMsMax"],
  ["batchBytesMax", "uncommittedBytesMax"],
];

/** One sentence for each contradiction, naming both settings and their origins. */
export function contradictions(settings: Settings, originOf: (key: SettingKey) => string): readonly string[] {
  const out: string[] = [];
  const say = (key: TunableKey): string => `${key} ${settings[key]} (${originOf(key)})`;
  for (const [smaller, larger] of ORDERED) {
    if (settings[smaller] > settings[larger]) out.push(`${say(smaller)} must not be above ${say(larger)}`);
  }
  for (const silence of ["followerSilenceMsMin", "quorumLossMs"] as const) {
    if (settings[silence] < PINGS_PER_SILENCE_MIN * settings.pingIntervalMs)
      out.push(
        `${say(silence)} must be at least ${PINGS_PER_SILENCE_MIN} times ${say("pingIntervalMs")}, or one late heartbeat ends a leader`,
      );
  }
  return out;
}
