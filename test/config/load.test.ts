import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import { parseConfigFile } from "../../src/config/file.js";
import { environmentName, loadConfig, rowOf, SETTING_KEYS, type ConfigSources } from "../../src/config/index.js";

function problemsOf(sources: ConfigSources): string {
  try {
    loadConfig(sources);
  } catch (error) {
    if (error instanceof QuorateError && error.code === "QUORATE_CONFIG") return error.message;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

const yaml = (text: string) => ({ file: parseConfigFile("quorate.yaml", text) });

describe("precedence", () => {
  test("a flag wins over the environment, the environment over the file, the file over the default, and each origin is told", () => {
    const { settings, origins } = loadConfig({
      flags: { pingIntervalMs: 11 },
      env: { QUORATE_PING_INTERVAL_MS: "12", QUORATE_CLIENT_LOST_MS: "1300" },
      ...yaml("# comment\npingIntervalMs: 13\nclientLostMs: 1400\nretryDelayMsMin: 150\n"),
    });
    expect(settings.pingIntervalMs).toBe(11);
    expect(settings.clientLostMs).toBe(1300);
    expect(settings.retryDelayMsMin).toBe(150);
    expect(settings.quorumLossMs).toBe(1200);
    expect(origins.pingIntervalMs).toEqual({ kind: "flag", name: "--ping-interval-ms" });
    expect(origins.clientLostMs).toEqual({ kind: "environment", name: "QUORATE_CLIENT_LOST_MS" });
    expect(origins.retryDelayMsMin).toEqual({ kind: "file", path: "quorate.yaml", line: 4 });
    expect(origins.quorumLossMs).toEqual({ kind: "default" });
  });

  test("an empty file and an empty environment give exactly the defaults", () => {
    const { settings } = loadConfig({ env: {}, ...yaml("") });
    for (const key of SETTING_KEYS) expect(settings[key]).toBe(rowOf(key).default);
  });

  test("members may be a list in YAML", () => {
    const { settings } = loadConfig(yaml("members:\n  - 1=a:1/a:2\n  - 2=b:1/b:2\n"));
    expect(settings.members).toBe("1=a:1/a:2,2=b:1/b:2");
  });
});

describe("unknown keys", () => {
  test("a misspelt key in a file is refused with its line and the closest known key", () => {
    expect(problemsOf(yaml("clientLostMs: 2000\npingIntervallMs: 50\n"))).toBe(
      'quorate.yaml:2: unknown setting "pingIntervallMs"; did you mean pingIntervalMs?',
    );
  });

  test("a misspelt variable is refused with the closest known variable", () => {
    expect(problemsOf({ env: { QUORATE_PING_INTERVALL_MS: "50" } })).toBe(
      "unknown environment variable QUORATE_PING_INTERVALL_MS; did you mean QUORATE_PING_INTERVAL_MS?",
    );
  });

  test("a name near nothing is refused without a guess", () => {
    expect(problemsOf(yaml("zzzzqqqq: 1\n"))).toContain("`quorate config print` lists all");
  });

  test("variables of other owners with our prefix are left alone", () => {
    const env = {
      QUORATE_ENDPOINTS: "a:1",
      QUORATE_SERVICE_HOST: "10.0.0.1",
      QUORATE_PORT: "tcp://10.0.0.1:7400",
      QUORATE_PORT_7400_TCP_ADDR: "10.0.0.1",
      QUORATE_PEERS_SERVICE_PORT: "1",
      QUORATE_TEST_KEEP: "1",
      PATH: "/bin",
    };
    expect(() => loadConfig({ env })).not.toThrow();
  });
});

describe("values", () => {
  test("a value outside its bounds names the key, the value, the bounds and the origin", () => {
    expect(problemsOf(yaml("pingIntervalMs: 2\n"))).toBe("pingIntervalMs is 2, outside its bounds 5 to 10000 ms (quorate.yaml:1)");
  });

  test("every integer takes exactly its bounds and refuses one beyond", () => {
    for (const key of SETTING_KEYS) {
      const row = rowOf(key);
      if (row.type !== "integer") continue;
      for (const value of [row.min - 1, row.max + 1])
        expect(problemsOf({ flags: { [key]: value } })).toContain(`${key} is ${value}, outside`);
      for (const value of [row.min, row.max]) {
        // Other rows may contradict an extreme value, but then the bounds are not what is wrong.
        try {
          loadConfig({ flags: { [key]: value } });
        } catch (error) {
          expect(String(error)).not.toContain("bounds");
        }
      }
    }
  });

  test("units are understood where they fit", () => {
    const { settings } = loadConfig({ flags: { initLimitMs: "1.5s", historyBytesKeep: "16MiB", retentionMs: "2h" } });
    expect(settings.initLimitMs).toBe(1500);
    expect(settings.historyBytesKeep).toBe(16 * 1024 * 1024);
    expect(settings.retentionMs).toBe(7_200_000);
    expect(problemsOf({ flags: { initLimitMs: "5MiB" } })).toContain('initLimitMs is "5MiB", but must be an integer (ms)');
    expect(problemsOf({ flags: { historyBytesKeep: "5s" } })).toContain("historyBytesKeep");
  });

  test("booleans and choices are closed lists", () => {
    expect(loadConfig({ env: { QUORATE_BOOTSTRAP: "true" } }).settings.bootstrap).toBe(true);
    expect(problemsOf({ env: { QUORATE_BOOTSTRAP: "yes" } })).toContain("must be true or false (QUORATE_BOOTSTRAP)");
    expect(problemsOf(yaml("logLevel: loud\n"))).toContain("one of debug, info, warn, error, fatal (quorate.yaml:1)");
  });

  test("no text ever crashes the reader: it is a value or a named problem", () => {
    fc.assert(
      fc.property(fc.constantFrom(...SETTING_KEYS), fc.string(), (key, text) => {
        try {
          loadConfig({ env: { [environmentName(key)]: text } });
        } catch (error) {
          expect(error).toBeInstanceOf(QuorateError);
          expect(String(error)).toContain(key);
        }
      }),
    );
  });

  test("any YAML text is a configuration or a QUORATE_CONFIG error", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          loadConfig(yaml(text));
        } catch (error) {
          expect(error).toMatchObject({ code: "QUORATE_CONFIG" });
        }
      }),
    );
  });
});

describe("all problems at once", () => {
  test("each problem is a line", () => {
    const text = problemsOf({ env: { QUORATE_NOPE: "1" }, ...yaml("pingIntervalMs: 1\nnope: 2\n") });
    expect(text.split("\n")).toHaveLength(3);
  });

  test("a key given twice in a file is refused with its line", () => {
    expect(problemsOf(yaml("pingIntervalMs: 50\npingIntervalMs: 60\n"))).toMatch(/quorate\.yaml:2: .*unique/i);
  });

  test("values that cannot hold together are refused with both names", () => {
    const text = problemsOf({ flags: { retryDelayMsMin: 5000, retryDelayMsMax: 100 } });
    expect(text).toBe("retryDelayMsMin 5000 (--retry-delay-ms-min) must not be above retryDelayMsMax 100 (--retry-delay-ms-max)");
    expect(problemsOf({ flags: { pingIntervalMs: 900 } })).toContain("one late heartbeat ends a leader");
  });
});
