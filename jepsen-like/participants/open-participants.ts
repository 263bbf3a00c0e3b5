/**
 * The participants of one run: made, served by processes of their own, funded, and gone at the end.
 */
import { join } from "node:path";
import { kvPayload } from "../../src/participant/kv/index.js";
import type { Quorate } from "../../src/index.js";
import type { ClusterUnderTest } from "../cluster/cluster-under-test.js";
import { newRunFolder, removeRunFolder } from "../run-folder.js";
import type { ResourceWish } from "../workload/stage.js";
import { ACCOUNT, kvResource } from "./kv-resource.js";
import type { Observer } from "./observer.js";
import { postgresResource } from "./postgres-resource.js";
import { ACCOUNTS, BALANCE, type Resource } from "./resource.js";

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
}

/** Resolves when the leader has all of them and every account holds its balance. */
export async function openParticipants(options: ParticipantsOptions): Promise<Participants> {
  const { wishes, cluster, client, duplicatesSeed, observer, suffix } = options;
  const dir = newRunFolder("participants");
  const list: Resource[] = [];
  const close = async (): Promise<void> => {
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
      list.push(kind === "kv" ? kvResource(of) : await postgresResource(of));
    }
    for (const { process } of list) process.launch();
    for (const { process } of list) await process.ready();
    for (const { brought } of list) await brought?.start(client.clusterId ?? "");
    await fundKv(client, list);
  } catch (error) {
    await close();
    throw error;
  }
  return { list, logFiles: list.map(({ name }) => join(dir, `${name}.log`)), close };
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
