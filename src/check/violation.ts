/** A broken promise, found in what a run left behind. */
export interface Violation {
  /** Its short name: "I1-atomicity", "linearizability", "agreement", ... */
  readonly invariant: string;
  /** What was promised and what was seen, with the names of both. */
  readonly message: string;
}
