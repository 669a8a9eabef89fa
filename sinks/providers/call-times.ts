import type { EpochMs } from '../../schemas/brand.js';

export interface CallTimes {
  /** Not written after this. */
  readonly startBy: EpochMs;
  /** No answer by then: timed out. */
  readonly deadline: EpochMs;
}

/**
 * When a call that may begin from now on must begin, and must have answered. The second half of the time is kept for
 * the answer: a call begun just before the deadline would time out although nothing is wrong, and an ambiguous time-out
 * costs a held message.
 * @param claimDeadline nothing happens after it, however long its claim took
 */
export const callTimes = (now: EpochMs, timeoutMs: number, claimDeadline: EpochMs): CallTimes => {
  const deadline = Math.min(now + timeoutMs, claimDeadline);
  return { startBy: now + Math.floor((deadline - now) / 2), deadline };
};
