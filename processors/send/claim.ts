import type { EpochMs } from '../../schemas/brand.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';

/** Written before a provider is called, deleted with its outcome: what a crash leaves is an unknown outcome. */
export interface Claim {
  readonly routed: MessageRouted;
  /** The record that was claimed. */
  readonly at: Coordinates;
  readonly claimedAt: EpochMs;
  /** By then its call has answered or timed out; none is begun later. */
  readonly deadline: EpochMs;
}

/** The store key of a record's claim. */
export const claimKey = (at: Coordinates): string =>
  `${at.topic}/${String(at.partition)}/${String(at.offset)}`;

/**
 * How long a claim's own transaction may take at most (`transaction.timeout.ms`). The call's own time begins only when
 * it has committed: counted from the claim, brokers that take longer than half of it would leave no call any time at
 * all, and every message would go round through a retry topic until it expires.
 */
const CLAIM_COMMITS_IN_MS = 5_000;

/** Until when a call that is claimed now may be under way at all. */
export const claimDeadline = (now: EpochMs, timeoutMs: number, expiresAt: EpochMs): EpochMs =>
  Math.min(now + CLAIM_COMMITS_IN_MS + timeoutMs, expiresAt);
