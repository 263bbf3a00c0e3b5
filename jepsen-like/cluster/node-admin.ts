/**
 * A node's admin side: the rules of its failpoints, its own word on its health, its wall clock.
 */
import { request } from "node:http";

const TIMEOUT_MS = 5_000;

export interface RuleState {
  readonly name: string;
  /** How often the rule has acted since it was set. */
  readonly acted: number;
}

export interface NodeHealth {
  readonly ready: boolean;
  readonly voting: boolean;
  readonly findings: readonly string[];
}

/** Sets rules, which come on top of those in force; returns all. Rejects when the node does not take them. */
export async function setRules(adminAddress: string, rules: string): Promise<readonly RuleState[]> {
  const { status, body } = await call(adminAddress, "PUT", "/failpoints", rules);
  if (status !== 200) throw new Error(`${adminAddress} does not take ${rules}: ${body}`);
  return (JSON.parse(body) as { failpoints: readonly RuleState[] }).failpoints;
}

/** Undefined when the node does not answer. */
export async function rulesOf(adminAddress: string): Promise<readonly RuleState[] | undefined> {
  const answer = await call(adminAddress, "GET", "/failpoints").catch(() => undefined);
  return answer?.status === 200 ? (JSON.parse(answer.body) as { failpoints: readonly RuleState[] }).failpoints : undefined;
}

/** Undefined when the node does not answer. */
export async function healthOf(adminAddress: string): Promise<NodeHealth | undefined> {
  const answer = await call(adminAddress, "GET", "/readyz").catch(() => undefined);
  return answer === undefined ? undefined : (JSON.parse(answer.body) as NodeHealth);
}

const CLOCK_OFFSET = /^quorate_clock_offset_seconds(?:\{[^}]*\})? (\S+)$/m;

/**
 * How far the node's wall clock is from the cluster's clock, by its own measure of this moment; undefined when it does not answer. The
 * cluster's clock follows wall clocks slowly if at all, so a jump shows as a change of this.
 */
export async function wallOffsetMs(adminAddress: string): Promise<number | undefined> {
  const answer = await call(adminAddress, "GET", "/metrics").catch(() => undefined);
  const seconds = Number(CLOCK_OFFSET.exec(answer?.body ?? "")?.[1]);
  return Number.isFinite(seconds) ? seconds * 1000 : undefined;
}

function call(
  address: string,
  method: "GET" | "PUT",
  path: string,
  sent?: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`http://${address}${path}`, { method, timeout: TIMEOUT_MS, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error(`${address} does not answer`)));
    outgoing.on("error", reject);
    outgoing.end(sent);
  });
}
