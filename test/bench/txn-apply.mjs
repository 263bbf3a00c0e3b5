/**
 * What one core applies per second, and what a finished outcome costs in memory. Run after `npm run build`:
 *
 *   node --expose-gc test/bench/txn-apply.mjs [outcomes]
 *
 * Prints one JSON line per figure; rates are per second of CPU time, which barely moves with other load on the machine. Commands are made before the clock starts, as the log would have decoded them.
 */
import { newGid, Prng } from "../../dist/src/base/index.js";
import { createStateMachine } from "../../dist/src/txn/index.js";

const outcomes = Number(process.argv[2] ?? 1_000_000);
const random = new Prng("bench").uint32;
const payload = new Uint8Array(64);
let stampMs = 1_700_000_000_000;
let counter = 0;

function machine() {
  const state = createStateMachine();
  apply(state, { kind: "REGISTER", participant: "orders", participantKind: "grpc" });
  apply(state, { kind: "REGISTER", participant: "stock", participantKind: "grpc" });
  return state;
}

function apply(state, command) {
  counter++;
  return state.apply({ stampMs, command }, { epoch: 1, counter });
}

/** Flat strings, as a decoder makes them. */
function flat(text) {
  return Buffer.from(text, "latin1").toString("latin1");
}

function transactions(count) {
  const list = [];
  for (let i = 0; i < count; i++) {
    const gid = flat(newGid(stampMs + Math.floor(i / 20), random));
    const branches = [
      { id: flat("b1"), participant: flat("orders"), mode: "asked", payload },
      { id: flat("b2"), participant: flat("stock"), mode: "asked", payload },
    ];
    list.push([
      { kind: "BEGIN", gid, client: "", timeoutMs: 10_000, branches, votes: [] },
      { kind: "DECIDE", gid, decision: "commit", reason: undefined, detail: "", yes: ["b1", "b2"], readOnly: [] },
      { kind: "DONE", branches: [{ gid: flat(gid), branch: "b1" }] },
      { kind: "DONE", branches: [{ gid: flat(gid), branch: "b2" }] },
    ]);
  }
  return list;
}

function report(figure) {
  process.stdout.write(`${JSON.stringify(figure)}\n`);
}

function memory() {
  globalThis.gc?.();
  globalThis.gc?.();
  const usage = process.memoryUsage();
  // `external` includes array buffers, where outcomes are kept.
  return usage.heapUsed + usage.external;
}

/** Seconds of CPU time that `work` takes. */
function cpuSeconds(work) {
  const from = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1e6;
}

function benchPuts(rounds, perRound) {
  const state = machine();
  const client = flat(newGid(stampMs, random).slice(2));
  const rates = [];
  for (let round = 0; round < rounds; round++) {
    const commands = [];
    for (let i = 0; i < perRound; i++) {
      const seq = round * perRound + i + 1;
      commands.push({
        kind: "PUT",
        request: { client, seq, ackBelow: Math.max(0, seq - 1024) },
        name: flat(`key-${i % 10_000}`),
        value: payload,
        expect: undefined,
      });
    }
    const seconds = cpuSeconds(() => {
      for (const command of commands) if (apply(state, command).kind !== "put") throw new Error("put refused");
    });
    rates.push(perRound / seconds);
    state.takeChanges();
  }
  rates.sort((a, b) => a - b);
  report({ figure: "PUT applies per CPU second", median: Math.round(rates[rates.length >> 1]), worst: Math.round(rates[0]) });
}

function benchTransactions(total, perRound) {
  const state = machine();
  const before = memory();
  const rates = [];
  let worstTakeMs = 0;
  for (let done = 0; done < total; done += perRound) {
    const list = transactions(perRound);
    const seconds = cpuSeconds(() => {
      for (const [begin, decide, first, second] of list) {
        apply(state, begin);
        apply(state, decide);
        apply(state, first);
        if (apply(state, second).finished.length !== 1) throw new Error("not finished");
      }
    });
    rates.push(perRound / seconds);
    const taking = process.hrtime.bigint();
    state.takeChanges();
    worstTakeMs = Math.max(worstTakeMs, Number(process.hrtime.bigint() - taking) / 1e6);
    stampMs += perRound / 20;
  }
  rates.sort((a, b) => a - b);
  report({
    figure: "whole transactions (BEGIN, DECIDE, DONE, DONE) per CPU second",
    median: Math.round(rates[rates.length >> 1]),
    worst: Math.round(rates[0]),
    finished: state.counts().finished,
  });
  report({ figure: "takeChanges of one round, ms", worst: Number(worstTakeMs.toFixed(2)), changes: perRound });
  report({ figure: "bytes per finished outcome", bytes: Number(((memory() - before) / state.counts().finished).toFixed(1)) });
  return state;
}

function benchForget(state) {
  stampMs += 60_000;
  apply(state, { kind: "FLOOR", timeMs: stampMs - 6_000 });
  let forgotten = 0;
  let worstMs = 0;
  const seconds = cpuSeconds(() => {
    for (;;) {
      const from = process.hrtime.bigint();
      const gids = state.forgettable(1000);
      if (gids.length === 0) break;
      forgotten += apply(state, { kind: "FORGET", gids }).gids.length;
      state.takeChanges();
      worstMs = Math.max(worstMs, Number(process.hrtime.bigint() - from) / 1e6);
    }
  });
  report({
    figure: "FORGET per CPU second, in batches of 1000",
    rate: Math.round(forgotten / seconds),
    worstBatchMs: Number(worstMs.toFixed(2)),
  });
}

benchPuts(8, 100_000);
benchForget(benchTransactions(outcomes, 50_000));
