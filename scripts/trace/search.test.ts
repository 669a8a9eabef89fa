import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import type { SchemaRegistry } from '../../schemas/registry.js';
import { schemaRegistry } from '../../schemas/registry.js';
import type { Coordinates } from '../../schemas/record.js';
import { openCodecs } from '../../schemas/topic-codecs.js';
import { readEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { topicNames } from '../../topologies/topic-names.js';
import { topicSchemas, topicTable } from '../../topologies/topic-table.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { demoConfig } from '../demo/demo-config.js';
import { RequestProducer } from '../produce/request-producer.js';
import { createTopics } from '../topics/cluster.js';
import { registerAll } from '../topics/register-all.js';
import { catalogOf } from '../traffic/catalog.js';
import { CLEAN, generate } from '../traffic/generate.js';
import type { SearchOptions } from './search.js';
import { lookAgain, search } from './search.js';

const environment = readEnvironment(process.env, ['kafka', 'registry']);
const prefix = `test-trace-${randomUUID().slice(0, 8)}.`;
const kafka = { ...environment.kafka, prefix };
const names = topicNames(prefix);
const table = topicTable({ prefix, channels: [], tenantsWithOwnIngest: [], partitions: 2 }).filter(
  (spec) => [names.ingest('p1'), names.deduped('p1')].includes(spec.name),
);
const requests = [
  ...generate({
    seed: 11,
    messages: 60,
    startAt: Date.now(),
    durationMs: 0,
    catalog: catalogOf(demoConfig('http://127.0.0.1:1')),
    shares: CLEAN,
    lane: 'p1',
  }),
].map((planned) => planned.payload.request);
const [first, second] = requests;
if (first === undefined || second === undefined) throw new Error('no traffic');
/** The second message's id, used by another tenant too. */
const namesake = {
  ...first,
  tenantId: tenantId('elsewhere'),
  messageId: second.messageId,
  idempotencyKey: null,
};

let registry: SchemaRegistry;
let options: SearchOptions;
const places = new Map<string, Coordinates>();

beforeAll(async () => {
  await withAdmin(kafka, (admin) => createTopics(admin, table, () => undefined));
  registry = schemaRegistry({ url: environment.registry.url });
  await registerAll(registry, topicSchemas(table));
  const codecs = await openCodecs(registry, topicSchemas(table));
  options = {
    settings: rdkafkaConnection(kafka),
    codecs,
    table,
    since: Date.now() - 60_000,
    onProgress: () => undefined,
  };
  const requestCodec = codecs.of('MessageRequest', names.ingest('p1'));
  const dedupedCodec = codecs.of('MessageDeduped', names.deduped('p1'));
  const producer = await RequestProducer.open(kafka, (record, at) => {
    places.set(`${record.topic} ${record.key ?? ''}`, at);
  });
  for (const request of [...requests, namesake]) {
    const key = `${request.tenantId}/${request.messageId}`;
    await producer.send({ topic: names.ingest('p1'), key, value: requestCodec.encode(request) });
    await producer.send({
      topic: names.deduped('p1'),
      key,
      value: dedupedCodec.encode({ request, generation: 0, key, dedupedAt: Date.now() }),
    });
  }
  await producer.settle();
  await producer.close();
});
afterAll(async () => {
  await registry.close();
  await withAdmin(kafka, (admin) => admin.deleteTopics({ topics: table.map((spec) => spec.name) }));
});

test('a message id that two tenants use is found for both, and for one if named', async () => {
  const both = await search(options, { messageId: second.messageId });
  expect(both.map((one) => one.tenantId).sort()).toEqual(['elsewhere', second.tenantId].sort());
  const one = await search(options, { messageId: second.messageId, tenantId: second.tenantId });
  expect(one.map((found) => [found.tenantId, found.records.length])).toEqual([
    [second.tenantId, 2],
  ]);
});

test("a key finds its message, and no other tenant's", async () => {
  const key = first.idempotencyKey ?? first.messageId;
  const found = await search(options, { tenantId: first.tenantId, idempotencyKey: key });
  expect(found.map(({ messageId }) => messageId)).toEqual([first.messageId]);
  expect(await search(options, { tenantId: 'nobody', idempotencyKey: key })).toEqual([]);
});

test('the place of one record finds all of its message', async () => {
  const at = places.get(`${names.deduped('p1')} ${first.tenantId}/${first.messageId}`);
  if (at === undefined) throw new Error('not acknowledged');
  const [found] = await search(options, { at });
  expect(found?.messageId).toBe(first.messageId);
  expect(found?.records).toHaveLength(2);
});

test('what was written after a first reading is found by a second look, and nothing is told twice', async () => {
  const began = Date.now();
  const found = await search(options, { messageId: first.messageId });
  const { encode } = options.codecs.of('MessageDeduped', names.deduped('p1'));
  const key = 'another-partition';
  const producer = await RequestProducer.open(kafka, () => undefined);
  for (const request of [first, second]) {
    const value = encode({ request, generation: 1, key, dedupedAt: Date.now() });
    await producer.send({ topic: names.deduped('p1'), key, value });
  }
  await producer.settle();
  await producer.close();
  const generations = (all: typeof found) =>
    all.map(({ messageId, records }) => [
      messageId,
      records
        .flatMap(({ decoded }) => (decoded.is === 'MessageDeduped' ? [decoded.value] : []))
        .map(({ generation }) => generation),
    ]);
  expect(generations(found)).toEqual([[first.messageId, [0]]]);
  expect(generations(await lookAgain(options, found, began))).toEqual([[first.messageId, [0, 1]]]);
});
