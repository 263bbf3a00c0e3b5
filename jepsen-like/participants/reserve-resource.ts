/**
 * A participant under test that reserves: accounts and rows on disk (reserve-store.ts), attached to the cluster or called by it over HTTP.
 *
 * A try is made by the cluster (asked) or by the client itself; confirm and cancel are always the cluster's.
 */
import { join } from "node:path";
import type { BranchRef } from "../../src/participant/index.js";
import { servicePayload } from "../../src/index.js";
import type { HostStore } from "./messages.js";
import { ParticipantProcess } from "./participant-process.js";
import { reserveWork, TOUCH_ALL } from "./reserve-store.js";
import type { Resource, ResourceOptions } from "./resource.js";

const PAGE = 2_000;

/** Not started. `at`: where the coordinators reach it as a service; undefined: it is attached. */
export function reserveResource(
  { name, dir, endpoints, routes, duplicatesSeed, observer }: ResourceOptions,
  at: { readonly host: string; readonly port: number } | undefined,
): Resource {
  const folder = join(dir, name);
  const store: HostStore = at === undefined ? { kind: "tcc", dir: folder } : { kind: "tcc-service", dir: folder, ...at };
  const process = new ParticipantProcess(
    { name, endpoints, routes, store, duplicatesSeed },
    join(dir, `${name}.log`),
    observer.listener(name, true),
  );
  return {
    name,
    kind: store.kind,
    process,
    database: undefined,
    branchKind: "tcc",
    payload: (work) => servicePayload(reserveWork(work)),
    bring: async (tx, work) => {
      await tx.try(name, ({ gid, branch, epoch, cluster }) => process.ask("try", { gid, branch, epoch, cluster, work: reserveWork(work) }));
    },
    start: () => Promise.resolve(),
    touchAll: () => servicePayload(TOUCH_ALL),
    reads: () => Promise.resolve(undefined),
    ledger: async function* () {
      for (let after: BranchRef | undefined; ;) {
        const page = await process.ask("rows", { after, limit: PAGE });
        for (const { gid, branch, tries, confirms, cancels } of page)
          if (tries > 1 || confirms + cancels > 1)
            observer.problem(
              name,
              "duplicate",
              `${gid}/${branch} was tried ${tries}, confirmed ${confirms} and cancelled ${cancels} times`,
            );
        const confirmed = page.filter(({ listed, confirms }) => listed && confirms > 0);
        if (confirmed.length > 0)
          yield confirmed.map(({ gid, branch, confirms }) => ({ participant: name, gid, branch, effects: confirms }));
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE) return;
        after = { gid: last.gid, branch: last.branch };
      }
    },
    balances: () => process.ask("books", {}),
    orphans: async () => (await process.ask("books", {})).open,
    locks: async () => (await process.ask("books", {})).held,
    reserved: async () => (await process.ask("books", {})).reserved,
    leaving: () => observer.probe.left(name),
    returned: () => observer.probe.back(name, undefined, globalThis.process.hrtime.bigint()),
    close: () => process.kill9(),
  };
}
