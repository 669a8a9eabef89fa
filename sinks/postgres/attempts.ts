import type { EpochMs } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import type { KafkaRecord, PartitionSlice } from '../../schemas/record.js';
import { jsonText, numberArray, plainArray, textArray } from './array-literal.js';
import { caughtUp, loadOffsets, partitionsAt, passed, sliceParameters } from './offsets.js';
import type { Database } from './pool.js';

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

const STORE = {
  name: 'store-attempts',
  text: `select store_attempts as place from store_attempts(${Array.from({ length: 32 }, (_, n) => `$${n + 1}`).join(', ')})`,
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

/** One attempt's row: its newest feedback, and what all of the batch's add to the posted amount. */
interface Entry {
  readonly feedback: DeliveryFeedback;
  readonly key: string;
  readonly providerMessageId: string | null;
  readonly providerCode: string | null;
  readonly cash: bigint;
  readonly units: number;
  readonly currency: string;
  readonly leaseId: string | null;
}

const entryOf = ({ value: feedback, key }: KafkaRecord<DeliveryFeedback>): Entry => {
  const sign = signOf(feedback);
  const { settlement, providerMessageId, providerCode } = feedback;
  return {
    feedback,
    key: key === null ? feedback.messageId : key.toString(),
    providerMessageId,
    providerCode,
    cash: settlement.cashMicros * BigInt(sign),
    units: settlement.units * sign,
    currency: settlement.currency,
    leaseId: settlement.leaseId,
  };
};

/** A later event of the same attempt, in one batch: its state, both events' money. */
const folded = (earlier: Entry, later: Entry): Entry =>
  later.feedback.sequence <= earlier.feedback.sequence
    ? earlier
    : {
        ...later,
        providerMessageId: later.providerMessageId ?? earlier.providerMessageId,
        providerCode: later.providerCode ?? earlier.providerCode,
        cash: earlier.cash + later.cash,
        units: earlier.units + later.units,
        currency: later.currency === '' ? earlier.currency : later.currency,
        leaseId: later.leaseId ?? earlier.leaseId,
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

/** In the order of store_attempts()'s parameters. */
const parameters = (entries: readonly Entry[]): readonly string[] => {
  const text = (value: (feedback: DeliveryFeedback) => string | null) =>
    textArray(entries.map(({ feedback }) => value(feedback)));
  const number = (value: (feedback: DeliveryFeedback) => number) =>
    numberArray(entries.map(({ feedback }) => value(feedback)));
  return [
    text(({ tenantId }) => tenantId),
    plainArray(entries.map(({ feedback }) => feedback.messageId)),
    number(({ generation }) => generation),
    number(({ attempt }) => attempt),
    textArray(entries.map(({ key }) => key)),
    text(({ lane }) => lane),
    text(({ channel }) => channel),
    text(({ provider }) => provider),
    textArray(entries.map(({ providerMessageId }) => providerMessageId)),
    textArray(entries.map(({ providerCode }) => providerCode)),
    text(({ businessLine }) => businessLine),
    text(({ campaignId }) => campaignId),
    text(({ templateId }) => templateId),
    text(({ recipientHash }) => recipientHash),
    text(({ labels }) => jsonText(labels)),
    number(({ createdAt }) => createdAt),
    number(({ attemptedAt }) => attemptedAt),
    number(({ occurredAt }) => occurredAt),
    text(({ state }) => state),
    text(({ class: failure }) => failure),
    plainArray(entries.map(({ feedback }) => String(feedback.terminal))),
    number(({ sequence }) => sequence),
    numberArray(entries.map(({ cash }) => cash)),
    numberArray(entries.map(({ units }) => units)),
    textArray(entries.map(({ currency }) => currency)),
    textArray(entries.map(({ leaseId }) => leaseId)),
  ];
};

const newest = (records: readonly KafkaRecord<DeliveryFeedback>[]): string | null =>
  records.length === 0
    ? null
    : new Date(Math.max(...records.map(({ value }) => value.occurredAt))).toISOString();

/** Stores what these records, in order, say of attempts, and moves no offsets: reconciliation repairs rows by it. */
export const attemptRows = async (
  database: Pick<Database, 'query'>,
  records: readonly KafkaRecord<DeliveryFeedback>[],
): Promise<void> => {
  await database.query(STORE, ['', ...sliceParameters([]), '{}', ...parameters(fold(records))]);
};

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
      ...parameters(fold(slices.flatMap(({ records }) => records))),
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

  /** The reader has stored all that these partitions held at `at` (our clock): receipts of unknown attempts wait for it. */
  caughtUp: (partitions: readonly Partition[], at: EpochMs) =>
    caughtUp(database, consumer, partitions, at),

  /** All feedback before this time is stored, on every partition; null: not known yet. */
  passed: () => passed(database, [consumer]),
});
