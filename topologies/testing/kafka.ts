import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { ConsumerClient, ProducerClient } from '../runtime/rdkafka-client.js';
import type { RawRecord, TopicPartition, Write } from '../runtime/raw-record.js';

/** Topics of one test file on the real broker, under a prefix of their own; `close` deletes them. */
export class TestKafka {
  readonly prefix = `test-${randomUUID().slice(0, 8)}.`;
  readonly brokers: string;
  private readonly kafka: Kafka;
  private readonly made: string[] = [];

  constructor() {
    const brokers = process.env['KAFKA_BROKERS'];
    if (brokers === undefined) {
      throw new Error('KAFKA_BROKERS is not set: npm run stack up, then set -a; . .stack/env');
    }
    this.brokers = brokers;
    this.kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING });
  }

  get client(): Readonly<Record<string, string>> {
    return { 'metadata.broker.list': this.brokers };
  }

  async topics(
    partitions: number,
    names: readonly string[],
    config: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const admin = this.kafka.admin();
    await admin.connect();
    await admin.createTopics({
      // Our own wait: kafkajs gives up where a busy broker has not heard of the new topic yet.
      waitForLeaders: false,
      topics: names.map((topic) => ({
        topic,
        numPartitions: partitions,
        replicationFactor: 1,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      })),
    });
    this.made.push(...names);
    await eventually(`leaders of ${names.join(', ')}`, () =>
      admin.fetchTopicMetadata({ topics: [...names] }).then(
        ({ topics }) =>
          topics.every(
            ({ partitions: made }) =>
              made.length === partitions && made.every(({ leader }) => leader >= 0),
          ),
        () => false,
      ),
    );
    await admin.disconnect();
  }

  /** Writes and waits until the broker has them. */
  async write(writes: readonly Write[]): Promise<void> {
    // In order on a topic made just now, too: its leader may refuse a first request and take the second, for a broker that
    // has nothing of a producer yet takes any sequence number.
    const producer = new ProducerClient({
      ...this.client,
      'max.in.flight.requests.per.connection': 1,
    });
    await producer.connect(10_000);
    await producer.produce(writes, 10_000);
    await producer.flush(10_000);
    await producer.disconnect(5_000);
  }

  /** All records of the partitions that a read_committed (or uncommitted) reader sees now. */
  async read(
    partitions: readonly TopicPartition[],
    isolation = 'read_committed',
  ): Promise<RawRecord[]> {
    const consumer = new ConsumerClient({
      ...this.client,
      'group.id': `${this.prefix}reader`,
      'isolation.level': isolation,
    });
    await consumer.connect(10_000);
    const records: RawRecord[] = [];
    const ended = new Set<number>();
    consumer.native.on('partition.eof', ({ partition }) => ended.add(partition));
    consumer.native.assign(partitions.map((one) => ({ ...one, offset: 0 })));
    const deadline = Date.now() + 20_000;
    while (ended.size < partitions.length && Date.now() < deadline)
      records.push(...(await consumer.take(10_000, 100)));
    consumer.native.unassign();
    await consumer.disconnect(5_000);
    return records;
  }

  async close(): Promise<void> {
    const admin = this.kafka.admin();
    await admin.connect();
    if (this.made.length > 0) await admin.deleteTopics({ topics: this.made });
    await admin.disconnect();
  }
}

/** Resolves once `holds` does; fails with `what` after the deadline. No test sleeps instead. */
export const eventually = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = 20_000,
): Promise<void> => {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not in ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

/** Client settings by which librdkafka tells its statistics every 50 ms. */
export const WITH_STATISTICS = { 'statistics.interval.ms': 50 } as const;

/** Counts the Produce requests of a client that has WITH_STATISTICS: how many there were, by its newest statistics. */
export const produceRequests = ({ native }: Pick<ProducerClient, 'native'>): (() => number) => {
  let newest = 0;
  native.on('event.stats', ({ message }: { readonly message: string }) => {
    const { brokers } = JSON.parse(message) as {
      readonly brokers: Readonly<Record<string, { readonly req: { readonly Produce?: number } }>>;
    };
    newest = Object.values(brokers).reduce((sum, { req }) => sum + (req.Produce ?? 0), 0);
  });
  return () => newest;
};
