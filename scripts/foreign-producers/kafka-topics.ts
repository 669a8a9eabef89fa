import { Kafka as Admin, logLevel } from 'kafkajs';
import type { Message } from 'node-rdkafka';
import Kafka from 'node-rdkafka';

/** Creates topics and answers how to delete them. */
export const createTopics = async (
  brokers: string,
  topics: readonly string[],
  partitions: number,
): Promise<() => Promise<void>> => {
  const admin = new Admin({ brokers: brokers.split(','), logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({
    topics: topics.map((topic) => ({ topic, numPartitions: partitions, replicationFactor: 1 })),
  });
  return async () => {
    await admin.deleteTopics({ topics: [...topics] });
    await admin.disconnect();
  };
};

const READ_DEADLINE_MS = 30_000;

/** Everything committed on a topic by now, whatever its compression, per partition in order. */
export const readCommitted = (
  brokers: string,
  topic: string,
  partitions: number,
): Promise<Message[]> =>
  new Promise((resolve, reject) => {
    const messages: Message[] = [];
    const ended = new Set<number>();
    const consumer = new Kafka.KafkaConsumer(
      {
        'bootstrap.servers': brokers,
        'group.id': `${topic}-reader`,
        'isolation.level': 'read_committed',
        'enable.partition.eof': true,
        'enable.auto.commit': false,
      },
      { 'auto.offset.reset': 'earliest' },
    );
    const end = (error?: Error) => {
      clearTimeout(deadline);
      consumer.disconnect(() => {
        if (error === undefined) resolve(messages);
        else reject(error);
      });
    };
    const deadline = setTimeout(() => {
      end(new Error(`${topic} was not read to its end within ${READ_DEADLINE_MS} ms`));
    }, READ_DEADLINE_MS);
    consumer.on('data', (message) => messages.push(message));
    consumer.on('event.error', (error) => {
      end(new Error(error.message));
    });
    consumer.on('partition.eof', ({ partition }) => {
      ended.add(partition);
      if (ended.size === partitions) end();
    });
    consumer.on('ready', () => {
      consumer.assign(
        Array.from({ length: partitions }, (_, partition) => ({ topic, partition, offset: 0 })),
      );
      consumer.consume();
    });
    consumer.connect();
  });

/** A transactional producer of framed values: first some in a transaction that is aborted, then some that are committed. */
export const writeInTransactions = async (
  brokers: string,
  aborted: readonly { topic: string; key: string; value: Buffer }[],
  committed: readonly { topic: string; key: string; value: Buffer }[],
): Promise<void> => {
  const producer = new Kafka.Producer({
    'bootstrap.servers': brokers,
    'transactional.id': `foreign-${process.pid}-${Date.now()}`,
  });
  const step = (does: (done: (error: unknown) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      does((error) => {
        if (error === null || error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error(JSON.stringify(error)));
      });
    });
  await step((done) => producer.connect({ timeout: 10_000 }, done));
  producer.setPollInterval(10);
  const send = (all: readonly { topic: string; key: string; value: Buffer }[]) => {
    for (const { topic, key, value } of all) producer.produce(topic, null, value, key);
  };
  try {
    await step((done) => {
      producer.initTransactions(20_000, done);
    });
    await step((done) => {
      producer.beginTransaction(done);
    });
    send(aborted);
    await step((done) => producer.flush(10_000, done));
    await step((done) => {
      producer.abortTransaction(20_000, done);
    });
    await step((done) => {
      producer.beginTransaction(done);
    });
    send(committed);
    await step((done) => {
      producer.commitTransaction(20_000, done);
    });
  } finally {
    // The timer first: node-rdkafka would poll what is being destroyed.
    producer.setPollInterval(0);
    await new Promise((resolve) => producer.disconnect(resolve));
  }
};
