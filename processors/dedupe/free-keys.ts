import type { MessageRefused } from '../../schemas/generated/records.js';
import type { FirstSeen, Release } from './first-seen.js';
import { keyHash } from './key.js';

/** What stages after dedupe need to free keys. */
export type KeyRelease = Pick<FirstSeen, 'release'>;

/**
 * After the commit: retryable refusals free their keys, so that the producer may simply send again. Only an entry
 * that holds the refused record's own coordinates goes. Best effort: what stays expires with the span.
 */
export const freeKeys = async (
  refusals: readonly MessageRefused[],
  firstSeen: KeyRelease,
): Promise<void> => {
  const releases = refusals.flatMap(releaseOf);
  if (releases.length > 0) await firstSeen.release(releases);
};

const releaseOf = (refusal: MessageRefused): Release[] => {
  const { retryable, tenantId, messageId, idempotencyKey, source } = refusal;
  return retryable && tenantId !== null && messageId !== null
    ? [{ key: keyHash({ tenantId, messageId, idempotencyKey }), at: source }]
    : [];
};
