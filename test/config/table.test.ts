import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Prng } from "../../src/base/index.js";
import {
  closestKey,
  configDocument,
  defaultSettings,
  drawTunables,
  editDistance,
  environmentName,
  flagName,
  formatAmount,
  rowOf,
  SETTING_KEYS,
} from "../../src/config/index.js";

describe("the table", () => {
  test("every default and every simulation range lies inside its bounds, and every row says why", () => {
    for (const key of SETTING_KEYS) {
      const row = rowOf(key);
      expect(row.reason.length, key).toBeGreaterThan(20);
      if (row.type === "choice") expect(row.choices).toContain(row.default);
      if (row.type !== "integer") continue;
      for (const value of [row.default, ...(row.simulation ?? [])]) {
        expect(value, key).toBeGreaterThanOrEqual(row.min);
        expect(value, key).toBeLessThanOrEqual(row.max);
      }
      if (row.simulation !== undefined) expect(row.simulation[0], key).toBeLessThanOrEqual(row.simulation[1]);
    }
  });

  test("a frozen leader is replaced within two seconds by the defaults", () => {
    const { followerSilenceMsMax, finalizeWaitMs } = defaultSettings();
    expect(followerSilenceMsMax + finalizeWaitMs).toBeLessThan(2000);
  });

  test("a draw is inside every simulation range", () => {
    const prng = new Prng("draw");
    for (let i = 0; i < 50; i++) {
      const drawn = drawTunables((min, max) => prng.int(min, max));
      for (const [key, value] of Object.entries(drawn)) {
        const row = rowOf(key as keyof typeof drawn);
        if (row.type !== "integer") throw new Error(key);
        const [min, max] = row.simulation ?? [row.default, row.default];
        expect(value).toBeGreaterThanOrEqual(min);
        expect(value).toBeLessThanOrEqual(max);
      }
    }
  });

  test("flags and variables are distinct", () => {
    expect(new Set(SETTING_KEYS.map(flagName)).size).toBe(SETTING_KEYS.length);
    expect(new Set(SETTING_KEYS.map(environmentName)).size).toBe(SETTING_KEYS.length);
  });

  test("docs/config.md is what the table says", () => {
    expect(readFileSync(new URL("../../docs/config.md", import.meta.url), "utf8")).toBe(configDocument());
  });
});

describe("names", () => {
  test("distances", () => {
    expect(editDistance("", "abc")).toBe(3);
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(editDistance("same", "same")).toBe(0);
  });

  test("a close name is guessed in any spelling", () => {
    expect(closestKey("ping_interval_ms")).toBe("pingIntervalMs");
    expect(closestKey("pingIntervl")).toBe("pingIntervalMs");
    expect(closestKey("DATA-DIR")).toBe("dataDir");
    expect(closestKey("x")).toBeUndefined();
  });

  test("amounts are shown in the largest whole unit", () => {
    expect(formatAmount(1500, "ms")).toBe("1500 ms");
    expect(formatAmount(600_000, "ms")).toBe("10 min");
    expect(formatAmount(32 * 1024 * 1024, "bytes")).toBe("32 MiB");
    expect(formatAmount(64 * 1024 * 1024, "bytes/s")).toBe("64 MiB/s");
    expect(formatAmount(20_000, "entries")).toBe("20000");
  });
});
