import type { EpochMs } from '../../schemas/brand.js';
import type { MessageRouted } from '../../schemas/generated/records.js';

/**
 * Delays of the retry topics in milliseconds: one delay a topic, so that its order is time order. No jitter for the
 * same reason; what comes due together is spread by the provider's pace.
 */
export const RETRY_DELAYS_MS = [5_000, 30_000, 120_000, 600_000] as const;
export type RetryDelayMs = (typeof RETRY_DELAYS_MS)[number];

/** The least delay that is long enough, else the longest. */
export const delayAtLeast = (waitMs: number): RetryDelayMs =>
  RETRY_DELAYS_MS.find((delayMs) => delayMs >= waitMs) ?? 600_000;

/**
 * The delay after the nth try of a route: 5 s, 30 s, 2 min, 10 min, 10 min... no less than the provider asked for,
 * and shortened where the message would expire before. null: no try fits before it expires.
 * @param retryAfterMs what the provider asked for
 * @param leftMs until the message expires
 */
export const retryDelay = (
  routeAttempt: number,
  retryAfterMs: number | null,
  leftMs: number,
): RetryDelayMs | null => {
  const least = delayAtLeast(retryAfterMs ?? 0);
  const scheduled = RETRY_DELAYS_MS[routeAttempt - 1] ?? 600_000;
  const wanted = Math.max(least, scheduled);
  return (
    RETRY_DELAYS_MS.findLast(
      (delayMs) => delayMs <= wanted && delayMs >= least && delayMs < leftMs,
    ) ?? null
  );
};

/** The record as it is put back: due after exactly one of the delays. */
export const putBack = (
  routed: MessageRouted,
  delayMs: RetryDelayMs,
  now: EpochMs,
): MessageRouted => ({ ...routed, routedAt: now, dueAt: now + delayMs });

/** Which retry topic a record that was put back belongs to. */
export const retryDelayOf = (routed: MessageRouted): RetryDelayMs =>
  delayAtLeast((routed.dueAt ?? routed.routedAt) - routed.routedAt);
