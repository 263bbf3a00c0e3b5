/**
 * Commands of scenarios over the real driver and state machine: one leader at a desk, whose log commits and whose participants answer
 * when the script says so. Transactions are named t1, t2, ... in the script; traces use the same names.
 */
import type { BranchKind, BranchSpec, Command, Vote } from "../../src/txn/index.js";
import { phaseName } from "../../src/coordinator/index.js";
import type { Answer } from "../../src/coordinator/index.js";
import { must, type Gid } from "../../src/base/index.js";
import { asked, brought, Desk } from "../coordinator/desk.js";
import type { Interpreter, Words } from "./script.js";

export class DeskWorld implements Interpreter {
  readonly #desk = new Desk();
  readonly #gids = new Map<string, Gid>();
  readonly #names = new Map<Gid, string>();
  #lines: string[] = [];
  readonly #seen = new WeakSet<Command>();
  #request = 0;
  #lastInquiry: string | undefined;
  #answered: string[] = [];
  /** Calls of the last command. */
  #called: string[] = [];

  constructor(_words: Words) {
    this.#desk.takeAnswers();
    this.#desk.takeCalls();
  }

  takeTrace(): string[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  run(words: Words): void {
    const desk = this.#desk;
    const { verb, plain } = words;
    if (verb === "expect") {
      this.#expect(words);
      return;
    }
    this.#called = [];
    this.#lines.push([verb, ...plain, ...[...words.named].map(([name, value]) => `${name}=${value}`)].join(" "));
    const [first = ""] = plain;
    switch (verb) {
      case "open":
        desk.request(
          { kind: "open", gid: this.#gid(first), client: "", timeoutMs: 0, branches: plain.slice(1).map(branchOf) },
          7,
          ++this.#request,
        );
        break;
      case "enlist":
        desk.request({ kind: "enlist", gid: this.#gid(first), branch: branchOf(plain[1] ?? "") }, 7, ++this.#request);
        break;
      case "commit": {
        const branches = plain.slice(1).map(branchOf);
        const votes = Object.fromEntries([...words.named].map(([branch, vote]) => [branch, voteOf(vote)]));
        desk.commit(this.#gid(first), branches, votes, ++this.#request);
        break;
      }
      case "abort":
        desk.request({ kind: "abort", gid: this.#gid(first) }, 7, ++this.#request);
        break;
      case "vote":
        desk.vote(this.#gid(first), plain[1] ?? "", voteOf(plain[2] ?? ""), instanceOf(words), words.named.get("detail") ?? "");
        break;
      case "done": {
        const [, branch = "", called = ""] = plain;
        const phase = TCC_PHASES.get(called) ?? called;
        if (phase === "one-phase") {
          desk.committed(this.#gid(first), branch, instanceOf(words));
          break;
        }
        if (phase !== "commit" && phase !== "rollback") throw new Error("done GID BRANCH commit, confirm, rollback, cancel or one-phase");
        desk.done(this.#gid(first), branch, phase, instanceOf(words));
        break;
      }
      case "refused":
        desk.refused(this.#gid(first), plain[1] ?? "", instanceOf(words));
        break;
      case "fail":
        desk.fail(this.#gid(first), plain[1] ?? "", "one-phase", instanceOf(words));
        break;
      case "resolve":
        desk.request(
          { kind: "resolve", gid: this.#gid(first), branch: plain[1] ?? "", outcome: "rolled-back", by: "ops", note: "" },
          7,
          ++this.#request,
        );
        break;
      case "inquire":
        this.#lastInquiry = desk.inquire(this.#gid(first), plain[1] ?? "", instanceOf(words)) ?? "none";
        this.#lines.push(`  inquiry answer ${this.#lastInquiry}`);
        desk.inquiryAnswers = [];
        break;
      case "apply":
        for (let left = first === "all" ? Infinity : Number(first || "1"); left > 0 && desk.proposed.length > 0; left--) this.#apply();
        break;
      case "lose":
        // The leader's proposals did not survive it.
        desk.proposed = [];
        break;
      case "floor":
        desk.inject({ kind: "FLOOR", timeMs: desk.stampMs - Number(first) });
        break;
      case "forget":
        desk.inject({ kind: "FORGET", gids: plain.map((name) => this.#gid(name)) });
        break;
      case "decide": {
        // A record that another leader proposed.
        const decision = plain[1] === "commit" ? "commit" : "abort";
        const yes = plain.slice(2);
        const reason = decision === "commit" ? undefined : "timeout";
        desk.inject({ kind: "DECIDE", gid: this.#gid(first), decision, reason, detail: "", yes, readOnly: [], refusedBy: "" });
        break;
      }
      case "begun": {
        // Records that another leader proposed.
        const gid = this.#gid(first);
        const branches = plain.slice(1).map(branchOf);
        desk.inject({ kind: "OPEN", gid, client: "", timeoutMs: 10_000, branches });
        desk.inject({ kind: "BEGIN", gid, client: "", timeoutMs: 10_000, branches, votes: [], delegated: false });
        break;
      }
      case "pass":
        desk.pass(Number(first));
        break;
      case "resign":
        desk.resign();
        break;
      case "establish":
        desk.establish();
        break;
      case "attach":
        desk.coordinator.instanceUp(instanceOf(words), first, "kv", desk.nowMs, {
          onePhase: words.named.get("one-phase") === "yes",
          afterBegin: words.named.get("after-begin") === "yes",
          kinds: (words.named.get("kinds") ?? "2pc").split(",").map(kindNamed),
        });
        desk.drain();
        break;
      case "detach":
        desk.coordinator.instanceDown(instanceOf(words), desk.nowMs);
        desk.drain();
        break;
      default:
        throw new Error("unknown command");
    }
    this.#collect();
  }

  /** The oldest proposal is committed and applied. */
  #apply(): void {
    const command = must(this.#desk.proposed[0], "proposal");
    this.#lines.push(`  applies ${this.#commandWords(command)}`);
    this.#desk.commitOne();
    this.#collect();
  }

  #collect(): void {
    const desk = this.#desk;
    const say = (line: string): void => void this.#lines.push(`  ${line}`);
    for (const command of desk.proposed) {
      if (this.#seen.has(command)) continue;
      this.#seen.add(command);
      say(`proposes ${this.#commandWords(command)}`);
    }
    for (const { instance, phase, kind, gid, branch, epoch, attempt } of desk.calls) {
      const words = `${instance} ${phaseName(kind, phase)} ${this.#nameOf(gid)}/${branch}`;
      this.#called.push(words);
      say(`calls ${words} epoch=${epoch} attempt=${attempt}`);
    }
    desk.calls = [];
    for (const { request, answer } of desk.answers) {
      const words = this.#answerWords(answer);
      this.#answered.push(words);
      say(`answers request ${request}: ${words}`);
    }
    desk.answers = [];
    for (const { instance, gid, branch, answer } of desk.inquiryAnswers) {
      this.#lastInquiry = answer;
      say(`tells ${instance} about ${this.#nameOf(gid)}/${branch}: ${answer}`);
    }
    desk.inquiryAnswers = [];
    for (const { name } of desk.alarms) say(`alarm ${name}`);
    desk.alarms = [];
  }

  #expect({ plain }: Words): void {
    const [what = "", ...rest] = plain;
    const [name = ""] = rest;
    const desk = this.#desk;
    const found = (): string => {
      switch (what) {
        case "proposed":
          return desk.proposed.map((command) => this.#commandWords(command).split(" ").slice(0, 3).join(" ")).join(", ");
        case "answered":
          return this.#answered.at(-1)?.split(" ").slice(0, rest.length).join(" ") ?? "";
        case "called":
          return this.#called.length === 0 ? "nothing" : this.#called.join(", ");
        case "inquiry":
          return this.#lastInquiry ?? "none";
        case "state":
          return `${name} ${this.#stateOf(this.#gid(name))}`;
        case "waiting":
          return String(desk.coordinator.counts().waiting);
        case "in-doubt":
          return String(desk.coordinator.counts().inDoubt);
        default:
          throw new Error("unknown expectation");
      }
    };
    const actual = found();
    if (actual !== rest.join(" ")) throw new Error(`it is "${actual}"`);
  }

  #stateOf(gid: Gid): string {
    const found = this.#desk.state.lookup(gid);
    switch (found.kind) {
      case "outcome":
        return `finished ${found.outcome.decision}`;
      case "transaction": {
        const { decision, state } = found.transaction;
        return decision === undefined ? state : `decided ${decision.decision}`;
      }
      default:
        return found.kind;
    }
  }

  #gid(name: string): Gid {
    const known = this.#gids.get(name);
    if (known !== undefined) return known;
    if (!/^t\d+$/.test(name)) throw new Error(`"${name}" is no transaction: t1, t2, ...`);
    const made = this.#desk.gid();
    this.#gids.set(name, made);
    this.#names.set(made, name);
    return made;
  }

  #nameOf(gid: Gid): string {
    return must(this.#names.get(gid), "a transaction of this script");
  }

  #commandWords(command: Command): string {
    switch (command.kind) {
      case "OPEN":
        return `OPEN ${this.#nameOf(command.gid)} ${branchWords(command.branches)}`.trim();
      case "ENLIST":
        return `ENLIST ${this.#nameOf(command.gid)} ${branchWords([command.branch])}`;
      case "BEGIN": {
        const votes = command.votes.map(({ branch, vote }) => ` ${branch}=${vote}`).join("");
        return `BEGIN ${this.#nameOf(command.gid)} ${branchWords(command.branches)}${votes}${command.delegated ? " delegated" : ""}`;
      }
      case "DECIDE": {
        const { gid, decision, reason, yes, readOnly, refusedBy } = command;
        const parts = [`DECIDE ${this.#nameOf(gid)} ${decision}`];
        if (reason !== undefined) parts.push(`reason=${reason}`);
        if (yes.length > 0) parts.push(`yes=${yes.join(",")}`);
        if (readOnly.length > 0) parts.push(`read-only=${readOnly.join(",")}`);
        if (refusedBy !== "") parts.push(`refused-by=${refusedBy}`);
        return parts.join(" ");
      }
      case "DONE":
        return `DONE ${command.branches.map(({ gid, branch }) => `${this.#nameOf(gid)}/${branch}`).join(" ")}`;
      case "FORGET":
        return `FORGET ${command.gids.map((gid) => this.#nameOf(gid)).join(" ")}`;
      default:
        return command.kind;
    }
  }

  #answerWords(answer: Answer): string {
    switch (answer.kind) {
      case "decided":
        return `decided ${this.#nameOf(answer.gid)} ${answer.decision}${answer.reason === undefined ? "" : ` reason=${answer.reason}`}`;
      case "error":
        return `error ${answer.code} outcome=${answer.outcome} retry=${answer.retry}`;
      case "opened":
      case "enlisted":
        return `${answer.kind} ${this.#nameOf(answer.gid)}`;
      default:
        return answer.kind;
    }
  }
}

const TCC_PHASES: ReadonlyMap<string, string> = new Map([
  ["confirm", "commit"],
  ["cancel", "rollback"],
]);

function kindNamed(word: string): BranchKind {
  if (word !== "2pc" && word !== "tcc") throw new Error(`"${word}" is no kind`);
  return word;
}

/** `b1` is asked of orders, `b2@stock` of stock, `b3!` and `b3!@stock` are brought by the client, `b4*70000` has so many bytes of work, `tcc:b5` is tried. */
function branchOf(word: string): BranchSpec {
  if (word.startsWith("tcc:")) return { ...branchOf(word.slice("tcc:".length)), kind: "tcc" };
  const [name = "", participant = "orders"] = word.split("@");
  const [id = "", size] = name.split("*");
  if (size !== undefined) return { ...asked(id, participant), payload: new Uint8Array(Number(size)) };
  return name.endsWith("!") ? brought(name.slice(0, -1), participant) : asked(name, participant);
}

function branchWords(branches: readonly BranchSpec[]): string {
  return branches
    .map(({ id, participant, mode, kind }) => `${kind === "tcc" ? "tcc:" : ""}${id}${mode === "brought" ? "!" : ""}@${participant}`)
    .join(" ");
}

function voteOf(word: string): Vote {
  if (word !== "yes" && word !== "no" && word !== "read-only") throw new Error(`"${word}" is no vote`);
  return word;
}

function instanceOf({ named }: Words): number {
  return Number(named.get("at") ?? "1");
}
