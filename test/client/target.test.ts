import { describe, expect, test } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import { parseEndpoints, resolveTarget } from "../../src/client/index.js";

describe("a connection string", () => {
  test("with the scheme, a plain list and a list of texts name the same endpoints", () => {
    const expected = ["127.0.0.1:7400", "127.0.0.1:7401"];
    expect(parseEndpoints("quorate://127.0.0.1:7400,127.0.0.1:7401")).toEqual(expected);
    expect(parseEndpoints("quorate://127.0.0.1:7400,127.0.0.1:7401/")).toEqual(expected);
    expect(parseEndpoints(" 127.0.0.1:7400 , 127.0.0.1:7401 ")).toEqual(expected);
    expect(parseEndpoints(["127.0.0.1:7400", "127.0.0.1:7401", "127.0.0.1:7400"])).toEqual(expected);
  });

  test("takes names, IPv6 hosts in brackets, and 7400 where no port is given", () => {
    expect(parseEndpoints("quorate://n1.example,[::1],[fe80::1]:7402")).toEqual(["n1.example:7400", "[::1]:7400", "[fe80::1]:7402"]);
  });

  test.each([
    ["", "no endpoint is given"],
    ["http://127.0.0.1:7400", "must start with quorate://"],
    ["127.0.0.1:0", "ports are 1 to 65535"],
    ["127.0.0.1:99999", "ports are 1 to 65535"],
    ["127.0.0.1:port", "must be host:port"],
    ["::1:7400", "must be host:port"],
    ["quorate://a:7400?tls=1", "takes no settings"],
  ])("%j is refused as QUORATE_CONFIG naming the part", (text, message) => {
    const attempt = (): unknown => parseEndpoints(text);
    expect(attempt).toThrow(QuorateError);
    expect(attempt).toThrow(message);
  });
});

describe("where the cluster is", () => {
  test("an argument wins over QUORATE_ENDPOINTS, which wins over the default", () => {
    const environment = { QUORATE_ENDPOINTS: "h:1" };
    expect(resolveTarget("g:2", environment)).toEqual({ addresses: ["g:2"], origin: "argument" });
    expect(resolveTarget(undefined, environment)).toEqual({ addresses: ["h:1"], origin: "QUORATE_ENDPOINTS" });
    expect(resolveTarget(undefined, { QUORATE_ENDPOINTS: " " })).toEqual({
      addresses: ["127.0.0.1:7400", "127.0.0.1:7401", "127.0.0.1:7402"],
      origin: "default",
    });
  });
});
