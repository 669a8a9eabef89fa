import { LANES } from '../../schemas/generated/records.js';
import type { AttemptReference, Lane, MessageRouted } from '../../schemas/generated/records.js';

/** The attempt that a routed record is about to make, or made. */
export const attemptOf = (routed: MessageRouted): AttemptReference => {
  const { request, generation } = routed.reserved.deduped;
  return {
    tenantId: request.tenantId,
    messageId: request.messageId,
    generation,
    attempt: routed.attempt,
  };
};

/**
 * tenant|messageId|generation|attempt: what providers echo in receipts (Aliyun's OutId, under 256 characters: this is at most 63 + 36 + 3 + 2 numbers).
 */
export const attemptKey = (attempt: AttemptReference): string =>
  `${attempt.tenantId}|${attempt.messageId}|${String(attempt.generation)}|${String(attempt.attempt)}`;

/** The key in internal.unknown: the attempt, and the lane to which it would go back. */
export const unknownKey = (attempt: AttemptReference, lane: Lane): string =>
  `${attemptKey(attempt)}|${lane}`;

/** The lane in a key of internal.unknown; null where it is none of ours. */
export const laneOfUnknown = (key: string): Lane | null =>
  LANES.find((lane) => key.endsWith(`|${lane}`)) ?? null;

/**
 * What a provider may refuse a second submit by. Where it dedupes, every try carries the SAME key: with the attempt's
 * number in it, the retry after an ambiguous time-out would be delivered a second time. Where it doesn't, the key only
 * names the attempt.
 */
export const idempotencyKey = (attempt: AttemptReference, dedupesOnKey: boolean): string =>
  dedupesOnKey
    ? `${attempt.tenantId}-${attempt.messageId}-${String(attempt.generation)}`
    : `${attempt.tenantId}-${attempt.messageId}-${String(attempt.generation)}-${String(attempt.attempt)}`;
