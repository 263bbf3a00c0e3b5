/**
 * Linearizability of the register space, one register at a time.
 *
 * Every put of a run writes a value of its own, so a register's state is the value it holds. A version names one value for ever;
 * that is checked apart, and lets a compare-and-put be judged by the value its expected version stood for.
 */
import { checkLinearizable, type SequentialModel, type WglOperation } from "./wgl.js";
import { operations, type HistoryEvent, type Operation } from "./history.js";
import type { Violation } from "./violation.js";

/** `expect` undefined: put whatever is there. Null: only when there is nothing. */
export type RegisterInput =
  { readonly f: "read" } | { readonly f: "put"; readonly value: string; readonly expect: string | null | undefined };
/** A read gives the value, null for none. A put gives whether it was taken. */
export type RegisterOutput = { readonly value: string | null } | { readonly taken: boolean };

export const REGISTER_MODEL: SequentialModel<string | null, RegisterInput, RegisterOutput> = {
  initial: null,
  key: (state) => (state === null ? "-" : `v${state}`),
  step(state, input, output) {
    if (input.f === "read") return output === undefined || ("value" in output && output.value === state) ? state : undefined;
    const takes = input.expect === undefined || input.expect === state;
    if (output === undefined) return takes ? input.value : state;
    if (!("taken" in output) || output.taken !== takes) return undefined;
    return takes ? input.value : state;
  },
};

/**
 * Judges every register of a history. Events: `read` with ok value [value, version]; `put` with invoke value {value, expect} where
 * expect is a version, "0:0" or null, with ok value {taken, version}. Returns violations, and the keys that were too much work.
 */
export function checkRegisters(
  history: readonly HistoryEvent[],
  stepsMax?: number,
): { readonly violations: readonly Violation[]; readonly unknown: readonly string[] } {
  const byKey = new Map<string, Operation[]>();
  for (const operation of operations(history)) {
    if (operation.invoke.f !== "read" && operation.invoke.f !== "put") continue;
    const list = byKey.get(operation.invoke.key);
    if (list === undefined) byKey.set(operation.invoke.key, [operation]);
    else list.push(operation);
  }
  const violations: Violation[] = [];
  const unknown: string[] = [];
  for (const [key, list] of byKey) {
    const versions = new Map<string, string>();
    const conflict = nameVersions(key, list, versions);
    if (conflict !== undefined) {
      violations.push(conflict);
      continue;
    }
    const result = checkLinearizable(
      list.flatMap((operation) => registerOperation(operation, versions)),
      REGISTER_MODEL,
      stepsMax,
    );
    if (result.kind === "unknown") unknown.push(key);
    if (result.kind === "bad") {
      const show = (operation: WglOperation<RegisterInput, RegisterOutput>): string =>
        `  [${operation.call}, ${operation.return}] ${JSON.stringify(operation.input)} -> ${JSON.stringify(operation.output)}`;
      violations.push({
        invariant: "linearizability",
        message: [
          `register ${key}: no order explains all ${list.length} operations; the longest that explains some ends with`,
          ...result.longest.slice(-8).map(show),
          "and none of these can follow:",
          ...result.stuck.slice(0, 8).map(show),
        ].join("\n"),
      });
    }
  }
  return { violations, unknown };
}

/** Learns which value each version stands for. One version must not stand for two values, nor one value have two versions. */
function nameVersions(key: string, list: readonly Operation[], versions: Map<string, string>): Violation | undefined {
  const versionOf = new Map<string, string>();
  for (const { invoke, complete } of list) {
    if (complete?.type !== "ok") continue;
    const seen = seenVersion(invoke, complete);
    if (seen === undefined) continue;
    const [value, version] = seen;
    const before = versions.get(version);
    if (before !== undefined && before !== value)
      return { invariant: "linearizability", message: `register ${key}: version ${version} stands for ${before} and for ${value}` };
    const other = versionOf.get(value);
    if (other !== undefined && other !== version)
      return {
        invariant: "I6-duplicate",
        message: `register ${key}: the put of ${value} has version ${other} and version ${version}: it was applied twice`,
      };
    versions.set(version, value);
    versionOf.set(value, version);
  }
  return undefined;
}

function seenVersion(invoke: HistoryEvent, complete: HistoryEvent): readonly [value: string, version: string] | undefined {
  if (invoke.f === "read") {
    const [value, version] = complete.value as readonly [string | null, string | null];
    return value === null || version === null ? undefined : [value, version];
  }
  const { taken, version } = complete.value as { taken: boolean; version: string | null };
  return taken && version !== null ? [(invoke.value as { value: string }).value, version] : undefined;
}

function registerOperation(
  { invoke, complete }: Operation,
  versions: ReadonlyMap<string, string>,
): readonly WglOperation<RegisterInput, RegisterOutput>[] {
  const times = { call: invoke.index, return: complete?.type === "ok" ? complete.index : Infinity };
  if (complete?.type === "fail") return [];
  if (invoke.f === "read") {
    if (complete?.type !== "ok") return [];
    const [value] = complete.value as readonly [string | null, string | null];
    return [{ ...times, input: { f: "read" }, output: { value } }];
  }
  const { value, expect } = invoke.value as { value: string; expect: string | null };
  const input: RegisterInput = {
    f: "put",
    value,
    // A version nobody has seen a value for cannot be the register's: the expectation then never holds.
    expect: expect === null ? undefined : expect === "0:0" ? null : (versions.get(expect) ?? `unknown version ${expect}`),
  };
  const output = complete?.type === "ok" ? { taken: (complete.value as { taken: boolean }).taken } : undefined;
  return [{ ...times, input, output }];
}
