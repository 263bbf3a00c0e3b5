/**
 * A participant in a process of its own: serves it to the cluster, tells the harness when it votes and when it hears, and answers
 * questions about its own store. It ends with its parent.
 */
import { messageOf, must } from "../../src/base/index.js";
import { connect } from "../../src/index.js";
import { CONNECT_TIMEOUT_MS, hostStore } from "./host-store.js";
import type { Answers, HostEvent, HostMessage, HostSpec, Question, Request } from "./messages.js";
import { patiently } from "./patiently.js";

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

async function main(): Promise<void> {
  const store = await hostStore(spec, tell);
  process.on("message", (message) => answer(store.answers, message as Request));
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
  await patiently(() => store.start(must(quorate.clusterId, "the cluster's id after connect")));
  await patiently(async () => {
    say({ kind: "found", inDoubt: await store.inDoubt(), atNs: String(process.hrtime.bigint()) });
    await store.serve(quorate);
  });
  flush();
  say({ kind: "attached" });
}

function answer<Q extends Question>(answers: Answers, { id, question, ask }: Request<Q>): void {
  const answered = answers[question]?.(ask) ?? Promise.reject(new RangeError(`a store of kind ${spec.store.kind} does not answer that`));
  answered.then(
    (value) => {
      // Whoever asks about the store wants to have heard before what led to it.
      flush();
      say({ kind: "answer", id, value });
    },
    (error: unknown) => say({ kind: "refused", id, message: messageOf(error) }),
  );
}

main().catch((error: unknown) => {
  console.error(`participant ${spec.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(1);
});
