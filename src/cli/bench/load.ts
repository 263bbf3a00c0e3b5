/**
 * `quorate bench write` and `txn`: one load on one cluster, measured second by second.
 */
import { OpenLoop, type OpenLoopResult } from "../../bench/open-loop.js";
import { ClosedLoop } from "../../bench/closed-loop.js";
import { handDrivenLoad } from "../../bench/hand-driven.js";
import { openLoad, transactionLoad } from "../../bench/loads.js";
import { PutAccount, putLoad } from "../../bench/put-load.js";
import { Recorder, type Issue, type Observer, type Recorded } from "../../bench/recorder.js";
import type { UsageMeter } from "../../bench/usage-meter.js";
import { formatNodeId, QuorateError } from "../../base/index.js";
import type { Quorate } from "../../client/index.js";
import { BenchCluster } from "./cluster.js";
import { fill } from "./fill.js";
import type { LoadSettings } from "./options.js";
import { Profiles } from "./profiles.js";
import { benchPools } from "./postgres.js";
import { readBack, type ReadBack } from "./read-back.js";
import { note } from "../output.js";

/** Coordinator and hand take turns of this length: what disturbs the machine disturbs both. */
const TURN_SECONDS = 2;
/** Connections of a PostgreSQL participant beyond one for each transaction in flight: commits of those already answered. */
const SPARE_CONNECTIONS = 8;
/** What may be open or waiting on the leader besides those left open on purpose. */
const OPEN_HEADROOM = 65_536;
const OPEN_DEFAULT_MAX = 1_000_000;
/** Opening a million takes about a minute; this is a bound against hanging. */
const OPEN_FILL_SECONDS_MAX = 1800;

/** A load that was measured, and what was spent on it. */
export interface Measured {
  readonly recorder: Recorder;
  readonly meter: UsageMeter;
}

export interface LoadRun extends Measured {
  readonly settings: LoadSettings;
  /** As the cluster itself says. */
  readonly nodes: number;
  readonly openLoop: OpenLoopResult | undefined;
  readonly readBack: ReadBack | undefined;
  /** The same SQL driven by hand; only for PostgreSQL under a closed loop. */
  readonly byHand: Measured | undefined;
  readonly elections: number;
  readonly rssMiB: Readonly<Record<string, number>>;
  /** The longest stall of each node's event loop in its last 10 to 20 seconds, ms, by node. */
  readonly stallMs: Readonly<Record<string, number>>;
}

/** Rejects with a QuorateError when the cluster or a participant cannot be started. */
export async function runLoad(settings: LoadSettings): Promise<LoadRun> {
  const nodeArgs =
    settings.open + OPEN_HEADROOM > OPEN_DEFAULT_MAX ? ["--open-transactions-max", String(settings.open + OPEN_HEADROOM)] : [];
  const profiles = settings.profileDir === undefined ? undefined : new Profiles(settings.profileDir);
  const bench = await BenchCluster.open({
    endpoints: settings.endpoints,
    nodes: settings.nodes,
    nodeArgs,
    env: profiles?.env ?? {},
  });
  try {
    const { quorate } = bench;
    const puts = settings.op === "write" ? new PutAccount(settings.valueBytes) : undefined;
    const issue = puts === undefined ? await transactions(bench, settings) : putLoad(quorate, puts);
    const recorder = new Recorder();
    const meter = await bench.meter();
    const epochBefore = quorate.view()?.epoch ?? 0;
    let openLoop: OpenLoopResult | undefined;
    let byHand: Measured | undefined;
    if (settings.rate !== undefined)
      openLoop = await new OpenLoop(issue, recorder).run(settings.rate, settings.warmup, settings.seconds, observer(meter, "", profiles));
    else if (settings.kind === "postgres" && settings.op === "txn")
      byHand = await inTurns(bench, issue, { recorder, meter }, settings, profiles);
    else await new ClosedLoop(issue, recorder).run(settings.outstanding, settings.warmup, settings.seconds, observer(meter, "", profiles));
    const stallMs = await stalls(quorate);
    await profiles?.finish(meter.watched, quorate.view()?.leader);
    return {
      settings,
      nodes: quorate.view()?.members.length ?? settings.nodes,
      recorder,
      meter,
      openLoop,
      byHand,
      elections: (quorate.view()?.epoch ?? 0) - epochBefore,
      rssMiB: meter.rssMiB(),
      stallMs,
      readBack: puts === undefined || recorder.ops === 0 ? undefined : await readBack(quorate, puts),
    };
  } finally {
    await bench.close();
  }
}

/** What went wrong, in words; empty: the figures stand. */
export function findings(run: LoadRun): readonly string[] {
  const results = [run.recorder.result(), ...(run.byHand === undefined ? [] : [run.byHand.recorder.result()])];
  const { readBack: proof } = run;
  return [
    ...results.flatMap((result: Recorded) =>
      Object.entries(result.errors).map(([code, count]) => `${count} operations ended with ${code}`),
    ),
    ...(results.some((result) => result.ops === 0) ? ["no operation was acknowledged in the measured time"] : []),
    ...(run.openLoop?.finding === undefined ? [] : [run.openLoop.finding]),
    ...(proof !== undefined && proof.found < proof.asked
      ? [`${proof.asked - proof.found} of ${proof.asked} registers read back through ${proof.through} do not hold what was acknowledged`]
      : []),
  ];
}

async function stalls(quorate: Quorate): Promise<Readonly<Record<string, number>>> {
  const nodes = (await quorate.status()).flatMap(({ status }) => (status === undefined ? [] : [status]));
  return Object.fromEntries(nodes.map((status) => [formatNodeId(status.id), Number(status.loopDelayMaxMs.toFixed(1))]));
}

async function transactions(bench: BenchCluster, settings: LoadSettings): Promise<Issue> {
  const { kind, participants, valueBytes, abortShare } = settings;
  const names = await bench.participants(kind, participants, settings.outstanding + SPARE_CONNECTIONS);
  if (settings.open > 0) await holdOpen(bench.quorate, names[0] ?? "", settings);
  return transactionLoad(bench.quorate, { participants: names, kind, valueBytes, abortShare });
}

/** Opens transactions and leaves them so; they end with this client. */
async function holdOpen(quorate: Quorate, participant: string, { open }: LoadSettings): Promise<void> {
  const { done, failed } = await fill(openLoad(quorate, participant), open, OPEN_FILL_SECONDS_MAX, "opened");
  if (done < open) {
    const why = Object.entries(failed).map(([code, count]) => `${count} ${code}`);
    throw new QuorateError(
      "QUORATE_OVERLOADED",
      `only ${done} of ${open} transactions could be opened (${why.join(", ") || "out of time"})`,
    );
  }
}

/** Measures `issue` into `own`, and the same work by hand, in turns; returns the latter. */
async function inTurns(
  bench: BenchCluster,
  issue: Issue,
  own: Measured,
  settings: LoadSettings,
  profiles: Profiles | undefined,
): Promise<Measured> {
  const pools = await benchPools(bench.dsns, settings.outstanding);
  try {
    const hand: Measured = { recorder: new Recorder(), meter: await bench.meter() };
    const loops = [
      { loop: new ClosedLoop(issue, own.recorder), watch: observer(own.meter, "", profiles) },
      { loop: new ClosedLoop(handDrivenLoad(pools, settings.valueBytes), hand.recorder), watch: observer(hand.meter, ", by hand") },
    ];
    for (let left = settings.seconds; left > 0; left -= TURN_SECONDS)
      for (const { loop, watch } of loops)
        await loop.run(settings.outstanding, left === settings.seconds ? settings.warmup : 0, Math.min(left, TURN_SECONDS), watch);
    return hand;
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
  }
}

function observer(meter: UsageMeter, what: string, profiles?: Profiles): Observer {
  return {
    begin: () => {
      meter.begin();
      profiles?.begin(meter.watched);
    },
    second: (recorder) => {
      meter.second();
      const { second, opsOfLastSecond, ops } = recorder;
      note(`${second} s: ${opsOfLastSecond}/s${what}, ${Math.round(ops / second)}/s so far`);
    },
  };
}
