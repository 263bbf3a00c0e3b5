/**
 * What participants' processes report, on its way into the history: doubts to the probe, broken promises as events, the rest as counts.
 */
import type { DoubtProbe } from "../doubt-probe.js";
import type { HistoryWriter } from "../history-writer.js";
import type { HostEvent } from "./messages.js";
import type { HostListener } from "./participant-process.js";

export class Observer {
  readonly probe: DoubtProbe;
  readonly #history: HistoryWriter;
  #resolvedByInquiry = 0;
  #duplicates = 0;
  #lateTries = 0;

  constructor(history: HistoryWriter, probe: DoubtProbe) {
    this.#history = history;
    this.probe = probe;
  }

  /** Branches whose participant had to ask for the outcome. */
  get resolvedByInquiry(): number {
    return this.#resolvedByInquiry;
  }

  /** Calls of the participant contract that were delivered again. */
  get duplicates(): number {
    return this.#duplicates;
  }

  /** Tries that came after their cancel. */
  get lateTries(): number {
    return this.#lateTries;
  }

  /** `doubts`: whether the process's own word on votes and outcomes is what doubts are measured by. */
  listener(participant: string, doubts: boolean): HostListener {
    const { probe } = this;
    return {
      onEvents: (events) => {
        for (const event of events) this.#event(participant, event, doubts);
      },
      onFound: (inDoubt, atNs) => {
        if (doubts)
          probe.back(
            participant,
            inDoubt.map((ref) => branchOf(ref)),
            BigInt(atNs),
          );
      },
      onGone: (why) => {
        if (doubts) probe.left(participant);
        if (why !== undefined) this.problem(participant, "died", why);
      },
    };
  }

  /** A broken promise of a participant, or of the harness itself; judged with the rest of the history. */
  problem(participant: string, what: "died" | "duplicate" | "heuristic", message: string): void {
    this.#history.add({ process: -1, type: "info", f: "problem", key: participant, value: { what, message } });
  }

  #event(participant: string, event: HostEvent, doubts: boolean): void {
    switch (event.kind) {
      case "yes":
        if (doubts) this.probe.yes(participant, branchOf(event), BigInt(event.atNs));
        return;
      case "outcome":
        if (doubts) this.probe.outcome(participant, branchOf(event), BigInt(event.atNs));
        return;
      case "settled":
        if (event.byInquiry) this.#resolvedByInquiry += 1;
        if (event.heuristic) this.problem(participant, "heuristic", `${branchOf(event)} was settled against the decision`);
        return;
      case "duplicate":
        this.#duplicates += 1;
        if (event.problem !== undefined) this.problem(participant, "duplicate", event.problem);
        return;
      case "late-try":
        this.#lateTries += 1;
        return;
    }
  }
}

export function branchOf({ gid, branch }: { readonly gid: string; readonly branch: string }): string {
  return `${gid}/${branch}`;
}
