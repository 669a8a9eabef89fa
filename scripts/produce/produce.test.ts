import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LANES } from '../../schemas/generated/records.js';
import { readEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { topicTable } from '../../topologies/topic-table.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { createTopics } from '../topics/cluster.js';
import { inputRecords } from './input-lines.js';
import { parseRequest } from './request-fields.js';
import { RequestProducer } from './request-producer.js';

const defaults = { lane: 'p2', now: 1_700_000_000_000 } as const;
const minimal = {
  tenantId: 'acme',
  businessLine: 'orders',
  templateId: 'login-code',
  recipient: { userId: 'u1' },
};

describe('a request as people write it', () => {
  test('gets what it leaves out: id, time, lane and key', () => {
    const parsed = parseRequest(minimal, defaults);
    if ('errors' in parsed) throw new Error('it has errors');
    expect(parsed).toMatchObject({
      lane: 'p2',
      key: 'u1',
      request: { createdAt: defaults.now, channels: [], units: null, idempotencyKey: null },
    });
    expect(parsed.request.messageId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('may name its lane, key, times in ISO and cost in decimals', () => {
    const parsed = parseRequest(
      { ...minimal, lane: 'p0', key: 'k', createdAt: '2026-01-01T00:00:00Z', maxCost: '0.05' },
      defaults,
    );
    expect(parsed).toMatchObject({
      lane: 'p0',
      key: 'k',
      request: { createdAt: Date.UTC(2026, 0, 1), maxCostMicros: 50_000n },
    });
  });

  test('has every error named by its field', () => {
    const parsed = parseRequest(
      { tenantId: '', templateId: 5, recipient: {}, createdAt: 'soon', maxCost: '1e3', phone: '1' },
      defaults,
    );
    if (!('errors' in parsed)) throw new Error('it has no errors');
    expect(parsed.errors.map((error) => error.field).sort()).toEqual(
      [
        '',
        'businessLine',
        'createdAt',
        'maxCost',
        'recipient.userId',
        'templateId',
        'tenantId',
      ].sort(),
    );
    expect(parsed.errors.map((error) => error.message)).toContain('no such field: phone');
  });
});

describe('lines of input', () => {
  test('are counted as an editor counts them, empty and broken ones too', () => {
    const records = inputRecords('{"a":1}\n\n{bad\n{"a":2}', 'ndjson');
    expect(records.map(({ line, broken }) => [line, broken === undefined])).toEqual([
      [1, true],
      [3, false],
      [4, true],
    ]);
  });

  test('of CSV become nested records, lists and absent fields', () => {
    const [record] = inputRecords(
      '\uFEFFtenantId,recipient.userId,recipient.phone,params.order.no,channels\n acme ,u1,,"1,2",sms|app_push\n',
      'csv',
    );
    expect(record).toEqual({
      line: 2,
      value: {
        tenantId: 'acme',
        recipient: { userId: 'u1' },
        params: { 'order.no': '1,2' },
        channels: ['sms', 'app_push'],
      },
    });
  });
});

describe('the producer', () => {
  const { kafka } = readEnvironment(process.env, ['kafka']);
  const prefix = `test-produce-${randomUUID().slice(0, 8)}.`;
  const table = topicTable({ prefix, channels: [], tenantsWithOwnIngest: [] }).filter((spec) =>
    LANES.some((one) => spec.name === `${prefix}ingest.${one}`),
  );
  const [topic = ''] = table.map((spec) => spec.name);
  beforeAll(() => withAdmin(kafka, (admin) => createTopics(admin, table, () => undefined)));
  afterAll(() =>
    withAdmin(kafka, (admin) => admin.deleteTopics({ topics: table.map((spec) => spec.name) })),
  );

  test('acknowledges each record where it lies, tombstones too, one key on one partition', async () => {
    const acknowledged = new Map<string, string>();
    const producer = await RequestProducer.open(kafka, (record, at) => {
      acknowledged.set(`${at.partition}/${at.offset}`, record.value?.toString() ?? 'null');
    });
    for (let i = 0; i < 300; i++)
      await producer.send({
        topic,
        key: `k${i % 7}`,
        value: i % 50 === 0 ? null : Buffer.from(`${i}`),
      });
    await producer.settle();
    await producer.close();
    expect(acknowledged.size).toBe(300);

    const partitionsOf = new Map<string, Set<number>>();
    for await (const batch of readRange({ settings: rdkafkaConnection(kafka), topics: [topic] }))
      for (const record of batch) {
        const { partition, offset } = record.at;
        expect(acknowledged.get(`${partition}/${offset}`)).toBe(record.value?.toString() ?? 'null');
        const key = record.key?.toString() ?? '';
        partitionsOf.set(key, (partitionsOf.get(key) ?? new Set()).add(partition));
      }
    expect(partitionsOf.size).toBe(7);
    for (const partitions of partitionsOf.values()) expect(partitions.size).toBe(1);
  });
});
