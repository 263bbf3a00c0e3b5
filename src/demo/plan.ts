/**
 * Who pays whom how much, by the number of the transfer.
 */
import type { Bank } from "./bank.js";

/** One side of a transfer. */
export interface Move {
  readonly bank: Bank;
  readonly delta: number;
}

/** The moves of transfer number `n`; their sum is 0. */
export type Plan = (n: number) => readonly Move[];

const MONEY_PER_TRANSFER_MAX = 9;
const REFUSED_EVERY = 10;
const REFUSED_REMAINDER = 7;
const FEE = 1;

/** Back and forth between two banks. */
export function betweenTwo(banks: readonly [Bank, Bank]): Plan {
  return (n) => {
    const [from, to] = inTurn(banks, n);
    const amount = 1 + (n % MONEY_PER_TRANSFER_MAX);
    return [
      { bank: from, delta: -amount },
      { bank: to, delta: amount },
    ];
  };
}

/** The same, and every tenth asks for more than there is. `unaffordable`: more than an account can ever hold. */
export function withRefusals(banks: readonly [Bank, Bank], unaffordable: number): Plan {
  return (n) => {
    const [from, to] = inTurn(banks, n);
    const amount = refused(n) ? unaffordable : 1 + (n % MONEY_PER_TRANSFER_MAX);
    return [
      { bank: from, delta: -amount },
      { bank: to, delta: amount },
    ];
  };
}

/** With refusals, and a part of every transfer goes to a third bank. */
export function withFee(banks: readonly [Bank, Bank], fees: Bank, unaffordable: number): Plan {
  return (n) => {
    const [from, to] = inTurn(banks, n);
    const amount = refused(n) ? unaffordable : 1 + FEE + (n % MONEY_PER_TRANSFER_MAX);
    return [
      { bank: from, delta: -amount },
      { bank: to, delta: amount - FEE },
      { bank: fees, delta: FEE },
    ];
  };
}

function inTurn([a, b]: readonly [Bank, Bank], n: number): readonly [Bank, Bank] {
  return n % 2 === 0 ? [a, b] : [b, a];
}

/** Both directions come up: the remainder changes its parity from ten to ten. */
function refused(n: number): boolean {
  return n % REFUSED_EVERY === (REFUSED_REMAINDER + Math.floor(n / REFUSED_EVERY)) % REFUSED_EVERY;
}
