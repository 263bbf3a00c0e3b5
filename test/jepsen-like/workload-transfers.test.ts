import { expect, test } from "vitest";
import { drawTransfer } from "../../jepsen-like/workload/transfers.js";
import { Prng } from "../../src/base/index.js";

const DRAWS = 20_000;

test.each([2, 5])(
  "of %d banks every one pays every other in every way: asked and brought, with shared accounts, refused by either, raced",
  (count) => {
    const banks = Array.from({ length: count }, (_, i) => `bank-${i}`);
    const prng = new Prng("transfers");
    const seen = new Set<string>();
    for (let i = 0; i < DRAWS; i++) {
      const { banks: of, brought, account, doomed, abortAfterMs } = drawTransfer(banks, prng);
      const who = of.length === 2 ? of.join(">") : "all";
      const way = brought ? "brought" : "asked";
      seen.add(`${who} ${way}`);
      if (account !== undefined) seen.add(`${who} ${way} shared`);
      if (doomed !== undefined) seen.add(`${who} ${way} doomed ${of[doomed]}`);
      if (abortAfterMs !== undefined) seen.add(`${who} ${way} raced`);
    }
    const pairs = banks.flatMap((a) => banks.flatMap((b) => (a === b ? [] : [[a, b] as const])));
    const sets = [...pairs.map((of) => [of.join(">"), of] as const), ...(count > 2 ? [["all", banks] as const] : [])];
    for (const [who, of] of sets)
      for (const way of ["asked", "brought"])
        for (const what of ["", " shared", " raced", ...of.map((bank) => ` doomed ${bank}`)])
          expect(seen).toContain(`${who} ${way}${what}`);
  },
);
