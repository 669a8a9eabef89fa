import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { contentHash, keyHash } from '../../processors/dedupe/key.js';
import { DEDUPE_SPAN_MS } from '../../processors/dedupe/span.js';
import { refused } from '../../processors/refusal.js';
import type { Refusal } from '../../processors/refusal.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import { connectRedis } from '../../sinks/redis/client.js';
import { redisFirstSeen } from '../../sinks/redis/first-seen.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { demoConfig } from '../demo/demo-config.js';
import { RequestProducer } from '../produce/request-producer.js';
import { commandLine } from '../testing/command-line.js';
import type { ScratchInstallation } from '../testing/scratch-installation.js';
import { scratchInstallation } from '../testing/scratch-installation.js';
import { catalogOf } from '../traffic/catalog.js';
import { CLEAN, generate } from '../traffic/generate.js';

const MESSAGES = 1_500;
let own: ScratchInstallation;
let millrace: ReturnType<typeof commandLine>;
let redis: Redis;
/** As dedupe kept them: key, value. */
let asItWas: ReadonlyMap<string, string>;
let accepted: readonly { readonly request: MessageRequest; readonly at: Coordinates }[];

const requests = [
  ...generate({
    seed: 5,
    messages: MESSAGES,
    startAt: Date.now(),
    durationMs: 0,
    catalog: catalogOf(demoConfig('http://127.0.0.1:1')),
    shares: CLEAN,
    lane: 'p1',
  }),
].map(({ payload }) => payload.request);

const layer = () =>
  redisFirstSeen({
    redis,
    topicPrefix: own.kafka.prefix,
    onDegraded: (error) => {
      throw error;
    },
    onEmpty: () => undefined,
    onRecovered: () => undefined,
  });
const sighting = (one: (typeof accepted)[number]) => ({
  key: keyHash(one.request),
  content: contentHash(one.request),
  messageId: one.request.messageId,
  at: one.at,
});
const entries = async (): Promise<ReadonlyMap<string, string>> => {
  const keys = await redis.keysBuffer(`${own.kafka.prefix}seen:*`);
  const values = keys.length === 0 ? [] : await redis.mgetBuffer(keys);
  return new Map(keys.map((key, at) => [key.toString('hex'), values[at]?.toString('hex') ?? '']));
};
const lose = async (): Promise<void> => {
  const keys = await redis.keysBuffer(`${own.kafka.prefix}seen:*`);
  if (keys.length > 0) await redis.del(keys);
};
const figures = (said: { readonly json: () => unknown }) =>
  (said.json() as { readonly figures: Record<string, number> }).figures;

/** Writes requests to ingest.p1 and answers where they lie, in order. */
const produce = async (all: readonly MessageRequest[]): Promise<readonly Coordinates[]> => {
  const topic = own.names.ingest('p1');
  const codec = own.codecs.of('MessageRequest', topic);
  const places = new Map<Buffer | null, Coordinates>();
  const producer = await RequestProducer.open(own.kafka, ({ value }, at) => places.set(value, at));
  const values = all.map((request) => codec.encode(request));
  for (const [at, value] of values.entries())
    await producer.send({ topic, key: all[at]?.messageId ?? null, value });
  await producer.settle();
  await producer.close();
  return values.map((value) => places.get(value) ?? { topic, partition: -1, offset: -1 });
};
const refuse = async (request: MessageRequest, at: Coordinates, refusal: Refusal) => {
  const codec = own.codecs.of('MessageRefused', own.names.refused);
  const producer = await RequestProducer.open(own.kafka, () => undefined);
  const value = codec.encode(
    refused({ request, generation: 0, at }, refusal, () => 'h', Date.now()),
  );
  await producer.send({ topic: own.names.refused, key: request.messageId, value });
  await producer.settle();
  await producer.close();
};
/** Intake has taken what lies there now. */
const take = (): Promise<void> =>
  withAdmin(own.kafka, async (admin) => {
    const topic = own.names.ingest('p1');
    await admin.setOffsets({
      groupId: groupOf(own.kafka.prefix, 'intake.p1'),
      topic,
      partitions: (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => ({
        partition,
        offset: high,
      })),
    });
  });

beforeAll(async () => {
  own = await scratchInstallation(
    ({ name, record }, names) => record === 'MessageRequest' || name === names.refused,
  );
  millrace = commandLine(own.variables);
  redis = connectRedis({ url: String(process.env['REDIS_URL']), commandTimeoutMs: 20_000 });
  await redis.connect();

  const [bad, poor] = requests.slice(0, 2);
  if (bad === undefined || poor === undefined) throw new Error('no traffic');
  const places = await produce(requests);
  const [badAt, poorAt] = places;
  if (badAt === undefined || poorAt === undefined) throw new Error('not acknowledged');
  const again = requests.slice(10, 60);
  for (const [index, at] of (await produce(again)).entries())
    await refuse(again[index] ?? bad, at, { reason: 'duplicate', detail: '' });
  await refuse(bad, badAt, { reason: 'unknown_template', detail: '' });
  await refuse(poor, poorAt, { reason: 'budget_cash', detail: '' });
  await take();
  // Not taken yet: whose key it is will be decided by dedupe.
  await produce(
    requests.slice(100, 110).map((request) => ({ ...request, idempotencyKey: 'later' })),
  );
  accepted = requests.map((request, index) => ({ request, at: places[index] ?? badAt })).slice(2);
  await layer().claim(accepted.map(sighting), DEDUPE_SPAN_MS);
  asItWas = await entries();
});
afterEach(lose);
afterAll(async () => {
  redis.disconnect();
  await own.remove();
});

describe('after Redis was lost, rebuild redis', () => {
  test('counts what is missing and writes nothing; with --apply it is as it was, to the byte, and expires as it would have', async () => {
    await lose();
    const dry = await millrace('rebuild', 'redis', '--json');
    expect(dry).toMatchObject({ code: 0, err: '' });
    expect(figures(dry)).toEqual({
      read: MESSAGES + 50,
      absent: MESSAGES - 2,
      same: 0,
      others: 0,
      refused: 52,
      expired: 0,
      unreadable: 0,
      soon: 0,
    });
    expect((await entries()).size).toBe(0);

    const done = await millrace('rebuild', 'redis', '--reason', 'lost', '--apply', '--json');
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(figures(done)['absent']).toBe(MESSAGES - 2);
    expect(await entries()).toEqual(asItWas);
    // Workers read here that nothing is lost any more.
    expect(await redis.get(`${own.kafka.prefix}seen-since`)).toBe('0');
    const [key] = await redis.keysBuffer(`${own.kafka.prefix}seen:*`);
    const left = await redis.pttl(key ?? '');
    expect(left).toBeLessThanOrEqual(DEDUPE_SPAN_MS);
    expect(left).toBeGreaterThan(DEDUPE_SPAN_MS - 300_000);

    expect(figures(await millrace('rebuild', 'redis', '--json'))).toMatchObject({
      absent: 0,
      same: MESSAGES - 2,
    });
    const [action] = (await millrace('actions', '--json')).json() as readonly object[];
    expect(action).toMatchObject({ command: 'rebuild redis', reason: 'lost', state: 'done' });
  });

  test('never overwrites an entry that is there', async () => {
    const [one] = accepted;
    if (one === undefined) throw new Error('nothing accepted');
    const later = { ...sighting(one), at: { ...one.at, offset: 999_999 } };
    await lose();
    await layer().claim([later], DEDUPE_SPAN_MS);
    const done = await millrace('rebuild', 'redis', '--reason', 'x', '--apply', '--json');
    expect(figures(done)).toMatchObject({ absent: MESSAGES - 3, others: 1 });
    const [kept] = await layer().claim([sighting(one)], DEDUPE_SPAN_MS);
    expect(kept?.at.offset).toBe(999_999);
  });

  test('goes on where it was interrupted, and its report adds up over both parts', async () => {
    await lose();
    const running = millrace(
      'rebuild',
      'redis',
      '--reason',
      'x',
      '--rate',
      '400',
      '--apply',
      '--json',
    );
    while ((await entries()).size === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    process.emit('SIGINT');
    const first = await running;
    expect(first.code).toBe(1);
    const { run, finished } = first.json() as { run: string; finished: boolean };
    expect(finished).toBe(false);
    expect(first.err).toContain(`--resume ${run}`);
    const part = figures(first)['absent'] ?? 0;
    expect(part).toBeGreaterThan(0);
    expect(part).toBeLessThan(MESSAGES - 2);

    const rest = await millrace('rebuild', 'redis', '--apply', '--resume', run, '--json');
    expect(rest).toMatchObject({ code: 0, err: '' });
    expect(figures(rest)).toMatchObject({ read: MESSAGES + 50, absent: MESSAGES - 2, refused: 52 });
    expect(await entries()).toEqual(asItWas);
    const refusedAgain = await millrace('rebuild', 'redis', '--apply', '--resume', run);
    expect(refusedAgain).toMatchObject({ code: 1 });
    expect(refusedAgain.err).toContain('is done');
  });
});

describe('what cannot be done is said in a line', () => {
  test.each([
    { it: 'no reason', args: ['--apply'], code: 2, says: '--reason' },
    { it: 'an empty reason', args: ['--apply', '--reason', ' '], code: 2, says: '--reason' },
    { it: 'a run that is none', args: ['--resume', 'x'], code: 2, says: 'millrace actions' },
    {
      it: 'an unknown run',
      args: ['--apply', '--resume', '00000000-0000-0000-0000-000000000000'],
      code: 1,
      says: 'no run 00000000',
    },
    {
      it: 'resuming without --apply',
      args: ['--resume', '00000000-0000-0000-0000-000000000000'],
      code: 2,
      says: '--apply',
    },
  ])('$it', async ({ args, code, says }) => {
    const said = await millrace('rebuild', 'redis', ...args);
    expect(said.code).toBe(code);
    expect(said.err).toContain(says);
  });

  test('topics that are not there', async () => {
    const nowhere = commandLine({ ...own.variables, TOPIC_PREFIX: 'nobody-has-this.' });
    const said = await nowhere('rebuild', 'redis');
    expect(said.code).toBe(1);
    expect(said.err).toContain('nobody-has-this.');
  });

  test('an empty range', async () => {
    const empty = await scratchInstallation(
      ({ name, record }, names) => record === 'MessageRequest' || name === names.refused,
      1,
    );
    try {
      const said = await commandLine(empty.variables)('rebuild', 'redis');
      expect(said.code).toBe(1);
      expect(said.err).toContain('nothing to put back');
    } finally {
      await empty.remove();
    }
  });
});
