/**
 * A store that reserves: accounts with what is frozen and what is announced, one row for each branch, on disk.
 *
 * Its functions run behind a barrier and check nothing that the barrier has to: whatever is let through happens, and shows. A second
 * confirm counts as two, a cancel that comes twice gives back twice. They run one at a time, so they may read what they change.
 */
import { Level } from "level";
import type { LevelOperation } from "../../src/barrier/index.js";
import type { BranchRef } from "../../src/participant/index.js";
import { ACCOUNTS, BALANCE, type Work } from "./resource.js";

/** The payload of a try, as JSON. */
export interface ReserveWork {
  readonly moves: readonly { readonly account: number; readonly delta: number }[];
  /** To be refused. */
  readonly doomed: boolean;
  /** It stands in the ledger. */
  readonly listed: boolean;
}

interface Account {
  readonly balance: number;
  /** Taken from the balance and not yet spent. */
  readonly frozen: number;
  /** To come. */
  readonly announced: number;
}

interface Branch extends Pick<ReserveWork, "moves" | "listed"> {
  readonly tries: number;
  readonly confirms: number;
  readonly cancels: number;
}

export interface ReserveRow extends BranchRef {
  readonly listed: boolean;
  readonly tries: number;
  readonly confirms: number;
  readonly cancels: number;
}

export interface ReserveBooks {
  /** With what is frozen: it is still here. */
  readonly total: number;
  readonly lowest: number;
  /** Frozen or announced, in all. */
  readonly reserved: number;
  /** Accounts with something frozen or announced. */
  readonly held: number;
  /** Branches tried and neither confirmed nor cancelled. */
  readonly open: number;
}

const ROW = "row/";
const OPEN = "open/";
/** Sorts after every key that is written here. */
const END = "\uffff";

export function reserveWork({ move, doomed }: Work): ReserveWork {
  return { moves: move === undefined ? [] : [move], doomed, listed: true };
}

/** Every account by nothing. */
export const TOUCH_ALL: ReserveWork = {
  moves: Array.from({ length: ACCOUNTS }, (_, account) => ({ account, delta: 0 })),
  doomed: false,
  listed: false,
};

export class ReserveStore {
  readonly db: Level<string, unknown>;
  readonly #refusal: (message: string) => Error;

  private constructor(db: Level<string, unknown>, refusal: (message: string) => Error) {
    this.db = db;
    this.#refusal = refusal;
  }

  /** `refusal` makes the error that says no to a try. */
  static async open(dir: string, refusal: (message: string) => Error): Promise<ReserveStore> {
    const db = new Level<string, unknown>(dir, { valueEncoding: "json" });
    await db.open();
    return new ReserveStore(db, refusal);
  }

  async try(ref: BranchRef, { moves, doomed, listed }: ReserveWork): Promise<readonly LevelOperation[]> {
    if (doomed) throw this.#refusal("refused, as it was asked to be");
    const before = await this.#row(ref);
    const row: Branch = { moves, listed, confirms: 0, cancels: 0, ...before, tries: (before?.tries ?? 0) + 1 };
    return [
      ...(await this.#change(moves, ({ balance, frozen, announced }, { account, delta }) => {
        if (balance + Math.min(delta, 0) < 0) throw this.#refusal(`account ${account} cannot pay ${-delta}`);
        return {
          balance: balance + Math.min(delta, 0),
          frozen: frozen - Math.min(delta, 0),
          announced: announced + Math.max(delta, 0),
        };
      })),
      { type: "put", key: ROW + nameOf(ref), value: row },
      { type: "put", key: OPEN + nameOf(ref), value: true },
    ];
  }

  async confirm(ref: BranchRef): Promise<readonly LevelOperation[]> {
    const row = await this.#tried(ref);
    const changes = await this.#change(row.moves, ({ balance, frozen, announced }, { delta }) => ({
      balance: balance + Math.max(delta, 0),
      frozen: frozen + Math.min(delta, 0),
      announced: announced - Math.max(delta, 0),
    }));
    return [...changes, ...ended(ref, { ...row, confirms: row.confirms + 1 })];
  }

  async cancel(ref: BranchRef): Promise<readonly LevelOperation[]> {
    const row = await this.#tried(ref);
    const changes = await this.#change(row.moves, ({ balance, frozen, announced }, { delta }) => ({
      balance: balance - Math.min(delta, 0),
      frozen: frozen + Math.min(delta, 0),
      announced: announced - Math.max(delta, 0),
    }));
    return [...changes, ...ended(ref, { ...row, cancels: row.cancels + 1 })];
  }

  /** Tried, and neither confirmed nor cancelled. */
  async inDoubt(): Promise<readonly BranchRef[]> {
    const open = await this.db.keys({ gte: OPEN, lt: OPEN + END }).all();
    return open.map((key) => refOf(key.slice(OPEN.length)));
  }

  async books(): Promise<ReserveBooks> {
    const accounts = await Promise.all(Array.from({ length: ACCOUNTS }, (_, account) => this.#account(account)));
    const sum = (of: (account: Account) => number): number => accounts.reduce((total, account) => total + of(account), 0);
    return {
      total: sum(({ balance, frozen }) => balance + frozen),
      lowest: Math.min(...accounts.map(({ balance }) => balance)),
      // What was given back twice does not make up for what is stuck.
      reserved: sum(({ frozen, announced }) => Math.abs(frozen) + Math.abs(announced)),
      held: accounts.filter(({ frozen, announced }) => frozen !== 0 || announced !== 0).length,
      open: (await this.inDoubt()).length,
    };
  }

  async rows(after: BranchRef | undefined, limit: number): Promise<readonly ReserveRow[]> {
    const gt = after === undefined ? ROW : ROW + nameOf(after);
    const rows = (await this.db.iterator({ gt, lt: ROW + END, limit }).all()) as [string, Branch][];
    return rows.map(([key, { listed, tries, confirms, cancels }]) => ({
      ...refOf(key.slice(ROW.length)),
      listed,
      tries,
      confirms,
      cancels,
    }));
  }

  async #tried(ref: BranchRef): Promise<Branch> {
    const row = await this.#row(ref);
    if (row === undefined) throw new Error(`the branch ${nameOf(ref)} is settled, and was never tried here`);
    return row;
  }

  async #row(ref: BranchRef): Promise<Branch | undefined> {
    return (await this.db.get(ROW + nameOf(ref))) as Branch | undefined;
  }

  async #change(
    moves: ReserveWork["moves"],
    change: (account: Account, move: ReserveWork["moves"][number]) => Account,
  ): Promise<readonly LevelOperation[]> {
    return Promise.all(
      moves.map(async (move) => ({
        type: "put" as const,
        key: accountKey(move.account),
        value: change(await this.#account(move.account), move),
      })),
    );
  }

  async #account(account: number): Promise<Account> {
    return ((await this.db.get(accountKey(account))) as Account | undefined) ?? { balance: BALANCE, frozen: 0, announced: 0 };
  }
}

function ended(ref: BranchRef, row: Branch): readonly LevelOperation[] {
  return [
    { type: "put", key: ROW + nameOf(ref), value: row },
    { type: "del", key: OPEN + nameOf(ref) },
  ];
}

function accountKey(account: number): string {
  return `acct/${account}`;
}

function nameOf({ gid, branch }: BranchRef): string {
  return `${gid}/${branch}`;
}

function refOf(name: string): BranchRef {
  const [gid = "", branch = ""] = name.split("/");
  return { gid: gid as BranchRef["gid"], branch };
}
