/**
 * What holds for any sequence of records, whoever proposed them and in whatever order they came.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newGid, Prng, uuid7 } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import { createStateMachine } from "../../src/txn/index.js";
import type { ApplyResult, Command, Decision, StampedCommand, StateChange, StateMachine } from "../../src/txn/index.js";
import { asked, brought, START_MS } from "./builders.js";

const random = new Prng("properties").uint32;
/** Few names, so that records meet. */
const GIDS: readonly Gid[] = Array.from({ length: 5 }, (_, i) => newGid(START_MS + i * 4_000, random));
const CLIENTS = Array.from({ length: 3 }, (_, i) => uuid7(START_MS + i * 6_000, random));
const LISTS = [[asked("b1")], [asked("b1"), brought("b2", "stock")], [asked("b1"), asked("b2", "stock")], [brought("b1")], []];

const gid = fc.constantFrom(...GIDS);
const list = fc.constantFrom(...LISTS);
const ids = fc.uniqueArray(fc.constantFrom("b1", "b2", "b3"), { maxLength: 3 });
const seq = fc.integer({ min: 1, max: 6 });

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constant("OPEN" as const), gid, client: fc.constantFrom("", "c"), timeoutMs: fc.constant(1_000), branches: list }),
  fc.record({ kind: fc.constant("ENLIST" as const), gid, branch: fc.constantFrom(asked("b1"), asked("b3"), brought("b2", "stock")) }),
  fc
    .record({
      gid,
      branches: list,
      vote: fc.constantFrom("yes" as const, "read-only" as const, "no" as const),
      delegated: fc.boolean(),
    })
    .map(({ gid, branches, vote, delegated }) => ({
      kind: "BEGIN" as const,
      gid,
      client: "",
      timeoutMs: 1_000,
      branches,
      votes: branches.filter(({ mode }) => mode === "brought").map(({ id }) => ({ branch: id, vote })),
      delegated,
    })),
  fc.record({
    kind: fc.constant("DECIDE" as const),
    gid,
    decision: fc.constantFrom("commit" as const, "abort" as const),
    reason: fc.constant(undefined),
    detail: fc.constant(""),
    yes: ids,
    readOnly: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: ids }),
    refusedBy: fc.constantFrom("", "", "b1", "b2"),
  }),
  fc.record({
    kind: fc.constant("DONE" as const),
    branches: fc.array(fc.record({ gid, branch: fc.constantFrom("b1", "b2") }), { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant("FORGET" as const), gids: fc.uniqueArray(gid, { maxLength: 5 }) }),
  fc.record({ kind: fc.constant("FLOOR" as const), timeMs: fc.integer({ min: START_MS, max: START_MS + 40_000 }) }),
  fc.record({
    kind: fc.constant("HEURISTIC" as const),
    gid,
    branch: fc.constantFrom("b1", "b2"),
    outcome: fc.constantFrom("mixed" as const, "committed" as const),
    by: fc.constant("admin"),
    note: fc.constant(""),
  }),
  fc.record({
    kind: fc.constant("PUT" as const),
    request: fc.record({ client: fc.constantFrom(...CLIENTS), seq, ackBelow: fc.integer({ min: 0, max: 3 }) }),
    name: fc.constantFrom("x", "y"),
    value: fc.uint8Array({ maxLength: 3 }),
    expect: fc.constantFrom(undefined, { epoch: 0, counter: 0 }, { epoch: 1, counter: 7 }),
  }),
  fc.record({
    kind: fc.constant("REGISTER" as const),
    participant: fc.constantFrom("orders", "stock"),
    participantKind: fc.constant("kv"),
  }),
  fc.constant({ kind: "NOOP" as const }),
);

const log = fc
  .array(
    fc.record({
      command,
      passedMs: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 300 }) }, { weight: 1, arbitrary: fc.constant(6_000) }),
    }),
    {
      minLength: 1,
      maxLength: 120,
    },
  )
  .map((steps): StampedCommand[] => {
    let stampMs = START_MS;
    const registers: Command[] = ["orders", "stock"].map((participant) => ({ kind: "REGISTER", participant, participantKind: "kv" }));
    return [
      ...registers.map((command) => ({ stampMs, command })),
      ...steps.map(({ command, passedMs }) => ({ stampMs: (stampMs += passedMs), command })),
    ];
  });

function applyAll(machine: StateMachine, entries: readonly StampedCommand[], from = 0): ApplyResult[] {
  return entries.slice(from).map((entry, i) => machine.apply(entry, { epoch: 1, counter: from + i + 1 }));
}

describe("any log", () => {
  test("leads to the same state, results and digest on two machines", () => {
    fc.assert(
      fc.property(log, (entries) => {
        const [one, two] = [createStateMachine(), createStateMachine()];
        expect(applyAll(one, entries)).toEqual(applyAll(two, entries));
        expect(one.canonical()).toBe(two.canonical());
        expect(one.meta()).toEqual(two.meta());
      }),
      { numRuns: 200 },
    );
  });

  test("leads to the same state through checkpoints and a restore at any cut", () => {
    fc.assert(
      fc.property(log, fc.array(fc.nat(120), { minLength: 1, maxLength: 4 }), (entries, cuts) => {
        const straight = createStateMachine();
        const results = applyAll(straight, entries);
        const stored = new Map<string, StateChange>();
        const sorted = [...new Set(cuts.map((cut) => cut % entries.length))].sort((a, b) => a - b);
        let machine = createStateMachine();
        let at = 0;
        for (const cut of sorted) {
          applyAll(machine, entries.slice(0, cut), at);
          at = cut;
          for (const change of machine.takeChanges()) {
            if ("value" in change && change.value === undefined) stored.delete(`${change.kind}/${change.key}`);
            else stored.set(`${change.kind}/${change.key}`, change);
          }
          const before = machine.canonical();
          machine = createStateMachine();
          machine.restore(stored.values());
          expect(machine.canonical()).toBe(before);
        }
        expect(applyAll(machine, entries, at)).toEqual(results.slice(at));
        expect(machine.canonical()).toBe(straight.canonical());
      }),
      { numRuns: 200 },
    );
  });

  test("decides each gid at most once, and every answer about it is that decision", () => {
    fc.assert(
      fc.property(log, (entries) => {
        const machine = createStateMachine();
        const decisions = new Map<Gid, Decision>();
        applyAll(machine, entries).forEach((result) => {
          if (result.kind === "decided") {
            if (result.first) {
              expect(decisions.has(result.gid)).toBe(false);
              decisions.set(result.gid, result.decision);
            }
            expect(result.decision).toBe(decisions.get(result.gid));
          }
          if (result.kind === "refused" && result.gid !== undefined && result.decision !== undefined) {
            expect(result.decision).toBe(decisions.get(result.gid));
          }
        });
        for (const [known, decision] of decisions) {
          const found = machine.lookup(known);
          if (found.kind === "outcome") expect(found.outcome.decision).toBe(decision);
          else if (found.kind === "transaction") expect(found.transaction.decision?.decision).toBe(decision);
          else expect(found.kind).toBe("expired");
        }
      }),
      { numRuns: 400 },
    );
  });

  test("forgets no commit before every yes voter acknowledged, and nothing above the floor", () => {
    fc.assert(
      fc.property(log, (entries) => {
        const machine = createStateMachine();
        const owed = new Map<Gid, Set<string>>();
        entries.forEach((entry, i) => {
          const result = machine.apply(entry, { epoch: 1, counter: i + 1 });
          const { command } = entry;
          if (command.kind === "DECIDE" && result.kind === "decided" && result.first && result.decision === "commit") {
            owed.set(command.gid, new Set(command.yes));
          }
          if (command.kind === "DONE") for (const { gid, branch } of command.branches) owed.get(gid)?.delete(branch);
          if (command.kind === "HEURISTIC" && result.kind === "heuristic") owed.get(command.gid)?.delete(command.branch);
          if (result.kind === "forgotten") {
            for (const forgotten of result.gids) expect(owed.get(forgotten)?.size ?? 0).toBe(0);
          }
          for (const [known, left] of owed) {
            const found = machine.lookup(known);
            if (left.size > 0) expect(found.kind).toBe("transaction");
          }
        });
      }),
      { numRuns: 300 },
    );
  });

  test("gives a request one answer: a value is never written twice", () => {
    fc.assert(
      fc.property(log, (entries) => {
        const machine = createStateMachine();
        const answers = new Map<string, string>();
        entries.forEach((entry, i) => {
          const { command } = entry;
          const result = machine.apply(entry, { epoch: 1, counter: i + 1 });
          if (command.kind !== "PUT") return;
          const key = `${command.request.client}/${command.request.seq}`;
          if (result.kind === "put") {
            const answer = `put ${result.version.counter}`;
            if (result.repeated) expect(answers.get(key)).toBe(answer);
            else expect(answers.has(key)).toBe(false);
            answers.set(key, answer);
          } else if (result.kind === "refused" && result.reason === "version-conflict") {
            const answer = `conflict ${result.version?.counter ?? -1}`;
            expect(answers.get(key) ?? answer).toBe(answer);
            answers.set(key, answer);
          }
        });
      }),
      { numRuns: 300 },
    );
  });

  test("keeps its counters equal to what it holds", () => {
    fc.assert(
      fc.property(log, (entries) => {
        const machine = createStateMachine();
        applyAll(machine, entries);
        const all = [...machine.transactions()];
        expect(machine.counts()).toMatchObject({
          open: all.filter(({ state }) => state === "open").length,
          sealed: all.filter(({ state }) => state === "sealed").length,
          decidedUnfinished: all.filter(({ state }) => state === "decided").length,
          finished: machine.outcomes(1_000).length,
        });
        for (const { decision, branches } of all) {
          if (decision !== undefined)
            expect(branches.some(({ done, vote }) => !done && (decision.decision === "abort" || vote === "yes"))).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });
});
