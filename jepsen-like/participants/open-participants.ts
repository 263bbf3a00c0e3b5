/**
 * The participants of one run: made, served by processes of their own, funded, and gone at the end.
 */
import { join } from "node:path";
import { isQuorateError, must, QuorateError } from "../../src/base/index.js";
import { isFree } from "../../src/cli/ports.js";
import { kvPayload } from "../../src/participant/kv/index.js";
import type { Quorate } from "../../src/index.js";
import type { ClusterUnderTest } from "../cluster/cluster-under-test.js";
import { newRunFolder, removeRunFolder } from "../run-folder.js";
import type { ResourceWish } from "../workload/stage.js";
import { ACCOUNT, kvResource } from "./kv-resource.js";
import { mariadbResource } from "./mariadb-resource.js";
import type { Observer } from "./observer.js";
import { postgresResource } from "./postgres-resource.js";
import { reserveResource } from "./reserve-resource.js";
import { ACCOUNTS, BALANCE, type Resource, type ResourceKind, type ResourceOptions } from "./resource.js";

export interface Participants {
  readonly list: readonly Resource[];
  readonly logFiles: readonly string[];
  close(): Promise<void>;
}

export interface ParticipantsOptions {
  readonly wishes: readonly ResourceWish[];
  readonly cluster: ClusterUnderTest;
  readonly client: Quorate;
  readonly duplicatesSeed: string | undefined;
  readonly observer: Observer;
  /** Appended to every name: on somebody's own cluster nobody else may have it. */
  readonly suffix: string;
  readonly onProgress: (line: string) => void;
}

/**
 * Below the ports that the kernel gives to whoever asks for any, and none that a cluster of this program takes (src/cli/ports.ts): a
 * service must find its own again after it was killed.
 */
const SERVICE_PORTS = { first: 8_800, count: 200 } as const;
const REMOVAL = { tries: 20, everyMs: 250 } as const;

/**
 * Resolves when the leader has all of them and every account holds its balance. Throws RangeError for a service that the cluster cannot
 * be expected to reach.
 */
export async function openParticipants(options: ParticipantsOptions): Promise<Participants> {
  const { wishes, cluster, client, duplicatesSeed, observer, suffix, onProgress } = options;
  const dir = newRunFolder("participants");
  const list: Resource[] = [];
  const close = async (): Promise<void> => {
    // While they still run: what is owed to them has to be settled first.
    for (const { name, kind } of list) if (kind === "tcc-service") await removeService(client, name, onProgress);
    for (const each of list) await each.close();
    removeRunFolder(dir);
  };
  try {
    for (const { name, kind } of wishes) {
      const of = {
        name: `${name}${suffix}`,
        dir,
        endpoints: cluster.endpoints,
        routes: cluster.participantRoutes,
        duplicatesSeed,
        observer,
      };
      list.push(await makeResource(kind, of, cluster));
    }
    for (const { process } of list) process.launch();
    for (const { process } of list) await process.ready();
    for (const each of list) await each.start(must(client.clusterId, "the cluster's id after connect"));
    await fundKv(client, list);
  } catch (error) {
    await close();
    throw error;
  }
  return { list, logFiles: list.map(({ name }) => join(dir, `${name}.log`)), close };
}

/** Tries for a bounded time, and says what it had to leave. */
async function removeService(client: Quorate, name: string, onProgress: (line: string) => void): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await client.removeService(name, { timeoutMs: REMOVAL.everyMs * REMOVAL.tries });
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      // It was never registered, or the cluster is gone.
      if (error.code === "QUORATE_INVALID_ARGUMENT" || error.code === "QUORATE_CLOSED") return;
      if (error.code !== "QUORATE_WRONG_STATE" || tries === REMOVAL.tries)
        return onProgress(`the service ${name} is still registered (\`quorate service rm ${name}\` removes it): ${error.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, REMOVAL.everyMs));
  }
}

async function makeResource(kind: ResourceKind, options: ResourceOptions, cluster: ClusterUnderTest): Promise<Resource> {
  switch (kind) {
    case "kv":
      return kvResource(options);
    case "postgres":
      return postgresResource(options);
    case "mariadb":
      return mariadbResource(options);
    case "tcc":
      return reserveResource(options, undefined);
    case "tcc-service": {
      const host = cluster.servicesHost;
      if (host === undefined)
        throw new RangeError(
          `the service ${options.name} of this workload runs on this machine and takes calls on a loopback address, where a cluster at ${cluster.endpoints} cannot be expected to reach it; choose another workload, or a cluster on this machine`,
        );
      return reserveResource(options, { host, port: await freeServicePort(host) });
    }
  }
}

/** Given out in this process, and perhaps not yet listened on. */
const servicePorts = new Set<number>();

/** Looked for from a place of this process's own, so that two runs seldom look at the same. */
async function freeServicePort(host: string): Promise<number> {
  const { first, count } = SERVICE_PORTS;
  for (let i = 0; i < count; i++) {
    const port = first + ((process.pid + i) % count);
    if (servicePorts.has(port) || !(await isFree(port, host))) continue;
    servicePorts.add(port);
    return port;
  }
  throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `no free port for a service: all of ${first} to ${first + count - 1} are in use`);
}

/** Waits until the stores show it: the promise resolves with the decision, the participants follow. */
async function fundKv(client: Quorate, list: readonly Resource[]): Promise<void> {
  const stores = list.filter(({ kind }) => kind === "kv");
  if (stores.length === 0) return;
  const puts = Array.from({ length: ACCOUNTS }, (_, n) => ({ op: "put" as const, key: `${ACCOUNT}${n}`, value: BALANCE }));
  await client.transaction((tx) => {
    for (const { name } of stores) tx.ask(name, kvPayload(puts));
  });
  for (const store of stores) while ((await store.locks()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
