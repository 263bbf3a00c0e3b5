/**
 * A value that is settled once, from outside. Who waits for it is called at once, in the order of asking: no promise is made unless
 * somebody asks for one, and the usual branch has one waiter.
 */
export type Settled<T> = (error: unknown, value: T | undefined) => void;

export class Deferred<T> {
  #state: "open" | "resolved" | "rejected" = "open";
  #result: unknown;
  #first: Settled<T> | undefined;
  #others: Settled<T>[] | undefined;

  get promise(): Promise<T> {
    return new Promise<T>((resolve, reject) =>
      this.listen((error, value) => {
        if (this.#state === "rejected") reject(error as Error);
        else resolve(value as T);
      }),
    );
  }

  /** Calls back at once when it is settled already. `value` is there unless it was rejected. */
  listen(waiter: Settled<T>): void {
    if (this.#state !== "open") this.#tell(waiter);
    else if (this.#first === undefined) this.#first = waiter;
    else (this.#others ??= []).push(waiter);
  }

  resolve(value: T): void {
    this.#settle("resolved", value);
  }

  reject(error: unknown): void {
    this.#settle("rejected", error);
  }

  #settle(state: "resolved" | "rejected", result: unknown): void {
    if (this.#state !== "open") return;
    this.#state = state;
    this.#result = result;
    const [first, others] = [this.#first, this.#others];
    this.#first = this.#others = undefined;
    if (first !== undefined) this.#tell(first);
    if (others !== undefined) for (const waiter of others) this.#tell(waiter);
  }

  #tell(waiter: Settled<T>): void {
    if (this.#state === "rejected") waiter(this.#result, undefined);
    else waiter(undefined, this.#result as T);
  }
}
