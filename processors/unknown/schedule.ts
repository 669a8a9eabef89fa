const MINUTE_MS = 60_000;

/**
 * When a provider is asked about an attempt, in milliseconds after it was held: soon, as most answers are there; then
 * ever more seldom, as what it does not know after hours it will hardly learn.
 */
const ASK_AFTER_MS = [
  5_000,
  30_000,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  30 * MINUTE_MS,
  60 * MINUTE_MS,
] as const;
const THEN_EVERY_MS = 4 * 60 * MINUTE_MS;

/** The delay before the nth question (from 0), counted from when the attempt was held. */
export const askAfterMs = (asked: number): number => {
  const [last] = ASK_AFTER_MS.slice(-1);
  return ASK_AFTER_MS[asked] ?? (last ?? 0) + (asked - ASK_AFTER_MS.length + 1) * THEN_EVERY_MS;
};

/** "Not found" counts from the second time on: what a provider took a moment ago may not be found yet. */
export const FOUND_MISSING_TIMES = 2;

/** An answer to a question is waited for so long. */
export const INQUIRY_TIMEOUT_MS = 10_000;

/** Questions a partition begins a second at most. */
export const INQUIRIES_A_TICK = 100;

/** Where a provider is no longer configured: when its attempts end all the same. */
export const DEFAULT_HORIZON_MS = 72 * 60 * MINUTE_MS;
