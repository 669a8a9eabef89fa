import type { EpochMs } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import type { KafkaRecord, PartitionSlice } from '../../schemas/record.js';
import { textArray } from './array-literal.js';
import { loadOffsets, partitionsAt, sliceParameters } from './offsets.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

const STORE = {
  name: 'store-attempts',
  text: 'select store_attempts as place from store_attempts($1, $2, $3, $4, $5, $6, $7)',
};

/** What a feedback adds to the attempt's posted amount. */
const signOf = ({ settlement }: DeliveryFeedback): 1 | 0 | -1 => {
  switch (settlement.kind) {
    case 'post':
      return 1;
    case 'reverse':
      return -1;
    case 'void':
    case 'none':
      return 0;
  }
};

const entryOf = ({ value: feedback, key }: KafkaRecord<DeliveryFeedback>) => {
  const sign = signOf(feedback);
  const { settlement } = feedback;
  return {
    tenant_id: feedback.tenantId,
    message_id: feedback.messageId,
    generation: feedback.generation,
    attempt: feedback.attempt,
    record_key: key === null ? feedback.messageId : key.toString(),
    lane: feedback.lane,
    channel: feedback.channel,
    provider: feedback.provider,
    provider_message_id: feedback.providerMessageId,
    provider_code: feedback.providerCode,
    business_line: feedback.businessLine,
    campaign_id: feedback.campaignId,
    template_id: feedback.templateId,
    recipient_hash: feedback.recipientHash,
    labels: feedback.labels,
    created_at: feedback.createdAt,
    attempted_at: feedback.attemptedAt,
    occurred_at: feedback.occurredAt,
    state: feedback.state,
    class: feedback.class,
    terminal: feedback.terminal,
    sequence: feedback.sequence,
    posted_cash: settlement.cashMicros * BigInt(sign),
    posted_units: settlement.units * sign,
    currency: settlement.currency,
    lease_id: settlement.leaseId,
  };
};
type Entry = ReturnType<typeof entryOf>;

/** A later event of the same attempt, in one batch: its state, both events' money. */
const folded = (earlier: Entry, later: Entry): Entry =>
  later.sequence <= earlier.sequence
    ? earlier
    : {
        ...later,
        provider_message_id: later.provider_message_id ?? earlier.provider_message_id,
        provider_code: later.provider_code ?? earlier.provider_code,
        posted_cash: earlier.posted_cash + later.posted_cash,
        posted_units: earlier.posted_units + later.posted_units,
        currency: later.currency === '' ? earlier.currency : later.currency,
        lease_id: later.lease_id ?? earlier.lease_id,
      };

const fold = (records: readonly KafkaRecord<DeliveryFeedback>[]): readonly Entry[] => {
  const entries = new Map<string, Entry>();
  for (const record of records) {
    const { tenantId, messageId, generation, attempt } = record.value;
    const name = `${tenantId}\0${messageId}\0${generation}\0${attempt}`;
    const entry = entryOf(record);
    const earlier = entries.get(name);
    entries.set(name, earlier === undefined ? entry : folded(earlier, entry));
  }
  return [...entries.values()];
};

/** Money crosses as text: JSON's numbers would round it. */
const asJson = (entries: readonly Entry[]): string =>
  JSON.stringify(entries, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );

const newest = (records: readonly KafkaRecord<DeliveryFeedback>[]): string | null =>
  records.length === 0
    ? null
    : new Date(Math.max(...records.map(({ value }) => value.occurredAt))).toISOString();

/**
 * The derived table of attempts, from `feedback`: one call a batch, which stores the consumer's offsets with the rows.
 * @param consumer names the reader whose offsets these are; postgresReceiptLog is told the same
 */
export const postgresAttempts = (database: Database, consumer: string) => ({
  loadOffsets: (partitions: readonly (Partition & { readonly beginning: number })[]) =>
    loadOffsets(database, consumer, partitions),

  /** lost: nothing was stored. @throws PipelineError postgres_unavailable (retry) | postgres_refused (stop) */
  async apply(
    slices: readonly PartitionSlice<DeliveryFeedback>[],
  ): Promise<
    { readonly kind: 'lost'; readonly lost: readonly Partition[] } | { readonly kind: 'applied' }
  > {
    const rows = await database.query<{ place: number }>(STORE, [
      consumer,
      ...sliceParameters(slices),
      textArray(slices.map(({ records }) => newest(records))),
      asJson(fold(slices.flatMap(({ records }) => records))),
    ]);
    return rows.length === 0
      ? { kind: 'applied' }
      : {
          kind: 'lost',
          lost: partitionsAt(
            slices,
            rows.map(({ place }) => place),
          ),
        };
  },

  /**
   * The reader has stored all that these partitions held at `at` (our clock). Without it an idle partition would
   * hold `passed` back for ever, and with it every receipt of an unknown attempt.
   */
  async caughtUp(partitions: readonly Partition[], at: EpochMs): Promise<void> {
    await database.query(sqlQuery('offsets-caught-up'), [
      consumer,
      textArray(partitions.map(({ topic }) => topic)),
      `{${partitions.map(({ partition }) => partition).join(',')}}`,
      new Date(at).toISOString(),
    ]);
  },

  /** All feedback before this time is stored, on every partition; null: not known yet. */
  async passed(): Promise<EpochMs | null> {
    const [row] = await database.query<{ passed: number | null }>(sqlQuery('attempts-passed'), [
      consumer,
    ]);
    return row?.passed ?? null;
  },
});
