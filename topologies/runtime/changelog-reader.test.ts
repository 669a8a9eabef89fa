import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestKafka, eventually } from '../testing/kafka.js';
import { erased, textTopic } from '../testing/text-topic.js';
import { PipelineError } from '../../schemas/error.js';
import { ChangelogReader } from './changelog-reader.js';
import { GlobalTables } from './global-tables.js';
import { ProducerClient } from './rdkafka-client.js';

const kafka = new TestKafka();
const log = `${kafka.prefix}log`;
const table = textTopic(`${kafka.prefix}table`);
const reader = new ChangelogReader(kafka.client, `${kafka.prefix}restore`);
const writer = new ProducerClient({
  ...kafka.client,
  'transactional.id': `${kafka.prefix}writer`,
  'transaction.timeout.ms': 60_000,
});

beforeAll(async () => {
  await kafka.topics(2, [log, table.name], { 'cleanup.policy': 'compact' });
  await writer.connect(10_000);
  await writer.initTransactions(20_000);
});
afterAll(async () => {
  await reader.close();
  await writer.disconnect(5_000);
  await kafka.close();
});

const put = async (topic: string, partition: number, entries: Record<string, string | null>) => {
  await writer.produce(
    Object.entries(entries).map(([key, value]) => ({
      topic,
      partition,
      key,
      value: value === null ? null : Buffer.from(value),
    })),
    10_000,
  );
  await writer.flush(10_000);
};
const transact = async (...args: Parameters<typeof put>) => {
  await writer.begin();
  await put(...args);
  await writer.commit(10_000);
};
const read = async (partition: number): Promise<string[]> => {
  const found: string[] = [];
  await reader.read({ topic: log, partition }, ({ key, value }) => {
    found.push(`${key?.toString() ?? ''}=${value?.toString() ?? ''}`);
  });
  return found;
};

test('an empty partition is read at once, and one that ends in markers is read to its end', async () => {
  expect(await read(0)).toEqual([]);
  await transact(log, 0, { a: '1', b: '2' });
  await writer.begin();
  await put(log, 0, { c: 'aborted' });
  await writer.abort(10_000);
  expect(await read(0)).toEqual(['a=1', 'b=2']);
});

test('rule 6: a restore waits for a transaction that was open when it began, and sees what it wrote', async () => {
  await transact(log, 1, { a: '1' });
  await writer.begin();
  await put(log, 1, { a: '2' });
  let done = false;
  const restoring = read(1).then((found) => {
    done = true;
    return found;
  });
  // Another partition's read would be answered many times over meanwhile.
  for (let looks = 0; looks < 20; looks++)
    await reader['uncommitted'].watermarks({ topic: log, partition: 1 }, 5_000);
  expect(done).toBe(false);
  await writer.commit(10_000);
  expect(await restoring).toEqual(['a=1', 'a=2']);
});

test('partitions are read one after another, each whole, however many ask at once', async () => {
  const [first, second, again] = await Promise.all([read(0), read(1), read(0)]);
  expect(first).toEqual(['a=1', 'b=2']);
  expect(second).toEqual(['a=1', 'a=2']);
  expect(again).toEqual(first);
});

const tablesOf = (options: Partial<ConstructorParameters<typeof GlobalTables>[1]> = {}) =>
  new GlobalTables([erased(table)], {
    client: kafka.client,
    groupId: `${kafka.prefix}tables`,
    reader,
    partitionsOf: () => 2,
    prepare: () => Promise.resolve(),
    onWaiting: () => undefined,
    onError: () => undefined,
    ...options,
  });

test('rule 6: a global table is read to its end before work begins, and followed live after', async () => {
  await transact(table.name, 0, { a: '1', b: '1' });
  await transact(table.name, 1, { c: '1', gone: '1' });
  await transact(table.name, 1, { gone: null });
  const tables = tablesOf();
  await tables.open();
  const seen = tables.table(table.name);
  expect(Object.fromEntries(seen.entries())).toEqual({ a: '1', b: '1', c: '1' });
  await transact(table.name, 0, { a: '2', b: null });
  await eventually('the change', () => seen.get('a') === '2');
  expect(seen.get('b')).toBeUndefined();
  await tables.close();
});

test('a live table misses nothing while the registry is away, nor for a record that nobody can read', async () => {
  let away = 3;
  const errors: string[] = [];
  const picky = {
    name: table.name,
    codec: {
      encode: table.codec.encode,
      decode: (bytes: Buffer) => {
        if (bytes.toString() === 'nonsense') throw new PipelineError('undecodable', 'nonsense');
        return bytes.toString();
      },
    },
  };
  const tables = new GlobalTables([erased(picky)], {
    client: kafka.client,
    groupId: `${kafka.prefix}tables`,
    reader,
    partitionsOf: () => 2,
    prepare: (values) =>
      values.length > 0 && values.some((value) => value?.toString() === '9') && away-- > 0
        ? Promise.reject(new PipelineError('registry_unavailable', 'gone'))
        : Promise.resolve(),
    onWaiting: () => undefined,
    onError: (error) => errors.push(error.message),
  });
  await tables.open();
  await transact(table.name, 0, { bad: 'nonsense', a: '9', z: '1' });
  const seen = tables.table(table.name);
  await eventually('both', () => seen.get('a') === '9' && seen.get('z') === '1');
  expect(seen.get('bad')).toBeUndefined();
  expect(errors.filter((message) => message === 'gone')).toHaveLength(3);
  expect(errors).toContain('nonsense');
  await tables.close();
  // A restart meets the same record, and begins all the same.
  const again = new GlobalTables([erased(picky)], { ...tables['options'] });
  await again.open();
  expect(again.table(table.name).get('z')).toBe('1');
  await again.close();
});
