import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import type { Topic } from '../../schemas/record.js';
import { TestKafka, WITH_STATISTICS, eventually, produceRequests } from '../testing/kafka.js';
import { textTopic } from '../testing/text-topic.js';
import { readRange } from './range-reader.js';
import { RecordProducer } from './record-producer.js';

const kafka = new TestKafka();
const texts = textTopic(`${kafka.prefix}receipts`);
/** Receipts as their provider's id; `broken` cannot be written. */
const topic = {
  ...texts,
  codec: {
    ...texts.codec,
    encode: ({ providerMessageId }: ProviderReceipt) => {
      if (providerMessageId === 'broken') throw new Error('cannot be encoded');
      return Buffer.from(providerMessageId ?? '');
    },
  },
} as unknown as Topic<ProviderReceipt>;
const receipt = (providerMessageId: string) =>
  ({ attempt: null, provider: 'p', providerMessageId }) as ProviderReceipt;

const producer = new RecordProducer(
  { ...kafka.client, ...WITH_STATISTICS },
  topic,
  ({ provider }) => provider,
);

beforeAll(async () => {
  await kafka.topics(1, [topic.name]);
  await producer.open();
});
afterAll(async () => {
  await producer.close();
  await kafka.close();
});

const written = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const batch of readRange({ settings: kafka.client, topics: [topic.name] }))
    found.push(...batch.map(({ value }) => value?.toString() ?? ''));
  return found;
};

test('what comes while a batch is on its way is one next request, and all are told once they are written', async () => {
  const requests = produceRequests(producer);
  const ids = Array.from({ length: 300 }, (_, n) => `id-${n}`);
  await Promise.all(ids.map((id) => producer.deliver([receipt(id)])));
  expect((await written()).sort()).toEqual([...ids].sort());
  await eventually('statistics from after that', () => requests() > 1);
  expect(requests()).toBe(2);
});

test('a receipt that cannot be written fails its own delivery, and no other', async () => {
  const both = await Promise.allSettled([
    producer.deliver([receipt('good'), receipt('broken')]),
    producer.deliver([receipt('another')]),
  ]);
  expect(both).toMatchObject([
    { status: 'rejected', reason: { code: 'kafka_unavailable' } },
    { status: 'fulfilled' },
  ]);
  expect(await written()).toEqual(expect.arrayContaining(['another']));
});
