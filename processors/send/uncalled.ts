import type { EpochMs } from '../../schemas/brand.js';
import type { MessageRouted } from '../../schemas/generated/records.js';
import type { Decision } from '../processor.js';
import { attemptOf, unknownKey } from './attempt-key.js';
import type { Claim } from './claim.js';
import type { Send } from './contract.js';
import { feedbackOn, refusalOf } from './records.js';
import type { SendOptions } from './records.js';
import { delayAtLeast, putBack } from './retry.js';
import { noSettlement } from './settlement.js';

/** What becomes of a message for which no call was made: put back, or ended. */
type Emissions = NonNullable<Decision<Send>['emit']>;

/** Back to a retry topic, without an attempt; or refused, where it expired while it waited. */
export const divert = (
  { routed, at }: Pick<Claim, 'routed' | 'at'>,
  waitMs: number,
  now: EpochMs,
  options: SendOptions,
): Emissions => {
  if (now >= routed.expiresAt) return expired(routed, at, now, options);
  const diverted = { ...routed, diversions: routed.diversions + 1 };
  return [
    {
      to: 'retry',
      key: routed.reserved.deduped.key,
      value: putBack(diverted, delayAtLeast(waitMs), now),
    },
  ];
};

/** Too late for another attempt. */
export const expired = (
  routed: MessageRouted,
  at: Claim['at'],
  now: EpochMs,
  options: SendOptions,
): Emissions =>
  giveUp(
    routed,
    at,
    {
      reason: 'expired',
      detail: `expired before attempt ${String(routed.attempt)} could be made`,
      retryable: false,
      refusedAt: now,
    },
    options,
  );

/**
 * Ends a message that cannot be called (again): refused, and what was reserved returns. Where an earlier try was
 * ambiguous it is held instead: it may have been delivered, so nobody may say that it was not, or return its money.
 */
export const giveUp = (
  routed: MessageRouted,
  at: Claim['at'],
  why: Parameters<typeof refusalOf>[2],
  options: SendOptions,
): Emissions => {
  const { key } = routed.reserved.deduped;
  if (!routed.ambiguous)
    return [{ to: 'refused', key, value: refusalOf(routed, at, why, options) }];
  // The attempt that the record was put back for is never made: the one before it is what is held.
  const last = { ...routed, attempt: routed.attempt - 1 };
  const held = feedbackOn(
    last,
    {
      state: 'held',
      class: 'timeout',
      terminal: false,
      settlement: noSettlement(routed),
      providerCode: null,
      providerMessageId: null,
      attemptedAt: routed.routedAt,
      occurredAt: why.refusedAt,
    },
    options,
  );
  return [
    // That attempt's own number is taken by its outcome, the next by "unknown" where a query found nothing.
    { to: 'feedback', key, value: { ...held, sequence: routed.attempt + 1 } },
    { to: 'unknown', key: unknownKey(attemptOf(last), options.lane), value: last },
  ];
};
