/**
 * Rare branches: places where the product may do something that is always allowed and hardly ever happens by itself (FoundationDB's
 * BUGGIFY). A simulator injects when they are taken. In a real process nothing is injected, and none is ever taken.
 *
 * Rule for a new point: whatever it does must be right at any time. It is never a fault.
 */
export const BUGGIFY_POINTS = [
  // ---- consensus
  "snapshot-instead-of-diff",
  "one-entry-per-propose",
  "ack-withheld",
  "commit-withheld",
  "ping-skipped",
  "needless-election",
  "early-conclusion",
  "compact-at-once",
  // ---- the driver
  "sweep-one",
  "two-phases-anyway",
  "retry-at-once",
  "call-twice",
  "call-times-out-early",
  "breaker-opens-early",
  "other-instance",
  "done-alone",
  "forget-one",
  // ---- the replica
  "checkpoint-now",
  "view-now",
  "calls-reversed",
  "own-proposal-decoded",
  "restore-one",
] as const;
export type BuggifyPoint = (typeof BUGGIFY_POINTS)[number];

/** True: take the rare branch at this point now. */
export type Buggify = (point: BuggifyPoint) => boolean;
