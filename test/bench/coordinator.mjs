/**
 * Whole transactions per second through state machine and driver on one core, without network, log or codec. Run after
 * `npm run build`:
 *
 *   node test/bench/coordinator.mjs [transactions] [outstanding]
 *
 * Every transaction has two asked branches; votes, acknowledgements and applies come back in batches, as one turn of a replica sees
 * them. Prints one JSON line.
 */
import { newGid, Prng } from "../../dist/src/base/index.js";
import { createCoordinator } from "../../dist/src/coordinator/index.js";
import { createStateMachine } from "../../dist/src/txn/index.js";

const total = Number(process.argv[2] ?? 300_000);
const outstanding = Number(process.argv[3] ?? 1024);
const random = new Prng("bench").uint32;
const stampBaseMs = 1_700_000_000_000;
const startedMs = performance.now();
const nowMs = () => performance.now() - startedMs;
const payload = new Uint8Array(64);

const options = {
  transactionTimeoutMs: 10_000,
  clientLostMs: 2_000,
  inquiryMarginMs: 1_000,
  retryDelayMsMin: 100,
  retryDelayMsMax: 30_000,
  attemptsBeforePause: 50,
  callTimeoutMs: 5_000,
  breakerFailures: 10,
  breakerOpenMs: 2_000,
  retentionMs: 600_000,
  floorIntervalMs: 5_000,
  doneBatchMax: 1_000,
  doneDelayMs: 20,
  forgetBatchMax: 1_000,
  openTransactionsMax: 1_000_000,
  delegation: true,
};

const state = createStateMachine();
const driver = createCoordinator(state, options, random, () => stampBaseMs + Math.floor(nowMs()));
driver.instanceUp(1, "orders", "kv", 0);
driver.instanceUp(2, "stock", "kv", 0);
driver.establish(1, 0);

let counter = 0;
let sent = 0;
let answered = 0;
let committed = 0;

function start() {
  const gid = newGid(stampBaseMs + nowMs(), random);
  const branches = [
    { id: "b1", participant: "orders", mode: "asked", payload },
    { id: "b2", participant: "stock", mode: "asked", payload },
  ];
  driver.request(1, sent++, { kind: "commit", gid, client: "", timeoutMs: 10_000, branches, votes: [] }, nowMs());
}

/** One turn: what was proposed is applied, what was called is answered, what was answered starts the next transaction. */
function turn() {
  const ready = driver.drain(nowMs());
  const stampMs = stampBaseMs + Math.floor(nowMs());
  for (const command of ready.propose) {
    const entry = { stampMs, command };
    const zxid = { epoch: 1, counter: ++counter };
    driver.applied(entry, zxid, state.apply(entry, zxid), nowMs());
  }
  const replies = [[], []];
  for (const { instance, phase, gid, branch } of ready.calls) {
    const result = phase === "prepare" ? { kind: "vote", vote: "yes", detail: "" } : { kind: "done" };
    replies[instance - 1].push({ phase, gid, branch, result });
  }
  for (const [i, list] of replies.entries()) if (list.length > 0) driver.replies(i + 1, list, nowMs());
  for (const { answer } of ready.answers) {
    answered++;
    if (answer.kind === "decided" && answer.decision === "commit") committed++;
    if (sent < total) start();
  }
  driver.tick(nowMs());
}

turn();
turn();
for (let i = 0; i < Math.min(outstanding, total); i++) start();
const fromMs = nowMs();
const fromCpu = process.cpuUsage();
let worstTurnMs = 0;
let lastTakeMs = fromMs;
while (answered < total) {
  const beganMs = nowMs();
  turn();
  worstTurnMs = Math.max(worstTurnMs, nowMs() - beganMs);
  if (nowMs() - lastTakeMs > 1_000) {
    state.takeChanges();
    lastTakeMs = nowMs();
  }
}
const seconds = (nowMs() - fromMs) / 1000;
const cpu = process.cpuUsage(fromCpu);
const cpuSeconds = (cpu.user + cpu.system) / 1e6;
process.stdout.write(
  `${JSON.stringify({
    figure: "whole transactions through state machine and driver, per second",
    rate: Math.round(total / seconds),
    // Barely moves with other load on the machine.
    perCoreSecond: Math.round(total / cpuSeconds),
    outstanding,
    committed,
    worstTurnMs: Number(worstTurnMs.toFixed(1)),
  })}\n`,
);
