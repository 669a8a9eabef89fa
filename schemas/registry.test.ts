import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SchemaRegistry as OtherClient } from '@kafkajs/confluent-schema-registry';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AvroNode, readAvscFiles, selfContained } from './avsc-files.js';
import { RECORD_NAMES, compatibilityOf } from './record-types.js';
import { registerSchemas, schemaDrift } from './registration.js';
import { schemaRegistry } from './registry.js';
import { arbitraryRecord } from './testing/arbitrary-record.js';
import { openCodecs, subjectOf } from './topic-codecs.js';

const url = process.env['SCHEMA_REGISTRY_URL'] ?? '';
if (url === '')
  throw new Error('SCHEMA_REGISTRY_URL is not set: `npm run stack up`, then load .stack/env');

const registry = schemaRegistry({ url });
const prefix = `test-${randomUUID()}.`;
const topics = RECORD_NAMES.map((record) => ({ topic: `${prefix}${record}`, record }));
const request = topics.find(({ record }) => record === 'MessageRequest');
const feedback = topics.find(({ record }) => record === 'DeliveryFeedback');
if (request === undefined || feedback === undefined) throw new Error('no such records');

beforeAll(async () => {
  await registerSchemas(registry, topics);
});
afterAll(async () => {
  await registry.close();
});

describe('registration', () => {
  test('gives every subject its id and the compatibility of the contract', async () => {
    const again = await registerSchemas(registry, topics);
    expect(again.map(({ subject }) => subject)).toEqual(
      topics.map(({ topic }) => subjectOf(topic)),
    );
    expect(again.every(({ added }) => !added)).toBe(true);
    for (const { topic, record } of topics)
      expect(await registry.compatibility(subjectOf(topic))).toBe(compatibilityOf(record));
  });

  test('leaves no drift, and drift is named with its fix', async () => {
    expect(await schemaDrift(registry, topics)).toEqual([]);
    const unregistered = { topic: `${prefix}new`, record: 'Parked' } as const;
    expect(await schemaDrift(registry, [unregistered])).toMatchObject([
      { found: 'missing', fix: expect.stringContaining('millrace schemas register') as string },
    ]);
    const own = { topic: `${prefix}loose`, record: 'Parked' } as const;
    await registerSchemas(registry, [{ ...own, compatibility: 'BACKWARD_TRANSITIVE' }]);
    expect(await schemaDrift(registry, [own])).toMatchObject([{ found: 'compatibility' }]);
  });

  test('a worker without registered schemas stops and says which command is missing', async () => {
    await expect(
      openCodecs(registry, [{ topic: `${prefix}absent`, record: 'Parked' }]),
    ).rejects.toMatchObject({
      code: 'schema_incompatible',
      verdict: 'stop',
      message: expect.stringContaining('millrace schemas register') as string,
    });
  });
});

describe('evolution of what outsiders read', () => {
  const node = selfContained('DeliveryFeedback', readAvscFiles());
  const fields = node.fields ?? [];
  const changed = (change: Partial<AvroNode>): string => JSON.stringify({ ...node, ...change });
  const optional = { name: 'mood', type: ['null', 'string'] as const, default: null };
  const verdict = (schema: string) => registry.check(subjectOf(feedback.topic), schema);

  test('an optional field may be added', async () => {
    expect(await verdict(changed({ fields: [...fields, optional] }))).toEqual({
      compatible: true,
      reason: '',
    });
  });

  test.each([
    ['a required field added', [...fields, { name: 'mood', type: 'string' }]],
    ['a required field removed', fields.filter(({ name }) => name !== 'tenantId')],
    [
      'a type changed',
      fields.map((field) => (field.name === 'attempt' ? { ...field, type: 'string' } : field)),
    ],
  ])('%s is refused', async (_what, changedFields) => {
    const schema = changed({ fields: changedFields });
    expect(await verdict(schema)).toMatchObject({ compatible: false });
    await expect(registry.register(subjectOf(feedback.topic), schema)).rejects.toMatchObject({
      code: 'schema_incompatible',
      verdict: 'stop',
    });
  });
});

describe('evolution of what outsiders write', () => {
  const node = selfContained('MessageRequest', readAvscFiles());
  const fields = node.fields ?? [];

  test.each([
    [
      'an optional field may be added',
      [...fields, { name: 'x', type: ['null', 'int'], default: null }],
      true,
    ],
    ['a field may be dropped', fields.filter(({ name }) => name !== 'labels'), true],
    ['a required field may not be added', [...fields, { name: 'x', type: 'int' }], false],
  ])('%s', async (_what, changedFields, compatible) => {
    const schema = JSON.stringify({ ...node, fields: changedFields });
    expect(await registry.check(subjectOf(request.topic), schema)).toMatchObject({ compatible });
  });
});

describe('codecs over the registry', () => {
  test('another Confluent client reads what we write, and we read what it writes', async () => {
    const codecs = await openCodecs(registry, topics);
    const codec = codecs.of('MessageRequest', request.topic);
    const other = new OtherClient({ host: url });
    const id = await other.getLatestSchemaId(subjectOf(request.topic));
    // Its longs are numbers, and beyond 2^52 it reads them with the other sign.
    const values = fc
      .sample(arbitraryRecord('MessageRequest'), { numRuns: 20, seed: 5 })
      .map((value) => ({
        ...value,
        maxCostMicros: null,
        createdAt: 1_732_360_000_000,
        notBefore: null,
        expiresAt: 1_732_370_000_000,
      }));
    for (const value of values) {
      expect(await other.decode(codec.encode(structuredClone(value)))).toEqual(value);
      const theirs = await other.encode(id, value);
      await codecs.prepare([theirs]);
      expect(codec.decode(theirs)).toEqual(value);
      expect(theirs).toEqual(codec.encode(structuredClone(value)));
    }
  });

  test("a producer's own variant of the schema is fetched by its id", async () => {
    const codecs = await openCodecs(registry, topics);
    const codec = codecs.of('MessageRequest', request.topic);
    const text = JSON.stringify(selfContained('MessageRequest', readAvscFiles()));
    const java = text.replaceAll('"string"', '{"type":"string","avro.java.string":"String"}');
    const id = await registry.register(subjectOf(request.topic), java);
    const [value] = fc.sample(arbitraryRecord('MessageRequest'), { numRuns: 1, seed: 2 });
    if (value === undefined) throw new Error('no sample');
    const bytes = Buffer.from(codec.encode(structuredClone(value)));
    expect(id).not.toBe(bytes.readUInt32BE(1));
    bytes.writeUInt32BE(id, 1);
    await codecs.prepare([bytes]);
    expect(codec.decode(bytes)).toEqual(value);
  });

  test('an id that nobody registered is unknown_schema', async () => {
    const codecs = await openCodecs(registry, topics);
    const codec = codecs.of('MessageRequest', request.topic);
    const bytes = Buffer.of(0, 0x7f, 0xff, 0xff, 0xff, 0, 0);
    await codecs.prepare([bytes]);
    expect(() => codec.decode(bytes)).toThrow(expect.objectContaining({ code: 'unknown_schema' }));
  });
});

describe('a registry in trouble', () => {
  /** A server that answers every request so; the address of nothing where it answers null. */
  const answering = async (
    answer: { status: number; body: string } | 'silence',
    use: (base: string, seen: string[]) => Promise<void>,
  ): Promise<void> => {
    const seen: string[] = [];
    const server = createServer((incoming, outgoing) => {
      seen.push(incoming.headers.authorization ?? '');
      if (answer !== 'silence') outgoing.writeHead(answer.status).end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      await use(`http://127.0.0.1:${port}`, seen);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  };

  test.each([
    ['answers 503', { status: 503, body: 'busy' }, 'registry_unavailable'],
    ['answers 429', { status: 429, body: '{}' }, 'registry_unavailable'],
    ['never answers', 'silence', 'registry_unavailable'],
    ['refuses our credentials', { status: 401, body: '{}' }, 'config_invalid'],
    // Taken for "no such schema", this would send a whole topic to the dead letters.
    ['is another server', { status: 404, body: '<html>not found</html>' }, 'config_invalid'],
    [
      'is a wrong path of a registry',
      { status: 404, body: '{"error_code":404}' },
      'config_invalid',
    ],
  ] as const)('which %s', async (_what, answer, code) => {
    await answering(answer, async (base) => {
      const client = schemaRegistry({ url: base, deadlineMs: 300 });
      await expect(client.schemaById(1)).rejects.toMatchObject({ code });
      await client.close();
    });
  });

  test('which is not there is named within its deadline', async () => {
    const client = schemaRegistry({ url: 'http://127.0.0.1:9', deadlineMs: 500 });
    await expect(client.schemaById(1)).rejects.toMatchObject({
      code: 'registry_unavailable',
      message: expect.stringContaining('127.0.0.1:9') as string,
    });
    await client.close();
  });

  test('credentials go in the header, from options or the address, and never into messages', async () => {
    await answering({ status: 500, body: '{"message":"oops"}' }, async (base, seen) => {
      const address = base.replace('http://', 'http://ann:s%20cret@');
      for (const options of [
        { url: address },
        { url: base, username: 'ann', password: 's cret' },
      ]) {
        const client = schemaRegistry(options);
        const failed: unknown = await client.schemaById(1).catch((error: unknown) => error);
        expect(String(failed)).not.toContain('cret');
        await client.close();
      }
      const wanted = `Basic ${Buffer.from('ann:s cret').toString('base64')}`;
      expect(seen).toEqual([wanted, wanted]);
    });
  });
});
