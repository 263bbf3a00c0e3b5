import { expect, test } from "vitest";
import type { Gid } from "../../src/base/index.js";
import { InDoubtMeter } from "../../src/demo/in-doubt-meter.js";
import { Kills, type KillMode, type Moment, type Target } from "../../src/demo/kills.js";
import { betweenTwo, withFee, withRefusals } from "../../src/demo/plan.js";
import type { Bank } from "../../src/demo/bank.js";

const REF = { gid: "t1" as Gid, branch: "b" };

function field(
  mode: KillMode,
  moment: Partial<Moment> = {},
): { readonly kills: Kills; readonly log: string[]; readonly meter: InDoubtMeter } {
  const log: string[] = [];
  const target = (name: string): Target => ({
    name,
    kill9: () => Promise.resolve(void log.push(`kill ${name}`)),
    restart: () => Promise.resolve(void log.push(`restart ${name}`)),
  });
  const meter = new InDoubtMeter();
  const now: Moment = { progress: () => 0.9, inFlight: () => 16, leader: () => undefined, stopped: () => false, ...moment };
  return { kills: new Kills(mode, undefined, [target("a"), target("b")], meter, now), log, meter };
}

test("each target is killed once and is back before the next one goes", async () => {
  const { kills, log, meter } = field("participant");
  meter.yes(REF);
  await kills.loop();
  expect(log).toEqual(["kill a", "restart a", "kill b", "restart b"]);
  expect([kills.targetsKilled, kills.problems()]).toEqual([["a", "b"], []]);
});

test.each([
  ["no branch is in doubt", {}, false],
  ["too few transfers are in flight", { inFlight: () => 7 }, true],
  ["it is too early", { progress: () => 0.1 }, true],
])("nobody is killed while %s, and the run is no pass", async (_, moment, doubt) => {
  let looks = 0;
  const { kills, log, meter } = field("database", { ...moment, stopped: () => ++looks > 20 });
  if (doubt) meter.yes(REF);
  await kills.loop();
  expect(log).toEqual([]);
  expect(kills.problems().join()).toMatch(/only 0 of 2 were killed/);
});

test("a plan moves nothing out of nothing, and asks for too much in both directions", () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => ({ name }) as Bank) as [Bank, Bank, Bank];
  const plans = [betweenTwo([a, b]), withRefusals([a, b], 1000), withFee([a, b], c, 1000)];
  const numbers = Array.from({ length: 200 }, (_, n) => n + 1);
  for (const plan of plans) for (const n of numbers) expect(plan(n).reduce((sum, { delta }) => sum + delta, 0)).toBe(0);
  const payers = numbers.flatMap((n) => withFee([a, b], c, 1000)(n)).flatMap(({ bank, delta }) => (delta === -1000 ? [bank.name] : []));
  expect([payers.length, new Set(payers)]).toEqual([20, new Set(["a", "b"])]);
});
