import type { DeliveryFeedback, MessageRefused } from '../../schemas/generated/records.js';
import type { PartitionSlice } from '../../schemas/record.js';
import { type SpendBatch, spendIdOf } from '../budget-reserve/spend.js';
import type { Posting, PostingSlice } from './settlements.js';

/** The fields of a refusal that settle decodes; it skips the rest. */
export const SETTLED_REFUSAL = [
  'settlement',
  'messageId',
  'tenantId',
  'createdAt',
  'generation',
  'retryable',
] as const;

/** What settle reads: what leases spent, and what it came to. Feedback is whole: attempts are stored from it too. */
export type Settled =
  SpendBatch | DeliveryFeedback | Pick<MessageRefused, (typeof SETTLED_REFUSAL)[number]>;

/**
 * What an event means for its reservation; null: nothing. The event decided it (send with the provider's answer in
 * hand, everything later in the receipts stage); here it is only read.
 */
export const postingOf = (event: Exclude<Settled, SpendBatch>): Posting | null => {
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

/** How much work a record is: rows. */
export const weightOf = (value: Settled): number => ('spends' in value ? value.spends.length : 1);

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
  postings: records.flatMap(({ value }) => ('spends' in value ? [] : (postingOf(value) ?? []))),
  spends: records.flatMap(({ value }) => ('spends' in value ? [value] : [])),
  passed: records.length === 0 ? null : Math.max(...records.map(({ timestamp }) => timestamp)),
});
