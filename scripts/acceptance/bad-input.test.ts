import { randomUUID } from 'node:crypto';
import type { Producer } from 'kafkajs';
import kafkajs from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import { kafkajsConnection } from '../../topologies/kafka-connection.js';
import { BASE64_HEADERS, DEAD_LETTER_HEADERS } from '../../topologies/runtime/dead-letters.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { RawRecord, Write } from '../../topologies/runtime/raw-record.js';
import type { Installation } from '../installation/installation.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { type Kit, ROWS, type Row } from './bad-input-rows.js';
import { installAcceptance, writeAll } from './fixture.js';
import { Outcomes, everything } from './outcomes.js';
import { recipientOf, requestOf } from './requests.js';

const PARTITIONS = [0, 1] as const;
/** Finds a record of ours again, whatever has become of it. */
const ROW_HEADER = 'row';

let installation: Installation;
let worker: WorkerProcess;
let outcomes: Outcomes;

beforeAll(async () => {
  installation = await installAcceptance('bad_input');
  outcomes = await Outcomes.follow(installation);
  worker = await WorkerProcess.start(installation.variables, []);
}, 180_000);

afterAll(async () => {
  const ending = await worker.stop();
  expect(ending, worker.log.slice(-4_000)).toEqual({ code: 0, signal: null });
  await outcomes.close();
  await installation.remove();
}, 120_000);

const encode = (request: MessageRequest, lane: Lane = 'p0'): Buffer =>
  installation.codecs.of('MessageRequest', installation.names.ingest(lane)).encode(request);

const written = (request: MessageRequest, lane: Lane = 'p0', more: Partial<Write> = {}): Write => ({
  topic: installation.names.ingest(lane),
  partition: null,
  key: Buffer.from(request.recipient.userId),
  value: encode(request, lane),
  ...more,
});

/** A producer that is not librdkafka's. */
const withKafkajs = async <T>(send: (producer: Producer) => Promise<T>): Promise<T> => {
  const producer = new kafkajs.Kafka({
    ...kafkajsConnection(installation.environment.kafka),
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { retries: 0 },
  }).producer();
  await producer.connect();
  try {
    return await send(producer);
  } finally {
    await producer.disconnect();
  }
};

/** Registers a schema of somebody else's, and answers its id. */
const register = async (name: string, body: object): Promise<number> => {
  const { registry, kafka } = installation.environment;
  const response = await fetch(`${registry.url}/subjects/${kafka.prefix}${name}-value/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { readonly id?: number };
  if (answer.id === undefined) throw new Error(`not registered: ${JSON.stringify(answer)}`);
  return answer.id;
};

const foreignSchemas = async (): Promise<Kit['foreignSchemas']> => ({
  unresolvable: await register('somebody-else', {
    schema: JSON.stringify({
      type: 'record',
      name: 'Other',
      fields: [{ name: 'something', type: 'int' }],
    }),
  }),
  notAvro: await register('somebody-elses-json', {
    schemaType: 'JSON',
    schema: JSON.stringify({
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'object',
    }),
  }),
});

/** A row as it was written. */
interface Written {
  readonly row: Row;
  readonly request: MessageRequest | null;
  readonly write: Write;
}

const topicOf = (row: Row, lane: Lane): string => {
  const { names } = installation;
  if (row.ingest === undefined) return names.ingest(lane);
  return 'tenant' in row.ingest
    ? names.tenantIngest(row.ingest.tenant, 'p1')
    : names.ingest(row.ingest.lane);
};

describe('every line of "What bad input gets"', () => {
  const rows = new Map<string, Written>();
  const neighbours: { readonly request: MessageRequest; readonly write: Write }[] = [];
  /** As the broker has them, by row. */
  const sources = new Map<string, RawRecord>();

  beforeAll(async () => {
    const kit: Kit = { now: Date.now(), encode, foreignSchemas: await foreignSchemas() };
    const writes: Write[] = [];
    const neighbour = (topic: string, partition: number, tenant: string): void => {
      const request = requestOf({ tenantId: tenantId(tenant) });
      const write = {
        topic,
        partition,
        key: Buffer.from(`beside ${topic}/${partition}`),
        value: encode(request),
      };
      neighbours.push({ request, write });
      writes.push(write);
    };
    for (const [index, row] of ROWS.entries()) {
      const lane = LANES[index % LANES.length] ?? 'p0';
      const topic = topicOf(row, lane);
      const partition = Math.floor(index / LANES.length) % PARTITIONS.length;
      const tenant =
        row.ingest !== undefined && 'tenant' in row.ingest ? row.ingest.tenant : 'acme';
      neighbour(topic, partition, tenant);
      const made = row.make(kit);
      const request = made === null || Buffer.isBuffer(made) ? null : made;
      const write: Write = {
        topic,
        partition,
        key: row.key === null ? null : Buffer.from(row.key ?? 'recipient'),
        value: Buffer.isBuffer(made) || made === null ? made : encode(made),
        headers: { [ROW_HEADER]: Buffer.from(row.it), traceparent: Buffer.from(row.it) },
      };
      rows.set(row.it, { row, request, write });
      writes.push(write);
      neighbour(topic, partition, tenant);
    }
    await writeAll(installation, writes);
    await outcomes.until(
      `${writes.length} records to come to an end`,
      () => outcomes.count >= writes.length,
    );
    const topics = [...new Set(writes.map(({ topic }) => topic))];
    for (const record of await everything(installation, topics)) {
      const row = record.headers[ROW_HEADER]?.toString();
      if (row !== undefined) sources.set(row, record);
    }
  }, 120_000);

  const find = (row: Row): Written & { readonly source: RawRecord } => {
    const found = rows.get(row.it);
    const source = sources.get(row.it);
    if (found === undefined || source === undefined) throw new Error(`never written: ${row.it}`);
    return { ...found, source };
  };

  const ofKind = (kind: Row['expected']['kind']) =>
    ROWS.filter(({ expected }) => expected.kind === kind);

  test.each(ofKind('dead-letter'))('$it: a dead letter that keeps what was written', (row) => {
    const { source, write } = find(row);
    const letters = outcomes.deadLetters.filter(
      ({ headers }) => headers[ROW_HEADER]?.toString() === row.it,
    );
    expect(letters).toHaveLength(1);
    const { key, value, headers = {} } = letters[0] ?? {};
    expect(value).toEqual(source.value);
    expect(value ?? Buffer.alloc(0)).toEqual(write.value ?? Buffer.alloc(0));
    expect(key).toEqual(source.key);
    expect(key).toEqual(write.key);
    expect(headers['traceparent']?.toString()).toBe(row.it);
    const said = Object.fromEntries(
      Object.entries(DEAD_LETTER_HEADERS).map(([name, header]) => [
        name,
        headers[header]?.toString(),
      ]),
    );
    expect(said).toMatchObject({
      topic: source.at.topic,
      partition: source.at.partition.toString(),
      offset: source.at.offset.toString(),
      stage: 'dedupe',
      code: row.expected.kind === 'dead-letter' ? row.expected.code : '',
    });
    expect(said['message']).not.toBe('');
  });

  test.each(ofKind('refused'))('$it: refused, and why', (row) => {
    const { source, request } = find(row);
    if (row.expected.kind !== 'refused') throw new Error('not a refusal');
    const refusals = outcomes.refused.filter(
      ({ value }) =>
        value.source.topic === source.at.topic &&
        value.source.partition === source.at.partition &&
        value.source.offset === source.at.offset,
    );
    expect(refusals).toHaveLength(1);
    const { reason, field, retryable } = row.expected;
    expect(refusals[0]?.value).toMatchObject({
      messageId: request?.messageId,
      tenantId: request?.tenantId,
      businessLine: request?.businessLine,
      generation: 0,
      lane: source.at.topic.slice(-2),
      source: source.at,
      reason,
      field,
      retryable,
      firstMessageId: null,
      settlement: { kind: 'none', cashMicros: 0n, units: 0 },
      createdAt: request?.createdAt,
    });
    expect(refusals[0]?.raw.key?.toString()).toBe('recipient');
  });

  test.each(ofKind('accepted'))('$it: sent', (row) => {
    const { request, write } = find(row);
    const id = request?.messageId ?? '';
    const ends = outcomes.feedback.filter(({ value }) => value.messageId === id);
    expect(ends.map(({ value }) => [value.state, value.terminal, value.attempt])).toEqual([
      ['accepted', true, 1],
    ]);
    expect(ends[0]?.value).toMatchObject({
      tenantId: request?.tenantId,
      campaignId: request?.campaignId,
      labels: request?.labels,
      createdAt: request?.createdAt,
    });
    // From dedupe on no key is null.
    expect(ends[0]?.raw.key?.toString()).toBe(write.key?.toString() ?? id);
    expect(outcomes.refusals(id)).toEqual([]);
  });

  test.each(ofKind('parked'))('$it: parked, with no money reserved', (row) => {
    const { request } = find(row);
    const parked = outcomes.parked.filter(
      ({ value }) => value.deduped?.request.messageId === request?.messageId,
    );
    expect(parked).toHaveLength(1);
    expect(parked[0]?.value).toMatchObject({
      why: 'not_before',
      until: request?.notBefore,
      routed: null,
    });
  });

  test('what is good around each of them is sent, once, and nothing else comes of it', () => {
    const ends = neighbours.map(({ request }) => outcomes.ends(request.messageId).length);
    expect(ends).toEqual(neighbours.map(() => 1));
    expect(outcomes.count).toBe(ROWS.length + neighbours.length);
    expect(outcomes.feedback).toHaveLength(neighbours.length + ofKind('accepted').length);
    expect(outcomes.refused).toHaveLength(ofKind('refused').length);
    expect(outcomes.deadLetters).toHaveLength(ofKind('dead-letter').length);
  });

  test('what is good on one partition stays in the order of its key', async () => {
    const { codecs, names } = installation;
    const topics = LANES.map((lane) => names.routed('app_push', lane));
    await codecs.open(topics.map((topic) => ({ topic, record: 'MessageRouted' })));
    const routed = await everything(installation, topics);
    await codecs.prepare(routed.map(({ value }) => value));
    const order = new Map<string, string[]>();
    for (const { at, key, value } of routed) {
      const { reserved } = codecs.of('MessageRouted', at.topic).decode(value ?? Buffer.alloc(0));
      const ids = order.get(String(key)) ?? [];
      ids.push(reserved.deduped.request.messageId);
      order.set(String(key), ids);
    }
    for (const key of new Set(neighbours.map(({ write }) => String(write.key))))
      expect(order.get(key)).toEqual(
        neighbours.flatMap(({ request, write }) =>
          String(write.key) === key ? [request.messageId] : [],
        ),
      );
  });

  test('no dependency was missed, and the worker took it all in its stride', async () => {
    expect(await worker.readiness()).toEqual({ status: 'ready', missing: {} });
  });

  test('headers that are no text: kept in the dead letter, named as base64', async () => {
    const headers = { bytes: Buffer.from([0, 255]), empty: '', [ROW_HEADER]: 'bytes in headers' };
    await withKafkajs((producer) =>
      producer.send({
        topic: installation.names.ingest('p0'),
        messages: [{ key: 'recipient', value: 'no Avro', headers }],
      }),
    );
    const letter = () =>
      outcomes.deadLetters.find((one) => String(one.headers[ROW_HEADER]) === 'bytes in headers');
    await outcomes.until('the dead letter', () => letter() !== undefined);
    const found = letter()?.headers ?? {};
    expect(found[BASE64_HEADERS]?.toString()).toBe('["bytes"]');
    expect(Buffer.from(String(found['bytes']), 'base64')).toEqual(Buffer.from([0, 255]));
    expect(found['empty']).toEqual(Buffer.alloc(0));
  });

  test('over 512 KiB the broker itself refuses it', async () => {
    const request = requestOf({ params: { name: 'x'.repeat(513 * 1_024), code: '1' } });
    const sending = withKafkajs((producer) =>
      producer.send({
        topic: installation.names.ingest('p0'),
        messages: [{ key: 'recipient', value: encode(request) }],
      }),
    );
    await expect(sending).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' });
  });
});

describe('however it is written', () => {
  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
    '%s: read as it should be',
    async (codec) => {
      const requests = Array.from({ length: 20 }, () => requestOf({ labels: { codec } }));
      await writeAll(
        installation,
        requests.map((request) => written(request, 'p1')),
        { 'compression.codec': codec, 'linger.ms': 50 },
      );
      const done = () => requests.every(({ messageId: id }) => outcomes.ends(id).length === 1);
      await outcomes.until(`20 messages compressed with ${codec}`, done);
    },
  );

  test('a transaction that was aborted is never seen; what was committed around it is', async () => {
    const [before, aborted, after] = ['before', 'aborted', 'after'].map((label) =>
      Array.from({ length: 10 }, () => requestOf({ labels: { label } })),
    );
    const producer = new ProducerClient({
      ...installation.client,
      'transactional.id': `${installation.variables['TOPIC_PREFIX'] ?? ''}a-producer`,
    });
    await producer.connect(10_000);
    try {
      await producer.initTransactions(20_000);
      for (const [requests, end] of [
        [before, 'commit'],
        [aborted, 'abort'],
        [after, 'commit'],
      ] as const) {
        await producer.begin();
        await producer.produce(
          (requests ?? []).map((one) => written(one, 'p2')),
          10_000,
        );
        await producer.flush(10_000);
        await producer[end](20_000);
      }
    } finally {
      await producer.disconnect(5_000);
    }
    const committed = [...(before ?? []), ...(after ?? [])];
    const done = () => committed.every(({ messageId: id }) => outcomes.ends(id).length === 1);
    await outcomes.until('what was committed to be sent', done);
    const { names, codecs } = installation;
    const topic = names.deduped('p2');
    await codecs.open([{ topic, record: 'MessageDeduped' }]);
    const passed = (await everything(installation, [topic])).map(
      ({ value }) =>
        codecs.of('MessageDeduped', topic).decode(value ?? Buffer.alloc(0)).request.messageId,
    );
    for (const { messageId: id } of aborted ?? []) {
      expect(passed).not.toContain(id);
      expect(outcomes.ends(id)).toEqual([]);
      expect(outcomes.refusals(id)).toEqual([]);
    }
  });
});

describe('the same message twice', () => {
  /** Writes one, waits until it is accepted, and answers where it lies. */
  const accept = async (request: MessageRequest, lane: Lane = 'p0') => {
    await writeAll(installation, [written(request, lane)]);
    await outcomes.until('the first to be accepted', () => sent(request) === 1);
    return locate(request.messageId, lane);
  };

  const sent = ({ tenantId: tenant, messageId: id }: MessageRequest): number =>
    outcomes.ends(id).filter((end) => end.tenantId === tenant && end.state === 'accepted').length;

  const locate = async (id: string, lane: Lane) => {
    const topic = installation.names.ingest(lane);
    const codec = installation.codecs.of('MessageRequest', topic);
    const records = await everything(installation, [topic]);
    const found = records.find(({ value }) => {
      try {
        return value !== null && codec.decode(value).messageId === id;
      } catch {
        return false;
      }
    });
    return found?.at;
  };

  test('written again, on whatever lane: a duplicate that names the first', async () => {
    const request = requestOf();
    const first = await accept(request);
    await writeAll(installation, [written(request), written(request, 'p3')]);
    await outcomes.until('2 duplicates', () => outcomes.refusals(request.messageId).length === 2);
    for (const refusal of outcomes.refusals(request.messageId))
      expect(refusal).toMatchObject({
        reason: 'duplicate',
        retryable: false,
        firstMessageId: request.messageId,
        firstSource: first,
      });
    expect(sent(request)).toBe(1);
  });

  test('another messageId under the same idempotencyKey: a duplicate that names the first', async () => {
    const request = requestOf({ idempotencyKey: 'order-1' });
    const first = await accept(request);
    const again = { ...request, messageId: requestOf().messageId };
    await writeAll(installation, [written(again, 'p2')]);
    await outcomes.until('the duplicate', () => outcomes.refusals(again.messageId).length === 1);
    expect(outcomes.refusals(again.messageId)[0]).toMatchObject({
      reason: 'duplicate',
      idempotencyKey: 'order-1',
      firstMessageId: request.messageId,
      firstSource: first,
    });
    expect(sent(again)).toBe(0);
  });

  test.each<[string, (request: MessageRequest) => Partial<MessageRequest>]>([
    ['recipient', () => ({ recipient: recipientOf({ userId: 'user-2' }) })],
    ['templateId', () => ({ templateId: 'acme-only' })],
    ['params', () => ({ params: { name: 'guest', code: '1' } })],
    ['channels', () => ({ channels: ['app_push', 'sms'] })],
    ['units', () => ({ units: 3 })],
    ['maxCostMicros', () => ({ maxCostMicros: 5_000n })],
  ])('the same key and another %s: a conflict', async (_, changes) => {
    const request = requestOf({ idempotencyKey: randomUUID() });
    const first = await accept(request);
    const other = { ...request, messageId: requestOf().messageId, ...changes(request) };
    await writeAll(installation, [written(other)]);
    await outcomes.until('the conflict', () => outcomes.refusals(other.messageId).length === 1);
    expect(outcomes.refusals(other.messageId)[0]).toMatchObject({
      reason: 'idempotency_conflict',
      retryable: false,
      firstMessageId: request.messageId,
      firstSource: first,
    });
  });

  test('two tenants that use one messageId and one idempotencyKey never meet', async () => {
    const same = { messageId: messageId(randomUUID()), idempotencyKey: 'order-2' };
    const acme = requestOf(same);
    const globex = requestOf({
      ...same,
      tenantId: tenantId('globex'),
      recipient: recipientOf({ userId: 'somebody-else' }),
    });
    await writeAll(installation, [written(acme), written(globex)]);
    await outcomes.until('both to be sent', () => sent(acme) === 1 && sent(globex) === 1);
    expect(outcomes.refusals(same.messageId)).toEqual([]);
    const [one, other] = outcomes.ends(same.messageId);
    expect(one?.feedbackId).not.toBe(other?.feedbackId);
  });

  test('a refusal for want of money frees the key: after a grant the same request passes', async () => {
    const request = requestOf({
      tenantId: tenantId('hooli'),
      businessLine: 'no-cash',
      idempotencyKey: 'order-3',
    });
    await writeAll(installation, [written(request)]);
    await outcomes.until('the refusal', () => outcomes.refusals(request.messageId).length === 1);
    expect(outcomes.refusals(request.messageId)[0]).toMatchObject({
      reason: 'budget_cash',
      retryable: true,
    });
    await postgresTransfers(installation.database).grant({
      transferId: randomUUID(),
      tenantId: 'hooli',
      businessLine: 'no-cash',
      currency: 'CNY',
      cashMicros: 2_000n,
      units: 0n,
    });
    await accept(request);
    await writeAll(installation, [written(request)]);
    await outcomes.until('a duplicate', () => outcomes.refusals(request.messageId).length === 2);
    expect(outcomes.refusals(request.messageId)[1]?.reason).toBe('duplicate');
  });
});
