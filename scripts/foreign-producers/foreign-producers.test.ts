import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { DeliveryFeedback, MessageRequest } from '../../schemas/generated/records.js';
import { registerSchemas } from '../../schemas/registration.js';
import { schemaRegistry } from '../../schemas/registry.js';
import { type Codecs, openCodecs } from '../../schemas/topic-codecs.js';
import { createTopics, readCommitted, writeInTransactions } from './kafka-topics.js';
import { examples, javaClassPath, pythonCommand, run } from './toolchains.js';

const environment = (name: string): string => {
  const value = process.env[name] ?? '';
  if (value === '')
    throw new Error(`${name} is not set: \`npm run stack up\`, then load .stack/env`);
  return value;
};
const brokers = environment('KAFKA_BROKERS');
const registryUrl = environment('SCHEMA_REGISTRY_URL');
const prefix = `foreign-${randomUUID()}.`;
const PARTITIONS = 8;
const topics = [
  { topic: `${prefix}ingest.p0`, record: 'MessageRequest' },
  { topic: `${prefix}ingest.p1`, record: 'MessageRequest' },
  { topic: `${prefix}ingest.p2`, record: 'MessageRequest' },
  { topic: `${prefix}feedback`, record: 'DeliveryFeedback' },
] as const;
const [shared, generatedBy, damaged, feedback] = topics.map(({ topic }) => topic) as [
  string,
  string,
  string,
  string,
];

const registry = schemaRegistry({ url: registryUrl });
const folder = mkdtempSync(path.join(os.tmpdir(), 'millrace-foreign-'));
let codecs: Codecs;
let python = '';
let classPath = '';
let deleteTopics: () => Promise<void> = () => Promise.resolve();

const connection = ['--bootstrap', brokers, '--registry', registryUrl];
const runPython = (script: string, ...args: string[]) =>
  run(python, [path.join(examples, 'python', script), ...connection, ...args]);
const runJava = (program: string, ...args: string[]) =>
  run('java', ['-cp', classPath, `millrace.examples.${program}`, ...connection, ...args]);
const runNode = (...args: string[]) =>
  run(process.execPath, [path.join(examples, 'node', 'produce.mjs'), ...connection, ...args]);
const lastLine = (output: string): unknown => JSON.parse(output.trim().split('\n').at(-1) ?? '');

beforeAll(async () => {
  deleteTopics = await createTopics(
    brokers,
    topics.map(({ topic }) => topic),
    PARTITIONS,
  );
  await registerSchemas(registry, topics);
  codecs = await openCodecs(registry, topics);
  // One after the other: both are bound by the network the first time, and instant afterwards.
  python = await pythonCommand();
  classPath = await javaClassPath();
}, 600_000);

afterAll(async () => {
  await deleteTopics();
  await registry.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** Keys of all shapes: their UTF-8 bytes are what is hashed. */
const keys = [
  ...Array.from({ length: 50 }, (_, index) => `user-${index}`),
  'Zoë',
  '王小明',
  '👩‍🚀',
  'k'.repeat(300),
  ' ',
];
const requests: readonly { key: string; value: MessageRequest }[] = keys.map((key, index) => ({
  key,
  value: {
    messageId: messageId(randomUUID()),
    tenantId: tenantId('acme'),
    businessLine: 'promotions',
    attribute: 'marketing',
    idempotencyKey: index % 2 === 0 ? null : `order-${index}`,
    campaignId: index % 3 === 0 ? null : 'spring',
    recipient: {
      userId: key,
      phone: index % 2 === 0 ? `+86138${String(index).padStart(8, '0')}` : null,
      email: null,
      openId: index % 5 === 0 ? 'oabc' : null,
      pushTokens: index % 4 === 0 ? ['a', 'b'] : [],
      tier: null,
    },
    templateId: 'welcome',
    params: { name: `${key} & co`, emoji: '🙂' },
    channels: index % 2 === 0 ? [] : ['sms', 'app_push'],
    units: index % 7 === 0 ? index : null,
    maxCostMicros: index % 3 === 0 ? null : 45_000_000_000n + BigInt(index),
    currency: null,
    locale: 'zh-CN',
    timeZone: 'Asia/Shanghai',
    createdAt: 1_732_360_000_000 + index,
    notBefore: null,
    expiresAt: index % 2 === 0 ? null : 1_900_000_000_000,
    labels: { shop: String(index) },
  },
}));

describe('requests of any language', () => {
  test('one key from Python, Java and Node lands on one partition, and one value decodes to one value', async () => {
    const file = path.join(folder, 'requests.ndjson');
    const asJson = (_name: string, value: unknown) =>
      typeof value === 'bigint' ? Number(value) : value;
    writeFileSync(file, requests.map((one) => JSON.stringify(one, asJson)).join('\n'));
    const args = ['--topic', shared, '--requests', file];
    await runPython('produce.py', ...args, '--compression', 'zstd');
    await runJava('Produce', ...args, '--compression', 'lz4');
    await runNode(...args, '--compression', 'snappy');

    const messages = await readCommitted(brokers, shared, PARTITIONS);
    await codecs.prepare(messages.map(({ value }) => value));
    const codec = codecs.of('MessageRequest', shared);
    const used = new Set<number>();
    for (const { key, value } of requests) {
      const copies = messages.filter((message) => String(message.key) === key);
      const partitions = new Set(copies.map(({ partition }) => partition));
      expect([key, copies.length, partitions.size]).toEqual([key, 3, 1]);
      for (const copy of copies) expect(codec.decode(copy.value ?? Buffer.alloc(0))).toEqual(value);
      for (const partition of partitions) used.add(partition);
    }
    expect(used.size).toBe(PARTITIONS);
    expect(messages).toHaveLength(requests.length * 3);
  }, 120_000);

  test('what the examples generate by themselves is a request in our schema', async () => {
    await runPython('produce.py', '--topic', generatedBy, '--count', '5');
    await runJava('Produce', '--topic', generatedBy, '--count', '5');
    await runNode('--topic', generatedBy, '--count', '5');
    const messages = await readCommitted(brokers, generatedBy, PARTITIONS);
    const codec = codecs.of('MessageRequest', generatedBy);
    const values = messages.map(({ value }) => codec.decode(value ?? Buffer.alloc(0)));
    const producers = values.map(({ labels }) => labels['producer']).sort();
    expect(producers).toEqual(
      ['java', 'node', 'python'].flatMap((one) => Array<string>(5).fill(one)),
    );
    for (const { recipient } of values) expect(recipient.phone).toMatch(/^\+86138\d{8}$/);
  }, 120_000);

  test('aborted requests are never seen, repeats are repeats, and each malformed one has its code', async () => {
    const summary = lastLine(
      await runPython(
        'produce.py',
        ...['--topic', damaged, '--count', '1200', '--compression', 'zstd', '--seed', '7'],
        ...['--duplicates', '1', '--malformed', '2', '--transactional', '--aborted', '40'],
      ),
    );
    expect(summary).toEqual({
      topic: damaged,
      written: 1200,
      requests: 1164,
      duplicates: 12,
      malformed: { not_framed: 6, unknown_schema: 6, undecodable: 6, tombstone: 6 },
      aborted: 40,
    });
    const messages = await readCommitted(brokers, damaged, PARTITIONS);
    expect(messages).toHaveLength(1200);
    await codecs.prepare(messages.map(({ value }) => value));
    const codec = codecs.of('MessageRequest', damaged);
    const codes: Record<string, number> = {};
    const ids: string[] = [];
    for (const { value } of messages)
      try {
        ids.push(codec.decode(value ?? Buffer.alloc(0)).messageId);
      } catch (error) {
        const code = error instanceof PipelineError ? error.code : String(error);
        codes[code] = (codes[code] ?? 0) + 1;
      }
    expect(codes).toEqual({ not_framed: 6, unknown_schema: 6, undecodable: 6, tombstone: 6 });
    expect([ids.length, new Set(ids).size]).toEqual([1176, 1164]);
  }, 120_000);

  test('a request framed for kcat decodes as any other', async () => {
    const frame = path.join(examples, 'node', 'frame.mjs');
    const request = path.join(examples, 'kcat', 'request.json');
    const file = path.join(folder, 'request.bin');
    const command = `"$1" "$2" --registry "$3" --topic "$4" < "$5" > "$6"`;
    await run('sh', [
      '-c',
      command,
      'sh',
      process.execPath,
      frame,
      registryUrl,
      shared,
      request,
      file,
    ]);
    const value = codecs.of('MessageRequest', shared).decode(readFileSync(file));
    expect(value).toMatchObject(JSON.parse(readFileSync(request, 'utf8')) as object);
  });
});

describe('results in any language', () => {
  const event = (index: number): DeliveryFeedback => ({
    feedbackId: randomUUID(),
    messageId: messageId(randomUUID()),
    generation: 0,
    tenantId: tenantId('acme'),
    businessLine: 'promotions',
    campaignId: null,
    templateId: 'welcome',
    lane: 'p1',
    attempt: 1,
    sequence: 1,
    channel: 'sms',
    provider: 'aliyun-sms',
    state: 'accepted',
    terminal: true,
    class: null,
    providerCode: 'OK',
    providerMessageId: null,
    settlement: { kind: 'post', cashMicros: 45_000n, units: 1, currency: 'CNY', leaseId: null },
    recipientHash: 'ab'.repeat(32),
    createdAt: 1_732_360_000_000,
    attemptedAt: 1_732_360_000_100 + index,
    occurredAt: 1_732_360_000_200,
    labels: {},
  });

  test('Python and Java read what was committed, and never what was aborted', async () => {
    const codec = codecs.of('DeliveryFeedback', feedback);
    const written = Array.from({ length: 12 }, (_, index) => event(index));
    const framed = written.map((value) => ({
      topic: feedback,
      key: value.messageId,
      value: codec.encode(value),
    }));
    await writeInTransactions(brokers, framed.slice(0, 6), framed.slice(6));
    const committed = written.slice(6);
    const wanted = committed.map(({ feedbackId }) => feedbackId).sort();

    const read = (output: string) =>
      output
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { value: Record<string, unknown> }).value)
        .sort((a, b) => Number(a['attemptedAt']) - Number(b['attemptedAt']));
    for (const output of [
      await runPython('consume.py', '--topic', feedback, '--count', '6'),
      await runJava('Consume', '--topics', feedback, '--count', '6'),
    ]) {
      const values = read(output);
      expect(values.map((value) => value['feedbackId']).sort()).toEqual(wanted);
      expect(values[0]).toMatchObject({
        state: 'accepted',
        lane: 'p1',
        attemptedAt: committed[0]?.attemptedAt,
        settlement: { kind: 'post', cashMicros: 45_000, currency: 'CNY' },
      });
    }
  }, 120_000);
});
