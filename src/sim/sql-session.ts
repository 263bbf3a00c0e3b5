/**
 * One connection of a process to a simulated SQL database: a message out, a reply back, and what a broken connection leaves unknown.
 */
import { SQLSTATE, type SqlReply, type Statement } from "./sql-protocol.js";
import type { Backend, SqlServer } from "./sql-server.js";
import { spawn, waitFor, type Task } from "./task.js";

const LOST: SqlReply = { ok: false, state: SQLSTATE.connectionLost, about: "" };

export class SqlSession {
  readonly #server: SqlServer;
  readonly #backend: Backend;
  #broken = false;
  /** The message under way, as the client sees it. */
  #waiting: ((reply: SqlReply) => void) | undefined;
  /** The server is carrying out a message. */
  #running = false;

  constructor(server: SqlServer, backend: Backend) {
    this.#server = server;
    this.#backend = backend;
  }

  get owner(): string {
    return this.#backend.owner;
  }

  /** Sends one message and waits for its reply. One at a time. */
  *run(...statements: readonly Statement[]): Task<SqlReply> {
    if (this.#broken) return LOST;
    const { world } = this.#server;
    return yield* waitFor<SqlReply>((resume) => {
      this.#waiting = resume;
      world.after(this.#trip(), () => this.#arrived(statements, resume));
    });
  }

  /** Back to the pool: what is open is rolled back. */
  release(): void {
    // A broken one the server ends when it notices, after what it is carrying out.
    if (this.#broken) return;
    this.#server.forget(this);
    this.#broken = true;
    this.#server.end(this.#backend);
  }

  /** The connection breaks. The server carries out what had reached it, perhaps also what was on its way, and then notices. */
  break(): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#server.forget(this);
    this.#tellLost();
    if (!this.#running) this.#endLater();
  }

  serverDied(): void {
    this.#backend.dead = true;
    this.#broken = true;
    this.#tellLost();
  }

  #arrived(statements: readonly Statement[], resume: (reply: SqlReply) => void): void {
    const { world, prng } = this.#server;
    const backend = this.#backend;
    if (backend.dead || (this.#broken && prng.chance(0.5))) return;
    this.#running = true;
    const serve = function* (session: SqlSession): Task<void> {
      const reply = yield* session.#server.message(backend, statements);
      session.#running = false;
      if (session.#broken) {
        session.#endLater();
        return;
      }
      world.after(session.#trip(), () => {
        if (session.#waiting !== resume) return;
        session.#waiting = undefined;
        resume(reply);
      });
    };
    spawn(world, () => !backend.dead, serve(this));
  }

  #endLater(): void {
    const { world, prng, options } = this.#server;
    world.after(prng.exponential(options.noticeMsMean), () => {
      // What it is still carrying out it carries to the end.
      if (!this.#running) this.#server.end(this.#backend);
    });
  }

  #tellLost(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    const { world, prng, options } = this.#server;
    world.after(prng.exponential(options.noticeMsMean), () => waiting(LOST));
  }

  #trip(): number {
    return this.#server.prng.exponential(this.#server.options.roundTripMsMean / 2);
  }
}
