/**
 * The part of a `pg` pool this adapter uses, by its shape, and one connection borrowed from it.
 *
 * The user's own pool is taken and no second one is opened; `pg` itself is never imported. Decides: when a connection goes back to the
 * pool and when it is thrown away. An error in a statement leaves a good connection; a lost or silent one must not be used again.
 */
import { assert, messageOf } from "../../base/index.js";

export interface PgQueryConfig {
  readonly text: string;
  readonly values?: unknown[];
  /** "extended": one statement per text, also without values. */
  readonly queryMode?: string;
}

export interface PgQueryResult<Row = unknown> {
  readonly rows: Row[];
  readonly rowCount: number | null;
  /** First word of the command tag, for example "UPDATE". */
  readonly command: string;
}

export interface PgClient {
  query(text: string | PgQueryConfig, values?: unknown[]): Promise<PgQueryResult>;
  /** true: throw the connection away. */
  release(destroy?: boolean): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
}

/** `new Pool(...)` of the `pg` package, or anything of its shape. */
export interface PgPool {
  connect(): Promise<PgClient>;
}

/** How many connections the pool may open; undefined: it does not say. */
export function poolLimit(pool: PgPool): number | undefined {
  // `pg` compares, so a text that came from the environment works as a number.
  const limit = Number((pool as { readonly options?: { readonly max?: unknown } }).options?.max);
  return limit >= 1 ? limit : undefined;
}

/** SQLSTATEs this adapter tells apart. PostgreSQL, appendix A. */
export const SQLSTATE = {
  uniqueViolation: "23505",
  inFailedTransaction: "25P02",
  undefinedObject: "42704",
  lockNotAvailable: "55P03",
  insufficientPrivilege: "42501",
} as const;

/** The SQLSTATE of an error the server reported; undefined for any other error. */
export function sqlStateOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { readonly code?: unknown }).code : undefined;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/**
 * Whether the error leaves open what the server did: the connection broke (class 08), the server is going down or not up yet (57P),
 * or no server error arrived at all, as after a reset or a client-side timeout.
 */
export function isConnectionLoss(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === undefined || state.startsWith("08") || state.startsWith("57P");
}

/** Whether the server could not take the work now though nothing is wrong with it: connection trouble, or out of resources (53). */
export function isTemporary(error: unknown): boolean {
  return isConnectionLoss(error) || sqlStateOf(error)?.startsWith("53") === true;
}

/** The database's own words, with detail and hint where it gave some. */
export function sqlMessage(error: unknown): string {
  const { detail, hint } = error instanceof Error ? (error as { readonly detail?: unknown; readonly hint?: unknown }) : {};
  const state = sqlStateOf(error);
  const parts = [messageOf(error), detail, hint].filter((part): part is string => typeof part === "string" && part !== "");
  return parts.join("; ") + (state === undefined ? "" : ` (SQLSTATE ${state})`);
}

export class Session {
  readonly #client: PgClient;
  #lost = false;
  #released = false;
  readonly #onError = (): void => {
    this.#lost = true;
  };

  private constructor(client: PgClient) {
    this.#client = client;
    // Without a listener a connection that breaks between two queries would end the process.
    client.on("error", this.#onError);
  }

  static async open(pool: PgPool): Promise<Session> {
    return new Session(await pool.connect());
  }

  /** Borrows a connection for one task. */
  static async use<T>(pool: PgPool, task: (session: Session) => Promise<T>): Promise<T> {
    const session = await Session.open(pool);
    try {
      return await task(session);
    } finally {
      session.release();
    }
  }

  /** Runs one or several statements of our own in one round trip; the results in order. */
  async run(text: string): Promise<readonly PgQueryResult[]> {
    const result: unknown = await this.query(text);
    return Array.isArray(result) ? (result as PgQueryResult[]) : [result as PgQueryResult];
  }

  /** Invariant: never after `release`. The connection is somebody else's then, and so would be the transaction that this runs in. */
  async query(text: string | PgQueryConfig, values?: unknown[]): Promise<PgQueryResult> {
    assert(!this.#released, "a connection that was given back is not used");
    try {
      return await (values === undefined ? this.#client.query(text) : this.#client.query(text, values));
    } catch (error) {
      if (isConnectionLoss(error)) this.#lost = true;
      throw error;
    }
  }

  /** Ends whatever transaction is open and gives the connection back; a connection that cannot do that is thrown away. */
  async rollback(): Promise<void> {
    if (!this.#lost) {
      try {
        await this.query("rollback");
      } catch {
        this.#lost = true;
      }
    }
    this.release();
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#client.removeListener("error", this.#onError);
    this.#client.release(this.#lost);
  }
}
