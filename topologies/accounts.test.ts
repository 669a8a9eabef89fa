import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AccountLevel } from '../schemas/generated/records.js';
import { memoryCodecs } from '../schemas/topic-codecs.js';
import { postgresAccountLevels } from '../sinks/postgres/account-levels.js';
import type { Database } from '../sinks/postgres/pool.js';
import { failing } from '../sinks/postgres/testing/failing.js';
import { freshDatabase } from '../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../sinks/postgres/testing/fresh-database.js';
import { funded } from '../sinks/postgres/testing/funded.js';
import { accountKey, publishAccounts } from './accounts.js';
import { RecordProducer } from './runtime/record-producer.js';
import { TestKafka } from './testing/kafka.js';

const kafka = new TestKafka();
const name = `${kafka.prefix}accounts`;
const codec = memoryCodecs().of('AccountLevel', name);
const producer = new RecordProducer(kafka.client, { name, codec }, accountKey);
let database: FreshDatabase;

beforeAll(async () => {
  database = await freshDatabase();
  await kafka.topics(2, [name]);
  await producer.open();
});
afterAll(async () => {
  await producer.close();
  await kafka.close();
  await database.drop();
});

const { signal } = new AbortController();
const round = (
  on: Database,
  deliver: (records: readonly AccountLevel[]) => Promise<void> = (records) =>
    producer.deliver(records),
) => publishAccounts(postgresAccountLevels(on), deliver).run(signal);

/** The topic as whoever reads it holds it: the last record of each key. */
const latest = async (): Promise<ReadonlyMap<string, AccountLevel>> => {
  const records = await kafka.read([0, 1].map((partition) => ({ topic: name, partition })));
  return new Map(
    records.map(({ key, value }) => [key?.toString() ?? '', codec.decode(value ?? Buffer.of())]),
  );
};

const account = (businessLine: string, cashMicros: bigint) =>
  funded(database, {
    tenantId: 'acme',
    businessLine,
    transferId: `initial/acme/${businessLine}`,
    currency: 'CNY',
    cashMicros,
    units: 10n,
  });

test('the topic has each account under tenant/line, with its counters', async () => {
  await account('promo', 5_000_000n);
  await account('alerts', 7n);
  await round(database);
  const found = await latest();
  expect([...found.keys()].sort()).toEqual(['acme/alerts', 'acme/promo']);
  expect(found.get('acme/promo')).toMatchObject({
    currency: 'CNY',
    cash: { granted: 5_000_000n, available: 5_000_000n, pending: 0n, posted: 0n },
    pv: { available: 10n },
    share: 1,
    open: true,
    recalling: false,
  });
});

test('a crash between any two steps leaves nothing untold', async () => {
  for (const step of ['read', 'heard', 'written'] as const) {
    await account(`crash-${step}`, 9n);
    const key = `acme/crash-${step}`;
    const dies = (() => {
      switch (step) {
        // The changes are read, and Kafka never hears of them.
        case 'read':
          return round(database, () => Promise.reject(new Error('gone')));
        // Kafka has them, Postgres does not know.
        case 'heard':
          return round(failing(database, 1, 'before'));
        // Both have them, and the worker does not know.
        case 'written':
          return round(failing(database, 1, 'after'));
      }
    })();
    await expect(dies).rejects.toThrow('gone');
    expect((await latest()).has(key)).toBe(step !== 'read');
    await round(database);
    expect((await latest()).has(key)).toBe(true);
    expect(await postgresAccountLevels(database).changed()).toEqual([]);
  }
});
