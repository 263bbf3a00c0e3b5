/**
 * Commands of scenarios over the real consensus peers, each with its disk and its network, on a stage that delivers what it is told.
 *
 * The list of commands is in README.md beside this file. Expectations are part of the commands and are never recorded anew.
 */
import { equalZxid, formatZxid, must, nodeId, parseZxid, ZXID_ZERO, type Zxid } from "../../src/base/index.js";
import type { ControlMessage, Entry, SessionMessage, ZabOptions } from "../../src/zab/index.js";
import { Stage, type AnyMessage, type Match } from "../zab/stage.js";
import type { Interpreter, Words } from "./script.js";
import { roleWords, ZabTrace } from "./zab-trace.js";

const OPTIONS: Readonly<Record<string, keyof ZabOptions>> = {
  "quorum-loss": "quorumLossMs",
  "init-limit": "initLimitMs",
  finalize: "finalizeWaitMs",
  keep: "historyEntriesKeep",
  window: "uncommittedEntriesMax",
  batch: "batchBytesMax",
};

export class ZabWorld implements Interpreter {
  readonly #stage: Stage;
  readonly #trace = new ZabTrace();
  readonly #size: number;
  #holds: { readonly match: Match; readonly release: () => void }[] = [];

  constructor(words: Words) {
    this.#size = number(words.plain[0]);
    const options: Partial<Record<keyof ZabOptions, number>> = {};
    for (const [name, value] of words.named) {
      if (name === "silence") options.followerSilenceMsMin = options.followerSilenceMsMax = number(value);
      else options[must(OPTIONS[name], `the option ${name}`)] = number(value);
    }
    this.#stage = new Stage(this.#size, options);
    this.#stage.watcher = this.#trace;
  }

  takeTrace(): string[] {
    return this.#trace.take();
  }

  run(words: Words): void {
    const { verb, plain, named } = words;
    const stage = this.#stage;
    const [first = "", ...rest] = plain;
    switch (verb) {
      case "log":
        if (first !== "all" && first !== "none") throw new Error("log all, or log none");
        this.#trace.level = first;
        return;
      case "start":
        for (const id of plain.map(number)) {
          this.#trace.forget(id);
          this.#trace.say(`n${id} starts`);
          stage.start(id);
        }
        return;
      case "settle":
        stage.settle();
        return;
      case "pass":
        stage.pass(number(first));
        return;
      case "tick":
        stage.pass(5);
        return;
      case "deliver":
        this.#deliver(number(first), number(rest[0]), rest.slice(1));
        return;
      case "hold":
        this.#hold(matchOf(words));
        return;
      case "release":
        this.#release();
        return;
      case "drop":
        stage.drop(matchOf(words));
        return;
      case "propose":
        this.#trace.say(`n${first} proposes ${rest.join(" ")}`);
        stage.propose(number(first), ...rest);
        return;
      case "read":
        stage.read(number(first));
        return;
      case "crash":
        this.#trace.say(`n${first} crashes`);
        stage.crash(number(first), number(named.get("survive") ?? "0"));
        return;
      case "freeze":
        for (const id of plain) stage.freezeDisk(number(id));
        return;
      case "sync":
        stage.sync(number(first), rest[0] === undefined ? undefined : number(rest[0]));
        return;
      case "cut":
        stage.cut(number(first), ...rest.map(number));
        return;
      case "heal":
        stage.heal(number(first), ...rest.map(number));
        return;
      case "disconnect":
        stage.disconnect(number(first), number(rest[0]));
        return;
      case "down":
        for (const other of rest) stage.link(number(first), number(other), false);
        return;
      case "checkpoint":
        for (const id of plain) stage.checkpoint(number(id));
        return;
      case "hold-install":
        stage.actor(number(first)).installsHeld = true;
        return;
      case "install":
        stage.finishInstalls(first !== "failed");
        return;
      case "inject":
        this.#inject(words);
        return;
      case "preset":
        this.#preset(words);
        return;
      case "expect":
        this.#expect(words);
        return;
      default:
        throw new Error("unknown command");
    }
  }

  /** Only messages from one node to another, of these kinds or of any, held back or not; what they cause stays under way. */
  #deliver(from: number, to: number, names: readonly string[]): void {
    const matches = this.#holds.map(({ match }) => match);
    this.#release();
    const release = this.#stage.hold((message, a, b) => a !== from || b !== to || (names.length > 0 && !names.includes(message.kind)));
    this.#stage.settle();
    release();
    for (const match of matches) this.#hold(match);
  }

  #hold(match: Match): void {
    this.#holds.push({ match, release: this.#stage.hold(match) });
  }

  #release(): void {
    for (const { release } of this.#holds) release();
    this.#holds = [];
  }

  /** A message that nobody sent: late, stale or wrong. */
  #inject({ plain, named }: Words): void {
    const [lane, to, at, kind = ""] = plain;
    const fields = Object.fromEntries([...named].map(([name, value]) => [name, fieldOf(name, value)]));
    const message = { kind, ...fields };
    if (lane === "control") this.#stage.control(number(at), number(to), message as unknown as ControlMessage);
    else if (lane === "session")
      this.#stage.input(number(to), { kind: "session", session: number(at), message: message as unknown as SessionMessage });
    else throw new Error("inject control TO FROM KIND, or inject session TO SESSION KIND");
  }

  /** What is on a disk before the first start. */
  #preset({ plain, named }: Words): void {
    const { disk } = this.#stage.actor(number(plain[0]));
    const { acceptedEpoch, currentEpoch, configuration } = disk.epochs;
    disk.epochs = {
      acceptedEpoch: number(named.get("accepted") ?? String(acceptedEpoch)),
      currentEpoch: number(named.get("current") ?? String(currentEpoch)),
      configuration,
      damage: undefined,
    };
    const base = zxidOf(named.get("base") ?? formatZxid(ZXID_ZERO));
    // The compacted prefix was committed.
    if (!equalZxid(base, ZXID_ZERO))
      this.#stage.oracle.delivered(nodeId(number(plain[0])), ZXID_ZERO, { zxid: base, payload: new Uint8Array(0) });
    disk.log.base = base;
    disk.checkpoint = base;
    disk.log.entries = entriesOf(named.get("entries") ?? "");
  }

  #expect({ plain, named }: Words): void {
    const stage = this.#stage;
    const [what = "", at = "", ...rest] = plain;
    const found = (): string => {
      switch (what) {
        case "leader":
          return String(stage.leader);
        case "committed":
          return stage.delivered(number(at)).join(" ");
        case "disk":
          return stage.onDisk(number(at)).join(" ");
        case "memory":
          return stage.inMemory(number(at)).join(" ");
        case "commit":
          return formatZxid(stage.peer(number(at)).status().committed);
        case "base":
          return formatZxid(stage.peer(number(at)).status().historyBase);
        case "role":
          return roleWords(stage.actor(number(at)).role);
        case "pending":
          return String(stage.actor(number(at)).disk.pendingSeqs.length);
        case "epochs": {
          const { acceptedEpoch, currentEpoch } = stage.actor(number(at)).disk.epochs;
          return `${acceptedEpoch} ${currentEpoch}`;
        }
        case "event":
          return rest.filter((name) => stage.saw(number(at), name)).join(" ");
        case "no-event":
          return rest.filter((name) => !stage.saw(number(at), name)).join(" ");
        case "sent":
          return rest
            .slice(0, 1)
            .map((kind) => `${kind} ${this.#sent(number(at), kind, named.get("to"))}`)
            .join("");
        case "read": {
          const answer = stage.actor(number(at)).reads.get(number(rest[0]));
          return `${rest[0] ?? ""} ${answer === undefined ? "open" : answer.ok ? formatZxid(answer.index) : "refused"}`;
        }
        default:
          throw new Error("unknown expectation");
      }
    };
    const wanted = what === "leader" ? at : rest.join(" ");
    const actual = found();
    if (actual !== wanted) throw new Error(`it is "${actual}"`);
  }

  #sent(from: number, kind: string, to: string | undefined): number {
    return this.#stage.sent.filter(
      (entry) => entry.from === from && entry.message.kind === kind && (to === undefined || entry.to === number(to)),
    ).length;
  }
}

/** `hold PROPOSE from=3 to=1`; without kinds: every message. */
function matchOf({ plain, named }: Words): Match {
  const from = named.get("from");
  const to = named.get("to");
  const names: readonly string[] = plain;
  return (message: AnyMessage, a, b) =>
    (names.length === 0 || names.includes(message.kind)) &&
    (from === undefined || a === number(from)) &&
    (to === undefined || b === number(to));
}

function number(word: string | undefined): number {
  if (word === undefined || !/^\d+$/.test(word)) throw new Error(`"${word ?? ""}" is not a number`);
  return Number(word);
}

function zxidOf(word: string): Zxid {
  return must(parseZxid(word), `the zxid ${word}`);
}

function entriesOf(word: string): Entry[] {
  if (word === "") return [];
  return word.split(",").map((item) => {
    const [zxid = "", name = ""] = item.split("=");
    return { zxid: zxidOf(zxid), payload: new TextEncoder().encode(name) };
  });
}

function fieldOf(name: string, value: string): unknown {
  if (name === "entries") return entriesOf(value);
  if (name === "leader" || name === "successor") return nodeId(number(value));
  const zxid = parseZxid(value);
  if (zxid !== undefined) return zxid;
  return /^\d+$/.test(value) ? Number(value) : value;
}
