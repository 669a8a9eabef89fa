import type { EpochMs } from '../../schemas/brand.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';

/** Written before a provider is called, deleted with its outcome: what a crash leaves is an unknown outcome. */
export interface Claim {
  readonly routed: MessageRouted;
  /** The record that was claimed. */
  readonly at: Coordinates;
  readonly claimedAt: EpochMs;
  /** By then the call has answered or timed out; none is begun later. */
  readonly deadline: EpochMs;
}

/** The store key of a record's claim. */
export const claimKey = (at: Coordinates): string =>
  `${at.topic}/${String(at.partition)}/${String(at.offset)}`;

/**
 * When a claimed call must have answered, and until when it may begin. The second half of the time is kept for the
 * answer: a call begun just before the deadline would time out although nothing is wrong, and an ambiguous time-out
 * costs a held message.
 */
export const callTimes = (
  now: EpochMs,
  timeoutMs: number,
  expiresAt: EpochMs,
): { readonly startBy: EpochMs; readonly deadline: EpochMs } => {
  const deadline = Math.min(now + timeoutMs, expiresAt);
  return { startBy: now + Math.floor((deadline - now) / 2), deadline };
};
