/**
 * The process around one node: what its signals, its parent's death and a fatal error do, and with which status it ends.
 */
import { messageOf, QuorateError } from "../base/index.js";
import type { Settings } from "../config/index.js";
import { Failpoints, parseFailpoints } from "./failpoints.js";
import { createLogger } from "./logging.js";
import { startNode } from "./node.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** Runs one node until it is told to stop. Resolves with 0; a fatal error ends the process with 1 and does not return. */
export async function runNode(settings: Settings, env: Environment): Promise<0> {
  const logger = createLogger({
    level: settings.logLevel,
    format: settings.logFormat,
    base: { node: `n${settings.id ?? "?"}`, cluster: settings.clusterId },
  });
  const fatal = (error: unknown): void => {
    logger.fatal({ err: error instanceof Error ? error : new Error(messageOf(error)) }, "the node cannot go on");
    process.exit(1);
  };
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);
  const failpoints = failpointsOf(env, (name, action, hit) => logger.warn({ failpoint: name, action, hit }, "failpoint"));
  const node = await startNode(settings, { logger, onFatal: fatal, failpoints });
  const { identity } = node;
  logger.info(
    {
      clients: identity.clientListen,
      peers: identity.peerListen,
      admin: identity.adminListen,
      dataDir: identity.dataDir,
      pid: process.pid,
    },
    "started",
  );
  const reason = await toldToStop(settings.exitWithParent);
  logger.info({ reason }, "stopping");
  onSignal(() => {
    logger.warn({}, "stopping at once");
    process.exit(1);
  });
  await node.stop();
  logger.info({}, "stopped");
  // Whatever is still open was closed on purpose or belongs to nobody.
  process.exit(0);
}

/** Resolves at the first signal; at the parent's death the process ends at once, because nobody is left to wait for it. */
function toldToStop(exitWithParent: boolean): Promise<string> {
  return new Promise((resolve) => {
    onSignal(resolve);
    if (!exitWithParent) return;
    const orphaned = (): void => process.exit(0);
    process.stdin.on("end", orphaned).on("close", orphaned).on("error", orphaned).resume();
    if (process.connected) process.on("disconnect", orphaned);
  });
}

function onSignal(handle: (signal: string) => void): void {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => handle(signal));
}

function failpointsOf(env: Environment, log: (name: string, action: string, hit: number) => void): Failpoints | undefined {
  const rules = env["QUORATE_FAILPOINTS"];
  if (env["QUORATE_ENABLE_FAILPOINTS"] !== "1") {
    if (rules === undefined || rules === "") return undefined;
    throw new QuorateError(
      "QUORATE_CONFIG",
      "QUORATE_FAILPOINTS is set, but fault injection is off; set QUORATE_ENABLE_FAILPOINTS=1 too, or unset it",
    );
  }
  const failpoints = new Failpoints({ kill: () => process.kill(process.pid, "SIGKILL"), log });
  failpoints.set(parseFailpoints(rules ?? ""));
  return failpoints;
}
