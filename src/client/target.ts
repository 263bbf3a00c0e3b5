/**
 * Where the cluster is: reads connection strings, plain lists and QUORATE_ENDPOINTS into `host:port` addresses.
 *
 * Decides nothing about reachability. Any member is enough: the others are learned from it.
 */
import { QuorateError } from "../base/index.js";

/** The port of node 1; node i listens for clients on this plus i - 1. */
export const DEFAULT_PORT = 7400;
export const DEFAULT_ENDPOINTS: readonly string[] = ["127.0.0.1:7400", "127.0.0.1:7401", "127.0.0.1:7402"];
export const ENDPOINTS_VARIABLE = "QUORATE_ENDPOINTS";

const SCHEME = "quorate://";

export interface Target {
  /** `host:port`, IPv6 hosts in brackets, without repetitions. */
  readonly addresses: readonly string[];
  readonly origin: "argument" | "QUORATE_ENDPOINTS" | "default";
}

/**
 * The addresses to start from: `given` (a `quorate://host:port,host:port` string, the same without the scheme, or a list of
 * `host:port`), else QUORATE_ENDPOINTS, else the first three ports of this machine. A missing port is 7400.
 * Throws QUORATE_CONFIG naming the part that is wrong.
 */
export function resolveTarget(
  given: string | readonly string[] | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): Target {
  if (given !== undefined) return { addresses: parseEndpoints(given), origin: "argument" };
  const variable = environment[ENDPOINTS_VARIABLE];
  if (variable !== undefined && variable.trim() !== "") return { addresses: parseEndpoints(variable), origin: ENDPOINTS_VARIABLE };
  return { addresses: DEFAULT_ENDPOINTS, origin: "default" };
}

export function parseEndpoints(given: string | readonly string[]): readonly string[] {
  const parts = typeof given === "string" ? splitText(given) : given.flatMap(splitText);
  if (parts.length === 0) throw problem("no endpoint is given; write quorate://host:port,host:port");
  return [...new Set(parts.map(parseAddress))];
}

function splitText(text: string): string[] {
  let rest = text.trim();
  if (rest.startsWith(SCHEME)) rest = rest.slice(SCHEME.length);
  else if (rest.includes("://")) throw problem(`${JSON.stringify(text)} must start with ${SCHEME}, or be a plain list of host:port`);
  const query = rest.indexOf("?");
  if (query >= 0)
    throw problem(`${JSON.stringify(rest.slice(query))} is not understood: the address takes no settings; pass them as options`);
  if (rest.endsWith("/")) rest = rest.slice(0, -1);
  return rest
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function parseAddress(text: string): string {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) throw problem(`endpoint ${JSON.stringify(text)} must be host:port (an IPv6 host in brackets)`);
  const port = match[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (port < 1 || port > 65_535) throw problem(`endpoint ${JSON.stringify(text)} has port ${port}; ports are 1 to 65535`);
  return match[1] === undefined ? `${match[2] ?? ""}:${port}` : `[${match[1]}]:${port}`;
}

function problem(message: string): QuorateError {
  return new QuorateError("QUORATE_CONFIG", message);
}
