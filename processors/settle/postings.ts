import type { DeliveryFeedback, MessageRefused } from '../../schemas/generated/records.js';
import type { PartitionSlice } from '../../schemas/record.js';
import { spendIdOf, spendIn } from '../budget-reserve/spend.js';
import type { Posting, PostingSlice } from './settlements.js';

const SETTLED = ['settlement', 'messageId', 'tenantId', 'createdAt', 'generation'] as const;
/** The fields that settle decodes; it skips the rest. */
export const SETTLED_FEEDBACK = [...SETTLED, 'channel'] as const;
export const SETTLED_REFUSAL = [...SETTLED, 'retryable'] as const;

/** What settle reads; null: of `reserved`, whose header says all. */
export type Settled =
  | null
  | Pick<DeliveryFeedback, (typeof SETTLED_FEEDBACK)[number]>
  | Pick<MessageRefused, (typeof SETTLED_REFUSAL)[number]>;

/**
 * What an event means for its reservation; null: nothing. The event decided it (send with the provider's answer in
 * hand, everything later in the receipts stage); here it is only read.
 */
export const postingOf = (event: NonNullable<Settled>): Posting | null => {
  const { settlement, messageId, tenantId, createdAt, generation } = event;
  if (settlement.kind === 'none') return null;
  // Money is reserved only after dedupe has seen all three; refusals without them come from before.
  if (messageId === null || tenantId === null || createdAt === null) return null;
  return {
    kind: settlement.kind,
    tenantId,
    messageId,
    generation,
    createdAt,
    cashMicros: settlement.cashMicros,
    units: settlement.units,
    renewable: settlement.kind === 'void' && 'retryable' in event && event.retryable,
    ...(settlement.kind === 'post' && 'channel' in event && { channel: event.channel }),
    ...(settlement.leaseId !== null && { spend: spendIdOf(settlement.leaseId) }),
  };
};

/** A partition's slice as the ledger takes it: its postings and spends in order, and the offsets they move. */
export const postingSlice = ({
  topic,
  partition,
  start,
  next,
  records,
}: PartitionSlice<Settled>): PostingSlice => ({
  topic,
  partition,
  start,
  next,
  postings: records.flatMap(({ value }) => (value === null ? [] : (postingOf(value) ?? []))),
  spends: records.flatMap(({ value, headers }) => (value === null ? (spendIn(headers) ?? []) : [])),
  passed: records.length === 0 ? null : Math.max(...records.map(({ timestamp }) => timestamp)),
});
