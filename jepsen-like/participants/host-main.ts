/**
 * A participant in a process of its own: serves it to the cluster, tells the harness when it votes and when it hears, and answers
 * questions about its own store. It ends with its parent.
 */
import { must, Prng, isQuorateError } from "../../src/base/index.js";
import { metered } from "../../src/demo/in-doubt-meter.js";
import { connect, type Quorate } from "../../src/index.js";
import type { Participant } from "../../src/participant/index.js";
import { kv, type KvParticipant } from "../../src/participant/kv/index.js";
import { postgres } from "../../src/participant/postgres/index.js";
import { duplicated } from "./duplicates.js";
import type { HostEvent, HostMessage, HostSpec, Question, Questions, Request } from "./messages.js";

const CONNECT_TIMEOUT_MS = 5_000;
const RETRY_MS = 200;
/** Fewer connections than branches: whoever gives one back, somebody waits for it. */
const POOL_MAX = 4;
const FLUSH_MS = 10;

const spec = JSON.parse(must(process.argv[2], "the participant's description")) as HostSpec;

process.once("disconnect", () => process.exit(0));
// A terminal's Ctrl-C reaches the whole group; the parent decides when this process ends.
process.on("SIGINT", () => undefined);

const events: HostEvent[] = [];
let flushing = false;

function say(message: HostMessage): void {
  process.send?.(message);
}

function tell(event: HostEvent): void {
  events.push(event);
  if (flushing) return;
  flushing = true;
  setTimeout(flush, FLUSH_MS);
}

function flush(): void {
  flushing = false;
  if (events.length > 0) say({ kind: "events", events: events.splice(0) });
}

function nowNs(): string {
  return String(process.hrtime.bigint());
}

/** Until it succeeds: nodes and databases are down on purpose. What cannot be mended by waiting ends the process. */
async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isQuorateError(error) || error.code === "QUORATE_DATA_FOLDER" || error.code === "QUORATE_CONFIG") throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function main(): Promise<void> {
  const store = spec.store.kind === "kv" ? kv({ name: spec.name, dir: spec.store.dir }) : undefined;
  const inner: Participant = store ?? (await onPostgres(spec.store.kind === "postgres" ? spec.store.dsn : ""));
  const repeated =
    spec.duplicatesSeed === undefined
      ? inner
      : duplicated(inner, new Prng(`${spec.duplicatesSeed}/${spec.name}/${process.pid}`), (problem) =>
          tell({ kind: "duplicate", problem }),
        );
  const participant = metered(repeated, {
    yes: ({ gid, branch }) => tell({ kind: "yes", gid, branch, atNs: nowNs() }),
    outcome: ({ gid, branch }) => tell({ kind: "outcome", gid, branch, atNs: nowNs() }),
  });
  if (store !== undefined) answerQuestions(store);
  const heuristic = new Set<string>();
  const quorate = await patiently(() =>
    connect({
      endpoints: spec.endpoints,
      translateAddress: (address) => spec.routes[address] ?? address,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      onEvent: (event) => {
        if (event.kind === "branch-heuristic") heuristic.add(`${event.gid}/${event.branch}`);
        if (event.kind !== "branch-settled") return;
        const { gid, branch, byInquiry } = event;
        // The alarm of a heuristic outcome follows its settlement in the same turn.
        queueMicrotask(() => tell({ kind: "settled", gid, branch, byInquiry, heuristic: heuristic.delete(`${gid}/${branch}`) }));
      },
    }),
  );
  await patiently(() => participant.start(must(quorate.clusterId, "the cluster's id after connect")));
  await patiently(() => attach(quorate, participant));
  flush();
  say({ kind: "attached" });
}

/** Nothing is sent before `start`. */
async function onPostgres(dsn: string): Promise<Participant> {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ connectionString: dsn, max: POOL_MAX, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on("error", () => undefined);
  return postgres({ name: spec.name, pool });
}

async function attach(quorate: Quorate, participant: Participant): Promise<void> {
  say({ kind: "found", inDoubt: await participant.listInDoubt(), atNs: nowNs() });
  await quorate.attach(participant);
}

function answerQuestions(store: KvParticipant): void {
  const answers: { readonly [Q in Question]: (ask: Questions[Q]["ask"]) => Promise<Questions[Q]["answer"]> } = {
    inDoubt: () => store.listInDoubt(),
    held: () => Promise.resolve(store.stats().held),
    scan: async (range) => {
      const entries = [];
      for await (const entry of store.scan(range)) entries.push(entry);
      return entries;
    },
    reads: async (ref) => {
      const { state, reads } = await store.branch(ref);
      return state === "committed" || state === "committing" ? reads : undefined;
    },
  };
  const answer = <Q extends Question>(request: Request<Q>): void => {
    const { id } = request;
    answers[request.question](request.ask).then(
      (value) => {
        // Whoever asks about the store wants to have heard before what led to it.
        flush();
        say({ kind: "answer", id, value });
      },
      (error: unknown) => say({ kind: "refused", id, message: error instanceof Error ? error.message : String(error) }),
    );
  };
  process.on("message", (message) => answer(message as Request));
}

main().catch((error: unknown) => {
  console.error(`participant ${spec.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(1);
});
