import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { readEnvironment } from '../config.js';
import { kafkajsConnection, rdkafkaConnection } from '../kafka-connection.js';
import type { RawRecord } from './raw-record.js';
import { readRange } from './range-reader.js';
import { ConsumerClient, ProducerClient } from './rdkafka-client.js';

const { kafka } = readEnvironment(process.env, ['kafka']);
const settings = rdkafkaConnection(kafka);
const prefix = `test-range-${randomUUID().slice(0, 8)}.`;
const [plain, mixed, empty, live] = ['plain', 'mixed', 'empty', 'live'].map((t) => prefix + t) as [
  string,
  string,
  string,
  string,
];
const admin = new Kafka({ ...kafkajsConnection(kafka), logLevel: logLevel.NOTHING }).admin();
const producer = new ProducerClient({
  ...settings,
  'transactional.id': `${prefix}producer`,
  'transaction.timeout.ms': 60_000,
});

const write = async (topic: string, ids: readonly string[], end: 'commit' | 'abort' | 'open') => {
  await producer.begin();
  await producer.produce(
    ids.map((id) => ({ topic, partition: null, key: id, value: Buffer.from(id) })),
    10_000,
  );
  await producer.flush(10_000);
  if (end === 'commit') await producer.commit(10_000);
  if (end === 'abort') await producer.abort(10_000);
};
const ids = (letter: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${letter}${index}`);
const realWatermarks = Reflect.get(ConsumerClient.prototype, 'watermarks');
const realTake = Reflect.get(ConsumerClient.prototype, 'take');
const textOf = (record: RawRecord) => record.value?.toString() ?? '';
const readAll = async (range: ReturnType<typeof readRange>): Promise<string[]> => {
  const all: string[] = [];
  for await (const batch of range) all.push(...batch.map(textOf));
  return all.sort();
};

beforeAll(async () => {
  await admin.connect();
  const topics = [plain, mixed, empty, live];
  await admin.createTopics({
    topics: topics.map((topic) => ({ topic, numPartitions: 3 })),
    waitForLeaders: false,
  });
  // waitForLeaders fails where a broker does not host the new topics yet.
  await vi.waitFor(
    async () => {
      const found = await admin.fetchTopicMetadata({ topics });
      expect(found.topics.flatMap(({ partitions }) => partitions)).toHaveLength(12);
    },
    { timeout: 20_000, interval: 50 },
  );
  await producer.connect(10_000);
  await producer.initTransactions(20_000);
});
afterAll(async () => {
  await producer.disconnect(5_000);
  await admin.deleteTopics({ topics: [plain, mixed, empty, live] });
  await admin.disconnect();
});

describe('a range', () => {
  test('ends behind trailing transaction markers, and of an empty topic at once', async () => {
    await write(plain, ids('a', 50), 'commit');
    await write(plain, ids('b', 50), 'abort');
    const read = await readAll(readRange({ settings, topics: [plain, empty], to: 'high' }));
    expect(read).toEqual(ids('a', 50).sort());
  });

  test('begins at a time', async () => {
    const records: RawRecord[] = [];
    for await (const batch of readRange({ settings, topics: [plain], to: 'high' }))
      records.push(...batch);
    const last = Math.max(...records.map((record) => record.timestamp));
    const late = readRange({ settings, topics: [plain], from: { since: last + 1 }, to: 'high' });
    expect(await readAll(late)).toEqual([]);
    const some = readRange({ settings, topics: [plain], from: { since: last }, to: 'high' });
    expect((await readAll(some)).length).toBeGreaterThan(0);
  });

  test('to the stable end stops below an open transaction; to the high end waits for it', async () => {
    await write(mixed, ids('a', 10), 'commit');
    const before = await readAll(readRange({ settings, topics: [mixed], to: 'high' }));
    await write(mixed, ids('b', 10), 'open');
    expect(await readAll(readRange({ settings, topics: [mixed], to: 'stable' }))).toEqual(before);
    await expect(
      readAll(readRange({ settings, topics: [mixed], to: 'high', deadlineMs: 500 })),
    ).rejects.toMatchObject({ code: 'kafka_unavailable' });
    const waiting = readAll(readRange({ settings, topics: [mixed], to: 'high' }));
    await producer.commit(10_000);
    expect(await waiting).toEqual([...before, ...ids('b', 10)].sort());
    const uncommitted = readRange({ settings, topics: [mixed], isolation: 'read_uncommitted' });
    expect((await readAll(uncommitted)).length).toBe(20);
  });

  test('follows until told to end, and then misses nothing that was committed', async () => {
    const end = new AbortController();
    const followed = readAll(readRange({ settings, topics: [live], to: end.signal }));
    for (let round = 0; round < 5; round++) await write(live, ids(`${round}-`, 20), 'commit');
    end.abort();
    expect((await followed).length).toBe(100);
  });

  test('goes on after an error that passes, with every record once and its end found', async () => {
    let calls = 0;
    const patched = vi.spyOn(ConsumerClient.prototype, 'take').mockImplementation(async function (
      this: ConsumerClient,
      max: number,
      waitMs: number,
    ) {
      calls += 1;
      if ([1, 4, 8].includes(calls))
        throw Object.assign(new Error('Broker: Not leader'), { code: 6 });
      return realTake.call(this, Math.min(max, 7), waitMs);
    });
    try {
      const read = await readAll(readRange({ settings, topics: [plain], to: 'high' }));
      expect(read).toEqual(ids('a', 50).sort());
      expect(calls).toBeGreaterThan(8);
    } finally {
      patched.mockRestore();
    }
  });

  test('waits for leaders that its client has not heard of yet', async () => {
    let asked = 0;
    const patched = vi.spyOn(ConsumerClient.prototype, 'watermarks').mockImplementation(function (
      this: ConsumerClient,
      at,
      deadlineMs,
    ) {
      asked += 1;
      if (asked <= 3)
        return Promise.reject(Object.assign(new Error('Broker: Not leader'), { code: 6 }));
      return realWatermarks.call(this, at, deadlineMs);
    });
    try {
      expect(await readAll(readRange({ settings, topics: [plain] }))).toHaveLength(50);
    } finally {
      patched.mockRestore();
    }
  });

  test('names a topic that is not there', async () => {
    await expect(
      readAll(readRange({ settings, topics: [plain, `${prefix}absent`] })),
    ).rejects.toMatchObject({ code: 'topic_missing' });
  });
});
