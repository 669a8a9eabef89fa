import type { Admin } from 'kafkajs';
import { PipelineError } from '../../schemas/error.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import type { TopicPartition } from '../../topologies/runtime/raw-record.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { Brokers } from '../kafka-wire/brokers.js';
import type { DescribedTransaction, OpenProducer } from '../kafka-wire/transaction-requests.js';
import {
  NO_ERROR,
  TRANSACTIONAL_ID_NOT_FOUND,
  describeProducers,
  describeTransactions,
  errorName,
  listTransactions,
} from '../kafka-wire/transaction-requests.js';

/** What a coordinator and the partitions' leaders say, taken together. */
export type FoundTransaction =
  | {
      readonly kind: 'coordinated';
      readonly transaction: DescribedTransaction;
      /** On our topics; a partition that was added and not yet written to is not here. */
      readonly open: readonly OpenProducer[];
    }
  /** A partition waits for an end that no coordinator will write (KIP-890 tells how that came about). */
  | { readonly kind: 'hanging'; readonly open: readonly [OpenProducer] };

export const OPEN_STATES = [
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'PrepareEpochFence',
] as const;

/**
 * Transactions that are open now: those of our transactional ids, and of anyone on these topics.
 * Leaders are asked first, coordinators second, and the leaders again about what no coordinator knows: a transaction
 * that ended meanwhile is open at none of them, and one that is open from the first asking to the last was one when
 * its coordinator denied it.
 * @throws PipelineError `kafka_unavailable`
 */
export const findTransactions = async (
  kafka: KafkaEnvironment,
  admin: Admin,
  topics: readonly string[],
): Promise<readonly FoundTransaction[]> =>
  Brokers.with(kafka, admin, async (brokers) => {
    const open = await openProducers(brokers, topics);
    const known = await coordinated(brokers, kafka, new Set(open.map((one) => one.producerId)));
    const ofKnown = known.map((transaction) => ({
      kind: 'coordinated' as const,
      transaction,
      open: open.filter((producer) => isPartOf(producer, transaction)),
    }));
    const suspects = open.filter(
      (producer) => !known.some((transaction) => isPartOf(producer, transaction)),
    );
    if (suspects.length === 0) return ofKnown;
    const still = await openProducers(brokers, [...new Set(suspects.map(({ topic }) => topic))]);
    const hanging = suspects.filter((one) => still.some((other) => isSame(one, other)));
    return [
      ...ofKnown,
      ...hanging.map((one) => ({ kind: 'hanging' as const, open: [one] as const })),
    ];
  });

const isSame = (a: OpenProducer, b: OpenProducer): boolean =>
  a.producerId === b.producerId &&
  a.startOffset === b.startOffset &&
  partitionId(a) === partitionId(b);

const isPartOf = (producer: OpenProducer, transaction: DescribedTransaction): boolean =>
  producer.producerId === transaction.producerId &&
  transaction.partitions.some((one: TopicPartition) => partitionId(one) === partitionId(producer));

const openProducers = async (
  brokers: Brokers,
  topics: readonly string[],
): Promise<readonly OpenProducer[]> => {
  const found: OpenProducer[] = [];
  for (const [leader, partitions] of await brokers.byLeader(topics))
    for (const one of await describeProducers(await brokers.at(leader), partitions)) {
      if (one.code !== NO_ERROR)
        throw new PipelineError(
          'kafka_unavailable',
          `Kafka does not tell the producers of ${partitionId(one)}: ${errorName(one.code)}. Try again; an operator needs Read on the topic.`,
        );
      found.push(...one.open);
    }
  return found;
};

const coordinated = async (
  brokers: Brokers,
  { prefix }: KafkaEnvironment,
  producerIds: ReadonlySet<bigint>,
): Promise<readonly DescribedTransaction[]> => {
  const ours = groupOf(prefix, '');
  const found: DescribedTransaction[] = [];
  for (const nodeId of brokers.ids()) {
    const broker = await brokers.at(nodeId);
    const { code, transactions } = await listTransactions(broker, OPEN_STATES);
    // A coordinator that is loading would make every transaction of its own look as if it hung.
    if (code !== NO_ERROR)
      throw new PipelineError(
        'kafka_unavailable',
        `Kafka's broker ${nodeId} does not list its transactions: ${errorName(code)}. Try again in a few seconds.`,
      );
    const wanted = transactions
      .filter(
        ({ transactionalId, producerId }) =>
          transactionalId.startsWith(ours) || producerIds.has(producerId),
      )
      .map(({ transactionalId }) => transactionalId);
    if (wanted.length === 0) continue;
    for (const one of await describeTransactions(broker, wanted)) {
      if (one.code === TRANSACTIONAL_ID_NOT_FOUND) continue;
      if (one.code !== NO_ERROR)
        throw new PipelineError(
          'kafka_unavailable',
          `Kafka's broker ${nodeId} does not describe transaction ${one.transactionalId}: ${errorName(one.code)}. Try again in a few seconds.`,
        );
      if ((OPEN_STATES as readonly string[]).includes(one.state)) found.push(one);
    }
  }
  return found;
};
