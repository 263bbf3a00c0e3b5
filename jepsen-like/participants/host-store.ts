/**
 * What a participant's process serves, by the kind of its store: how it begins, how the cluster comes to call it, what it answers.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Prng } from "../../src/base/index.js";
import { barrier } from "../../src/barrier/index.js";
import { mysqlPool } from "../../src/cli/mysql-participant.js";
import { metered } from "../../src/demo/in-doubt-meter.js";
import { nodeHandler, Refusal } from "../../src/http/index.js";
import type { Quorate } from "../../src/index.js";
import { tcc, TccRefusal, type BranchRef, type Participant } from "../../src/participant/index.js";
import { kv } from "../../src/participant/kv/index.js";
import { mysql } from "../../src/participant/mysql/index.js";
import { postgres } from "../../src/participant/postgres/index.js";
import { duplicated } from "./duplicates.js";
import type { Answers, HostEvent, HostSpec, HostStore } from "./messages.js";
import { patiently } from "./patiently.js";
import { LostOnPurpose, reserveCalls } from "./reserve-calls.js";
import { ReserveStore, type ReserveWork } from "./reserve-store.js";

export const CONNECT_TIMEOUT_MS = 5_000;
/** Fewer connections than branches: whoever gives one back, somebody waits for it. */
const POOL_MAX = 4;
const PORT_TAKEN_MS = 100;
/** Of one call of a coordinator to a service. */
const SERVICE_DEADLINE_MS = 1_000;

export interface HostedStore {
  /** Nothing is answered before. Throws a QuorateError when it cannot be told yet. */
  start(clusterId: string): Promise<void>;
  /** Prepared or tried for the cluster, and undecided. */
  inDoubt(): Promise<readonly BranchRef[]>;
  /** Resolves when coordinators call it. Throws a QuorateError when they do not yet; to be called again then. */
  serve(quorate: Quorate): Promise<void>;
  readonly answers: Answers;
}

export async function hostStore({ name, store, duplicatesSeed }: HostSpec, tell: (event: HostEvent) => void): Promise<HostedStore> {
  const prng = duplicatesSeed === undefined ? undefined : new Prng(`${duplicatesSeed}/${name}/${process.pid}`);
  switch (store.kind) {
    case "kv": {
      const participant = kv({ name, dir: store.dir });
      return attached(observed(participant, prng, tell), () => participant.listInDoubt(), {
        inDoubt: () => participant.listInDoubt(),
        held: () => Promise.resolve(participant.stats().held),
        scan: async (range) => {
          const entries = [];
          for await (const entry of participant.scan(range)) entries.push(entry);
          return entries;
        },
        reads: async (ref) => {
          const { state, reads } = await participant.branch(ref);
          return state === "committed" || state === "committing" ? reads : undefined;
        },
      });
    }
    case "postgres": {
      const { default: pg } = await import("pg");
      const pool = new pg.Pool({ connectionString: store.dsn, max: POOL_MAX, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
      // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
      pool.on("error", () => undefined);
      const participant = postgres({ name, pool });
      return attached(observed(participant, prng, tell), () => participant.listInDoubt(), {});
    }
    case "mariadb": {
      const participant = mysql({ name, pool: await mysqlPool(store.dsn, POOL_MAX) });
      return attached(observed(participant, prng, tell), () => participant.listInDoubt(), {});
    }
    case "tcc":
    case "tcc-service":
      return reserving(name, store, prng, tell);
  }
}

/** Told of, and with repeated calls where those are wanted. */
function observed(participant: Participant, prng: Prng | undefined, tell: (event: HostEvent) => void): Participant {
  const repeated = prng === undefined ? participant : duplicated(participant, prng, (problem) => tell({ kind: "duplicate", problem }));
  const now = (): string => String(process.hrtime.bigint());
  return metered(repeated, {
    yes: ({ gid, branch }) => tell({ kind: "yes", gid, branch, atNs: now() }),
    outcome: ({ gid, branch }) => tell({ kind: "outcome", gid, branch, atNs: now() }),
  });
}

function attached(participant: Participant, inDoubt: HostedStore["inDoubt"], answers: Answers): HostedStore {
  return {
    start: (clusterId) => participant.start(clusterId),
    inDoubt,
    serve: async (quorate) => void (await quorate.attach(participant)),
    answers,
  };
}

async function reserving(
  name: string,
  store: Extract<HostStore, { kind: "tcc" | "tcc-service" }>,
  prng: Prng | undefined,
  tell: (event: HostEvent) => void,
): Promise<HostedStore> {
  const reserve = await ReserveStore.open(store.dir, (message) => (store.kind === "tcc" ? new TccRefusal(message) : new Refusal(message)));
  const marks = barrier.kv(reserve.db);
  const calls = reserveCalls(marks, tell, prng);
  const answers: Answers = {
    inDoubt: () => reserve.inDoubt(),
    books: () => reserve.books(),
    rows: ({ after, limit }) => reserve.rows(after, limit),
    try: async ({ gid, branch, epoch, cluster, work }) => {
      const call = { gid, branch, epoch, cluster, participant: name, phase: "try" } as const;
      const result = await calls.call(call, () => reserve.try(call, work));
      if (result.kind === "refused") throw new Error(result.detail);
      return null;
    },
  };
  const inDoubt = (): Promise<readonly BranchRef[]> => reserve.inDoubt();
  if (store.kind === "tcc") {
    const participant = tcc({
      name,
      barrier: calls,
      try: (call) => reserve.try(call, JSON.parse(Buffer.from(call.payload).toString("utf8")) as ReserveWork),
      confirm: (call) => reserve.confirm(call),
      cancel: (call) => reserve.cancel(call),
    });
    return attached(participant, inDoubt, answers);
  }
  const handler = nodeHandler<typeof reserve.db, ReserveWork>({
    participant: name,
    barrier: calls,
    handlers: {
      try: (call) => reserve.try(call as typeof call & BranchRef, call.payload),
      confirm: (call) => reserve.confirm(call as typeof call & BranchRef),
      cancel: (call) => reserve.cancel(call as typeof call & BranchRef),
    },
    onError: (error) => {
      if (!(error instanceof LostOnPurpose)) console.error(error);
    },
  });
  return {
    start: () => Promise.resolve(),
    inDoubt,
    serve: (quorate) => serveCalls(quorate, name, store, (request, response) => void handler(request, response)),
    answers,
  };
}

/** False: somebody else has the port, for a connection of its own perhaps, which ends. */
function listens(server: Server, host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)));
    server.listen(port, host, () => resolve(true));
  });
}

/**
 * Registered first, because that may fail and be tried again, while nobody may be answered before it is told what the store holds.
 * Coordinators that have found nobody at the address, then or before a restart, are told that somebody is there.
 */
async function serveCalls(
  quorate: Quorate,
  name: string,
  { host, port }: Extract<HostStore, { kind: "tcc-service" }>,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<void> {
  await quorate.registerService({ name, url: `http://${host}:${port}/`, kind: "tcc", deadlineMs: SERVICE_DEADLINE_MS });
  while (!(await listens(createServer(handler), host, port))) await new Promise((resolve) => setTimeout(resolve, PORT_TAKEN_MS));
  void patiently(() => quorate.wakeService(name));
}
