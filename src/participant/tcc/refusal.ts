/**
 * What a try throws to say no: nothing is reserved, and the transaction is aborted. Any other error means "could not tell": the same
 * call comes again.
 */
export class TccRefusal extends Error {
  override readonly name = "TccRefusal";

  /** `message` says why, for people: it becomes the detail of the abort. */
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
  }
}
