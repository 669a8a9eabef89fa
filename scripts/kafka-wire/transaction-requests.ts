import type { TopicPartition } from '../../topologies/runtime/raw-record.js';
import type { WireReader } from './bytes.js';
import type { BrokerConnection } from './connection.js';

/** Codes of Kafka's protocol that these requests answer with and that are not failures of the command. */
export const NO_ERROR = 0;
export const TRANSACTIONAL_ID_NOT_FOUND = 105;

/** Kafka's own names, so that a person finds them in its documentation. */
export const ERROR_NAMES: Readonly<Record<number, string>> = {
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  6: 'NOT_LEADER_OR_FOLLOWER',
  14: 'COORDINATOR_LOAD_IN_PROGRESS',
  15: 'COORDINATOR_NOT_AVAILABLE',
  16: 'NOT_COORDINATOR',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  31: 'CLUSTER_AUTHORIZATION_FAILED',
  35: 'UNSUPPORTED_VERSION',
  47: 'INVALID_PRODUCER_EPOCH',
  52: 'TRANSACTION_COORDINATOR_FENCED',
  53: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  105: 'TRANSACTIONAL_ID_NOT_FOUND',
};
export const errorName = (code: number): string => ERROR_NAMES[code] ?? `error ${code}`;

const LIST_TRANSACTIONS = { key: 66, version: 0 } as const;
const DESCRIBE_TRANSACTIONS = { key: 65, version: 0 } as const;
const DESCRIBE_PRODUCERS = { key: 61, version: 0 } as const;
const WRITE_TXN_MARKERS = { key: 27, version: 1 } as const;

/** A transaction as its coordinator lists it. */
export interface ListedTransaction {
  readonly transactionalId: string;
  readonly producerId: bigint;
  /** Kafka's word: Ongoing, PrepareCommit, PrepareAbort, ... */
  readonly state: string;
}

/** ListTransactions (KIP-664): what this broker coordinates, in these states. */
export const listTransactions = async (
  broker: BrokerConnection,
  states: readonly string[],
): Promise<{ readonly code: number; readonly transactions: readonly ListedTransaction[] }> => {
  const answer = await broker.flexible(LIST_TRANSACTIONS, (to) => {
    to.compactArray(states, (state) => to.compactText(state)).compactArray([], () => undefined);
  });
  answer.int32();
  const code = answer.int16();
  answer.compactArray((from) => from.compactText());
  const transactions = answer.compactArray((from) => {
    const one = {
      transactionalId: from.compactText(),
      producerId: from.int64(),
      state: from.compactText(),
    };
    from.endOfFields();
    return one;
  });
  return { code, transactions };
};

export interface DescribedTransaction extends ListedTransaction {
  readonly code: number;
  readonly timeoutMs: number;
  /** ms since the epoch by the broker's clock; negative: none is open. */
  readonly startedAt: number;
  readonly producerEpoch: number;
  /** Partitions that it has written to, with __consumer_offsets'. */
  readonly partitions: readonly TopicPartition[];
}

/** DescribeTransactions (KIP-664), asked of their coordinator. */
export const describeTransactions = async (
  broker: BrokerConnection,
  transactionalIds: readonly string[],
): Promise<readonly DescribedTransaction[]> => {
  const answer = await broker.flexible(DESCRIBE_TRANSACTIONS, (to) => {
    to.compactArray(transactionalIds, (id) => to.compactText(id));
  });
  answer.int32();
  return answer.compactArray((from) => {
    const code = from.int16();
    const transactionalId = from.compactText();
    const state = from.compactText();
    const timeoutMs = from.int32();
    const startedAt = Number(from.int64());
    const producerId = from.int64();
    const producerEpoch = from.int16();
    const partitions = from.compactArray(topicPartitions).flat();
    from.endOfFields();
    return {
      code,
      transactionalId,
      state,
      timeoutMs,
      startedAt,
      producerId,
      producerEpoch,
      partitions,
    };
  });
};

/** A producer that a partition's leader remembers, where it has a transaction open. */
export interface OpenProducer extends TopicPartition {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** Of its last record, ms since the epoch. */
  readonly lastTimestamp: number;
  readonly coordinatorEpoch: number;
  /** Where the open transaction begins: no read_committed reader gets past it. */
  readonly startOffset: bigint;
}

export interface PartitionProducers extends TopicPartition {
  readonly code: number;
  readonly open: readonly OpenProducer[];
}

/** DescribeProducers (KIP-664), asked of the partitions' leader. */
export const describeProducers = async (
  broker: BrokerConnection,
  partitions: readonly TopicPartition[],
): Promise<readonly PartitionProducers[]> => {
  const answer = await broker.flexible(DESCRIBE_PRODUCERS, (to) => {
    to.compactArray(byTopic(partitions), ([topic, numbers]) => {
      to.compactText(topic)
        .compactArray(numbers, (number) => to.int32(number))
        .endOfFields();
    });
  });
  answer.int32();
  return answer
    .compactArray((from) => {
      const topic = from.compactText();
      const found = from.compactArray(() => {
        const partition = from.int32();
        const code = from.int16();
        from.compactNullableText();
        const open = from
          .compactArray((): OpenProducer => {
            const producerId = from.int64();
            const producerEpoch = from.int32();
            from.int32();
            const lastTimestamp = Number(from.int64());
            const coordinatorEpoch = from.int32();
            const startOffset = from.int64();
            from.endOfFields();
            return {
              topic,
              partition,
              producerId,
              producerEpoch,
              lastTimestamp,
              coordinatorEpoch,
              startOffset,
            };
          })
          .filter((producer) => producer.startOffset >= 0n);
        from.endOfFields();
        return { topic, partition, code, open };
      });
      from.endOfFields();
      return found;
    })
    .flat();
};

/**
 * WriteTxnMarkers: ends a transaction on one partition as aborted, past its coordinator. Brokers take it from whoever
 * may Alter the cluster.
 * @returns the partition's error code
 */
export const writeAbortMarker = async (
  leader: BrokerConnection,
  producer: OpenProducer,
): Promise<number> => {
  const answer = await leader.flexible(WRITE_TXN_MARKERS, (to) => {
    to.compactArray([producer], () => {
      to.int64(producer.producerId)
        .int16(producer.producerEpoch)
        .int8(0) // abort
        .compactArray([producer], () => {
          to.compactText(producer.topic)
            .compactArray([producer.partition], (number) => to.int32(number))
            .endOfFields();
        })
        // The leader refuses an epoch below the one it has seen; -1 means none yet.
        .int32(Math.max(0, producer.coordinatorEpoch))
        .endOfFields();
    });
  });
  const codes = answer.compactArray((from) => {
    from.int64();
    const ofTopics = from.compactArray(() => {
      from.compactText();
      const ofPartitions = from.compactArray(() => {
        from.int32();
        const code = from.int16();
        from.endOfFields();
        return code;
      });
      from.endOfFields();
      return ofPartitions;
    });
    from.endOfFields();
    return ofTopics.flat();
  });
  return codes.flat()[0] ?? NO_ERROR;
};

const byTopic = (partitions: readonly TopicPartition[]): [string, number[]][] => {
  const topics = new Map<string, number[]>();
  for (const { topic, partition } of partitions)
    topics.set(topic, [...(topics.get(topic) ?? []), partition]);
  return [...topics];
};

const topicPartitions = (from: WireReader): TopicPartition[] => {
  const topic = from.compactText();
  const partitions = from.compactArray(() => ({ topic, partition: from.int32() }));
  from.endOfFields();
  return partitions;
};
