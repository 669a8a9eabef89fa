import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import { afterAll, expect, test } from 'vitest';
import { LANES } from '../../schemas/generated/records.js';
import { projectRoot } from '../../schemas/root.js';
import { memoryCodecs } from '../../schemas/topic-codecs.js';
import { lockSlots } from '../../sinks/postgres/slot-lock.js';
import { intake, sending } from '../delivery.js';
import { measurement, receiving } from '../measurement.js';
import { countingStages, countingTopics } from '../testing/counting.js';
import { TEST_CONFIG } from '../testing/fixtures.js';
import { TestKafka, eventually } from '../testing/kafka.js';
import { erased, textTopic } from '../testing/text-topic.js';
import { type Topology, topology } from '../topology.js';
import { typedTopics } from '../topics.js';
import { ChangelogReader } from './changelog-reader.js';
import { Health } from './health.js';
import { WorkerMetrics } from './metrics.js';
import { type ClientSettings, classify, isTimeOut } from './rdkafka-client.js';
import { SinkTask } from './sink-task.js';
import { DEFAULT_TIMING } from './transaction-session.js';
import { Worker, transactionalIdOf } from './worker.js';

const kafka = new TestKafka();
const reader = new ChangelogReader(kafka.client, `${kafka.prefix}restore`);
afterAll(async () => {
  await reader.close();
  await kafka.close();
});

const workerOf = (
  slot: number,
  health = new Health(),
  client: ClientSettings = {},
  more: { readonly stopWithinMs?: number } = {},
): Worker =>
  new Worker({
    ...more,
    client: { ...kafka.client, ...client },
    prefix: kafka.prefix,
    groupProtocol: 'classic',
    slot,
    deadLetters: `${kafka.prefix}dead`,
    codecs: memoryCodecs(),
    health,
    metrics: new WorkerMetrics(),
    log: pino({ level: 'silent' }),
    reader,
    partitionsOf: () => 1,
  });

test.each([
  [{ isFatal: true, isTxnRequiresAbort: true, isRetriable: true }, 'fatal'],
  [{ isTxnRequiresAbort: true, isRetriable: true }, 'abortable'],
  [{ isRetriable: true }, 'retriable'],
  [{ code: -185 }, 'other'],
  [new Error('anything'), 'other'],
])('rule 9: of what the client says of %o the gravest counts: %s', (error, expected) => {
  expect(classify(error)).toBe(expected);
});

test('rule 9: a time-out is told by its code, whatever else is said of it', () => {
  expect(isTimeOut({ code: -185, isRetriable: true })).toBe(true);
  expect(isTimeOut({ code: -192 })).toBe(true);
  expect(isTimeOut(new Error('timed out'))).toBe(false);
});

test('a worker one of whose tasks cannot start ends once all the others have left', async () => {
  const topics = countingTopics(`${kafka.prefix}unable.`);
  await kafka.topics(1, [topics.words, topics.counts, topics.seen]);
  // Its client refuses to make the producer that a task needs, and a sink does not.
  const worker = workerOf(0, new Health(), { 'enable.idempotence': false });
  let left = false;
  worker
    .add(
      topology('unable', [countingStages(topics)]),
      { ask: () => Promise.resolve() },
      { maxBatch: 1, maxInFlight: 1 },
    )
    .sink(
      {
        name: 'able',
        topics: [textTopic(topics.words)],
        load: (partitions) => Promise.resolve(partitions.map(() => 0)),
        write: () => Promise.resolve([]),
      },
      { maxBatch: 1, lingerMs: 0 },
    );
  const running = worker.run().catch((thrown: unknown) => {
    const sink = worker['running'].find((one) => one instanceof SinkTask);
    left = sink?.['closing'] === true && !sink['consumer'].native.isConnected();
    throw thrown;
  });
  await expect(running).rejects.toMatchObject({ code: 'kafka_unavailable' });
  expect(left).toBe(true);
});

test('a worker one of whose tasks never leaves ends all the same, and names it', async () => {
  const topics = countingTopics(`${kafka.prefix}stuck.`);
  await kafka.topics(1, [topics.words]);
  const stopWithinMs = 2_000;
  const worker = workerOf(0, new Health(), {}, { stopWithinMs });
  let asked = false;
  for (const name of ['stuck', 'well'])
    worker.sink(
      {
        name,
        topics: [textTopic(topics.words)],
        load: (partitions) => Promise.resolve(partitions.map(() => 0)),
        // A call that nobody ever answers.
        write: () => {
          if (name === 'well') return Promise.resolve([]);
          asked = true;
          return new Promise(() => undefined);
        },
      },
      { maxBatch: 1, lingerMs: 0 },
    );
  const running = worker.run();
  running.catch(() => undefined); // heard below
  await kafka.write([{ topic: topics.words, partition: 0, key: 'a', value: Buffer.from('a') }]);
  await eventually('the sink to be asked', () => asked);
  worker.stop();
  await expect(running).rejects.toMatchObject({
    verdict: 'stop',
    message: expect.stringMatching(/^stopped at once: stuck did not leave within 2 s/) as string,
  });
});

test('rule 10: an id of transactions is made of prefix, sub-topology and slot alone', () => {
  expect(transactionalIdOf('stage.', 'send.p0.1', 3)).toBe('stage.millrace.send.p0.1.3');
  const topics = countingTopics(kafka.prefix);
  const of = (slot: number) =>
    workerOf(slot).add(
      topology('counting', [countingStages(topics), countingStages(topics)]),
      { ask: () => Promise.resolve() },
      { maxBatch: 1, maxInFlight: 1 },
    ).transactionalIds;
  expect(of(0)).toEqual(of(0));
  expect(new Set([...of(0), ...of(1)]).size).toBe(4);
});

test('rule 10: a slot is held by one worker, until it leaves or its connection ends', async () => {
  const url = process.env['DATABASE_URL'] ?? '';
  const ids = [0, 1].map((slot) => transactionalIdOf(kafka.prefix, 'counting', slot));
  const nothing = (): undefined => undefined;
  const first = await lockSlots(url, ids, nothing);
  expect(first.taken).toEqual([]);
  const second = await lockSlots(url, [...ids, `${kafka.prefix}other`], nothing);
  expect(second.taken).toEqual(ids);
  await second.release();
  await first.release();
  const third = await lockSlots(url, ids, nothing);
  expect(third.taken).toEqual([]);
  await third.release();
});

test('rule 11: an abandoned transaction ends soon, and no time-out ends a batch that is still at work', () => {
  const { transactionTimeoutMs, sessionTimeoutMs, revokeBoundMs } = DEFAULT_TIMING;
  expect(transactionTimeoutMs).toBeGreaterThanOrEqual(2_000);
  expect(transactionTimeoutMs).toBeLessThanOrEqual(10_000);
  expect(sessionTimeoutMs).toBeLessThanOrEqual(10_000);
  // A revocation must let a transaction that is under way end by itself.
  expect(revokeBoundMs).toBeGreaterThan(transactionTimeoutMs);
});

test('rule 14: there are threads for every client of a worker that runs all stages', () => {
  const topics = typedTopics({
    prefix: '',
    codecs: memoryCodecs(),
    channels: TEST_CONFIG.channels.map(({ name }) => name),
    tenantsWithOwnIngest: [],
  });
  const options = { recipientHash: () => '', topicPrefix: '' };
  const tasksOf = (topologies: readonly Topology<never>[]): number =>
    topologies.reduce((sum, { tasks: of }) => sum + of.length, 0);
  const aLane = tasksOf([intake('p0', topics, options), sending('p0', topics, options)]);
  const shared = tasksOf([
    receiving(topics),
    measurement(topics, { feedbackPartitions: 1, partialsPartitions: 1 }),
  ]);
  const tasks = LANES.length * aLane + shared;
  // A session has a consumer and a producer; settle and two Influx sinks, global tables and the two
  // clients of the changelog reader have a consumer each; receipts from callbacks have a producer.
  const clients = tasks * 2 + 3 + 1 + 2 + 1;
  const launcher = readFileSync(path.join(projectRoot(), 'scripts', 'millrace.cjs'), 'utf8');
  const threads = Number(/UV_THREADPOOL_SIZE \?\?= '(\d+)'/.exec(launcher)?.[1]);
  expect(tasks).toBeGreaterThan(10);
  expect(threads).toBeGreaterThanOrEqual(clients);
});

test('a worker that is told to stop while it reads its tables stops', async () => {
  const topics = countingTopics(kafka.prefix);
  const table = `${kafka.prefix}table`;
  await kafka.topics(1, [topics.words, topics.counts, topics.seen, topics.dead, table]);
  const health = new Health();
  const worker = workerOf(0, health)
    .add(
      topology('counting', [countingStages(topics)]),
      { ask: () => Promise.resolve() },
      { maxBatch: 10, maxInFlight: 1 },
    )
    .table(erased(textTopic(table)));
  const done = worker.run();
  expect(health.report.status).toBe('starting');
  worker.stop();
  await done;

  // And one that runs leaves when it is told.
  const again = workerOf(0, health).add(
    topology('counting', [countingStages(topics)]),
    { ask: () => Promise.resolve() },
    { maxBatch: 10, maxInFlight: 1 },
  );
  const running = again.run();
  await eventually('lag of its partition', () => again.lags().length === 1);
  expect(health.report.status).toBe('ready');
  again.stop();
  await running;
});
