/**
 * What services that reserve leave behind: confirmed once where the log says commit and nowhere else, and nothing reserved.
 */
import type { DecidedFact, LedgerRow } from "./ledger.js";
import type { Violation } from "./violation.js";

/** I7: `effects` of a row counts the confirms that changed something. `services`: the participants that are confirmed. */
export function checkConfirms(
  decided: ReadonlyMap<string, DecidedFact>,
  services: ReadonlySet<string>,
  rows: readonly LedgerRow[],
): readonly Violation[] {
  const violations: Violation[] = [];
  const say = (message: string): void => void violations.push({ invariant: "I7-confirm", message });
  const confirmed = new Set<string>();
  for (const { participant, gid, branch, effects } of rows) {
    if (!services.has(participant)) continue;
    const name = `${gid}/${branch}@${participant}`;
    confirmed.add(name);
    const fact = decided.get(gid);
    const owed = fact?.decision === "commit" && fact.yes.some((yes) => yes.branch === branch && yes.participant === participant);
    if (effects > 1) say(`${name} was confirmed ${effects} times`);
    if (effects > 0 && !owed) say(`${name} was confirmed, and the log says ${fact === undefined ? "nothing" : fact.decision}`);
  }
  for (const fact of decided.values()) {
    if (fact.decision !== "commit") continue;
    for (const { branch, participant } of fact.yes) {
      const name = `${fact.gid}/${branch}@${participant}`;
      if (services.has(participant) && !confirmed.has(name)) say(`${name} was never confirmed, and ${fact.zxid} commits it`);
    }
  }
  return violations;
}

/** I8: at the end nothing is reserved any more. */
export function checkReserves(services: readonly { readonly participant: string; readonly reserved: number }[]): readonly Violation[] {
  return services
    .filter(({ reserved }) => reserved !== 0)
    .map(({ participant, reserved }) => ({ invariant: "I8-reserve", message: `${participant} still has ${reserved} reserved` }));
}
