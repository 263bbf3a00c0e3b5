/**
 * Exponential back-off with jitter, as a pure function of the attempt.
 */
export interface BackoffOptions {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
}

/**
 * Milliseconds to wait before attempt `attempt` (0 = the first repetition): between the minimum and min * 2^attempt, capped.
 * The whole range is drawn from, so that many clients of one dead node do not come back together.
 */
export function backoffMs(attempt: number, options: BackoffOptions, random: () => number): number {
  const ceiling = Math.min(options.delayMsMax, options.delayMsMin * 2 ** Math.min(attempt, 30));
  return options.delayMsMin + random() * (ceiling - options.delayMsMin);
}
