/**
 * `connect`: from an address to a client that knows the cluster.
 */
import { QuorateError } from "../base/index.js";
import { AttachedParticipants } from "./attachment.js";
import type { ClientEvent, EventListener } from "./events.js";
import { Quorate } from "./quorate.js";
import { Session } from "./session.js";
import { resolveTarget } from "./target.js";

export interface ConnectOptions {
  /** `quorate://host:port,host:port`, the same without the scheme, or a list. Default: QUORATE_ENDPOINTS, else 127.0.0.1:7400-7402. */
  readonly endpoints?: string | readonly string[] | undefined;
  /**
   * Where to dial an address that was given or that a member told, both `host:port`: for port forwards and NAT, where members cannot be
   * reached at the addresses they have for each other. Called once per address, and must not throw. Default: the address itself.
   */
  readonly translateAddress?: ((address: string) => string) | undefined;
  /** How long to look for an established leader. Default 5,000 ms. */
  readonly connectTimeoutMs?: number | undefined;
  /** Without it, any node that answers is enough: for status while there is no quorum. Default true. */
  readonly requireLeader?: boolean | undefined;
  /** Deadline of every call that has none of its own. Requests wait for a leader and are repeated until then. Default 10,000 ms. */
  readonly requestTimeoutMs?: number | undefined;
  /** Default of a transaction's `timeoutMs`: 10,000 ms. */
  readonly transactionTimeoutMs?: number | undefined;
  /** Requests unanswered at once; more are refused with QUORATE_OVERLOADED. Default 65,536. */
  readonly inFlightMax?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called synchronously for what happens inside: for logs and metrics. */
  readonly onEvent?: EventListener | undefined;
}

const DEFAULTS = { connectTimeoutMs: 5_000, requestTimeoutMs: 10_000, transactionTimeoutMs: 10_000, inFlightMax: 65_536 } as const;

/**
 * Resolves when a leader is established (see `requireLeader`). Rejects with QUORATE_CONFIG for a bad address or endpoints of different
 * clusters, QUORATE_NO_QUORUM when nodes answer but none leads, QUORATE_UNREACHABLE when nobody answers; the message says what each
 * endpoint said. Close the client, or the process stays alive.
 */
export async function connect(target?: string | readonly string[] | ConnectOptions, more: ConnectOptions = {}): Promise<Quorate> {
  const options: ConnectOptions = isOptions(target) ? target : { ...more, endpoints: target ?? more.endpoints };
  const requestTimeoutMs = positive("requestTimeoutMs", options.requestTimeoutMs ?? DEFAULTS.requestTimeoutMs);
  const transactionTimeoutMs = positive("transactionTimeoutMs", options.transactionTimeoutMs ?? DEFAULTS.transactionTimeoutMs);
  const { addresses } = resolveTarget(options.endpoints, process.env);
  const onEvent = guarded(options.onEvent);
  const session = new Session({
    seeds: addresses,
    translateAddress: options.translateAddress ?? ((address) => address),
    requestTimeoutMs,
    inFlightMax: positive("inFlightMax", options.inFlightMax ?? DEFAULTS.inFlightMax),
    onEvent,
  });
  session.pool.start();
  try {
    await session.pool.ready({
      requireLeader: options.requireLeader ?? true,
      timeoutMs: positive("connectTimeoutMs", options.connectTimeoutMs ?? DEFAULTS.connectTimeoutMs),
      signal: options.signal,
    });
  } catch (error) {
    session.close();
    throw error;
  }
  const attached = new AttachedParticipants(session.pool, onEvent, options.onEvent !== undefined);
  return new Quorate(session, attached, { requestTimeoutMs, transactionTimeoutMs });
}

function isOptions(value: string | readonly string[] | ConnectOptions | undefined): value is ConnectOptions {
  return typeof value === "object" && !Array.isArray(value);
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new QuorateError("QUORATE_CONFIG", `${name} must be a number above 0, got ${value}`);
}

/** A listener's error is its own: it surfaces, and the client goes on. */
function guarded(listener: EventListener | undefined): EventListener {
  if (listener === undefined) return () => undefined;
  return (event: ClientEvent) => {
    try {
      listener(event);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}
