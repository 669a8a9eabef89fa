import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import {
  type TestTaskOptions,
  countingStages,
  countingTopics,
  testTask,
} from '../testing/counting.js';
import { expelMembers } from '../testing/group-wire.js';
import { TestKafka, eventually } from '../testing/kafka.js';
import { ChangelogReader } from './changelog-reader.js';
import { ConsumerClient } from './rdkafka-client.js';
import type { SessionEvent } from './transaction-session.js';
import type { Task, TaskEvent } from './task.js';

const kafka = new TestKafka();
const PARTITIONS = 4;
const reader = new ChangelogReader(kafka.client, `${kafka.prefix}restore`);
const offsets = new ConsumerClient({ ...kafka.client, 'group.id': `${kafka.prefix}rule1` });
const running: { task: Task; done: Promise<void> }[] = [];
let scenes = 0;

/** Topics and a group of a test's own, and tasks over them. */
const scene = async (
  ask: () => Promise<void> = () => Promise.resolve(),
  takeOver?: Parameters<typeof countingStages>[1],
) => {
  scenes += 1;
  const prefix = `${kafka.prefix}${scenes.toString()}.`;
  const topics = countingTopics(prefix);
  await kafka.topics(PARTITIONS, Object.values(topics));
  const events: (SessionEvent | TaskEvent)[] = [];
  const partitionsOf = (topic: string) =>
    Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }));
  return {
    topics,
    group: `${kafka.prefix}rule${scenes.toString()}`,
    events,
    start: (options: Partial<TestTaskOptions> = {}): Task => {
      const task = testTask(
        countingStages(topics, takeOver),
        { ask },
        {
          client: kafka.client,
          groupId: `${kafka.prefix}rule${scenes.toString()}`,
          slot: 0,
          deadLetters: topics.dead,
          reader,
          onEvent: (event) => events.push(event),
          ...options,
        },
      );
      running.push({ task, done: task.run() });
      return task;
    },
    write: (words: readonly string[], partition: number) =>
      kafka.write(
        words.map((text) => ({
          topic: topics.words,
          partition,
          // One key a partition: its counts come out on one partition, in order.
          key: `k${partition.toString()}`,
          value: Buffer.from(text),
        })),
      ),
    counts: async (): Promise<string[]> =>
      (await kafka.read(partitionsOf(topics.counts))).map(({ value }) => value?.toString() ?? ''),
    letters: () => kafka.read(partitionsOf(topics.dead)),
  };
};
const stopAll = async (): Promise<void> => {
  const all = running.splice(0);
  for (const { task } of all) task.stop();
  await Promise.all(all.map(({ done }) => done));
};

beforeAll(() => offsets.connect(10_000));
afterAll(async () => {
  await stopAll();
  await reader.close();
  await offsets.disconnect(5_000);
  await kafka.close();
});

test('rule 1: the committed offset is the next record’s, and a restart repeats nothing', async () => {
  const { start, write, counts, topics } = await scene();
  await write(['a', 'b', 'c'], 1);
  start();
  await eventually('three counts', async () => (await counts()).length === 3);
  await stopAll();
  expect(await offsets.committed([{ topic: topics.words, partition: 1 }], 5_000)).toMatchObject([
    { offset: 3 },
  ]);
  start();
  await write(['d'], 1);
  await eventually('the fourth', async () => (await counts()).includes('d:1:1'));
  expect(await counts()).toHaveLength(4);
  await stopAll();
});

test('state comes back from the changelog: the count of a word goes on after a restart', async () => {
  const { start, write, counts } = await scene();
  for (let round = 1; round <= 2; round++) {
    for (let partition = 0; partition < PARTITIONS; partition++)
      await write(
        Array.from({ length: 100 }, (_, i) => `w${(i % 5).toString()}`),
        partition,
      );
    start();
    await eventually('its counts', async () => (await counts()).length === round * 400);
    await stopAll();
  }
  expect(new Set(await counts()).size).toBe(800);
});

test('rule 5: what an aborted transaction staged is gone when its batch is decided again', async () => {
  const { start, write, counts, events } = await scene();
  const task = start();
  await eventually('an assignment', () => task.partitions.length === PARTITIONS);
  const { native } = task['session']['producer'];
  const real = native.commitTransaction.bind(native);
  let refusals = 2;
  Object.assign(native, {
    commitTransaction: (timeoutMs: number, done: Parameters<typeof real>[1]) => {
      refusals -= 1;
      if (refusals < 0) real(timeoutMs, done);
      else done({ message: 'abort me', code: -1, errno: -1, origin: '', isTxnRequiresAbort: true });
    },
  });
  await write(['a', 'a'], 0);
  await eventually('both counts', async () => (await counts()).length === 2);
  expect(events.filter(({ kind }) => kind === 'aborted')).toHaveLength(2);
  expect(await counts()).toEqual(['a:0:1', 'a:0:2']);
  await stopAll();
});

test('a task that paces itself puts what comes meanwhile into the next transaction, and waits for nobody when batches are full', async () => {
  const PAUSE_MS = 50; // MAX_PACE_MS: the pace asks for far more
  const began: number[] = [];
  const ended: number[] = [];
  const { start, write, counts } = await scene(() => {
    began.push(performance.now());
    return Promise.resolve();
  });
  const task = start({ pace: 1_000, onTransaction: () => ended.push(performance.now()) });
  await eventually('an assignment', () => task.partitions.length === PARTITIONS);
  for (let i = 0; i < 100; i++) await write([`w${i.toString()}`], 0);
  await eventually('all counts', async () => (await counts()).length === 100);
  expect(await counts()).toEqual(Array.from({ length: 100 }, (_, i) => `w${i.toString()}:0:1`));
  const pauses = began.slice(1).map((at, i) => at - Number(ended[i]));
  // Its clock counts whole milliseconds, each way.
  expect(Math.min(...pauses)).toBeGreaterThan(PAUSE_MS - 2);
  await stopAll();

  const full = await scene();
  const endings: number[] = [];
  await full.write(
    Array.from({ length: 40 }, (_, i) => `v${i.toString()}`),
    0,
  );
  full.start({ pace: 1_000, maxBatch: 1, onTransaction: () => endings.push(performance.now()) });
  await eventually('all counts', async () => (await full.counts()).length === 40);
  const gaps = endings.slice(1).map((end, i) => end - Number(endings[i]));
  expect(Math.min(...gaps)).toBeLessThan(PAUSE_MS - 1);
  await stopAll();
});

test('a task that rests leaves the others as many times as long as each of its transactions took', async () => {
  const REST = 3;
  const began: number[] = [];
  const ended: number[] = [];
  const { start, write, counts } = await scene(() => {
    began.push(performance.now());
    return Promise.resolve();
  });
  await write(['a', 'b', 'c', 'd'], 0);
  start({ maxBatch: 1, rest: REST, onTransaction: () => ended.push(performance.now()) });
  await eventually('all counts', async () => (await counts()).length === 4);
  await stopAll();
  const rests = ended.slice(0, 3).map((end, i) => Number(began[i + 1]) - end);
  const least = ended.slice(0, 3).map((end, i) => Math.min(500, REST * (end - Number(began[i]))));
  // Its clock counts whole milliseconds, each way.
  for (const [i, rest] of rests.entries())
    expect(rest).toBeGreaterThan(Number(least[i]) - 2 * REST);
});

test('rule 15: facts are gathered before the transaction begins', async () => {
  const order: string[] = [];
  const { start, write, counts } = await scene(() => {
    order.push('gather');
    return Promise.resolve();
  });
  const task = start();
  await eventually('an assignment', () => task.partitions.length === PARTITIONS);
  const producer = task['session']['producer'];
  const begin = producer.begin.bind(producer);
  Object.assign(producer, {
    begin: () => {
      order.push('begin');
      return begin();
    },
  });
  await write(['a'], 0);
  await eventually('its count', async () => (await counts()).length === 1);
  expect(order.slice(0, 2)).toEqual(['gather', 'begin']);
  await stopAll();
});

test('rule 18: partitions are taken over before their first record is gathered, and again after a gather that failed', async () => {
  const order: string[] = [];
  let failures = 1;
  const { start, write, counts } = await scene(
    () => {
      order.push('gather');
      failures -= 1;
      return failures < 0
        ? Promise.resolve()
        : Promise.reject(new PipelineError('postgres_unavailable', 'no answer'));
    },
    (partitions) => {
      order.push(`take over ${partitions.map(({ partition }) => partition).join(' ')}`);
      return Promise.resolve();
    },
  );
  const task = start();
  await eventually('an assignment', () => task.partitions.length === PARTITIONS);
  await write(['a'], 0);
  await eventually('its count', async () => (await counts()).length === 1);
  await write(['b'], 0);
  await eventually('the second', async () => (await counts()).length === 2);
  expect(order).toEqual(['take over 0', 'gather', 'take over 0', 'gather', 'gather']);
  await stopAll();
});

test.each(['classic', 'consumer'] as const)(
  'rule 18: a member that its %s group has forgotten takes over, is not believed, and gathers nothing before it has joined again',
  async (protocol) => {
    const order: string[] = [];
    let forgotten: () => Promise<unknown> = () => Promise.resolve();
    const { start, write, counts, group, events } = await scene(
      () => {
        order.push('gather');
        return Promise.resolve();
      },
      async () => {
        order.push('take over');
        await forgotten();
      },
    );
    const task = start({ protocol });
    await eventually('an assignment', () => task.partitions.length === PARTITIONS);
    forgotten = () => {
      forgotten = () => Promise.resolve();
      return expelMembers(kafka.brokers, group, protocol);
    };
    await write(['a'], 0);
    await eventually('its count', async () => (await counts()).length === 1);
    expect(order.slice(0, 2)).toEqual(['take over', 'take over']);
    expect(order.slice(-1)).toEqual(['gather']);
    expect(events.filter(({ kind }) => kind === 'aborted')).not.toEqual([]);
    expect(await counts()).toEqual(['a:0:1']);
    await stopAll();
  },
);

test('what cannot be decided or read is buried with its coordinates, and stops nobody', async () => {
  const { start, write, counts, letters, topics } = await scene();
  await write(['before', 'poison', 'unreadable', 'after'], 1);
  start();
  await eventually('the record after them', async () => (await counts()).includes('after:1:1'));
  await stopAll();
  // Markers of a transaction land partition by partition: that of the dead letters may come last.
  await eventually('both dead letters', async () => (await letters()).length === 2);
  const found = (await letters()).map(({ value, headers }) => [
    value?.toString(),
    headers['millrace-topic']?.toString(),
    headers['millrace-partition']?.toString(),
    headers['millrace-offset']?.toString(),
    headers['millrace-error-code']?.toString(),
  ]);
  expect(found.sort()).toEqual([
    ['poison', topics.words, '1', '1', 'undecidable'],
    ['unreadable', topics.words, '1', '2', 'undecodable'],
  ]);
});

test('while a dependency is away nothing is skipped, pauses grow, and the group keeps its member', async () => {
  let away = true;
  const { start, write, counts, events } = await scene(() =>
    away ? Promise.reject(new PipelineError('postgres_unavailable', 'gone')) : Promise.resolve(),
  );
  const task = start();
  await write(['a', 'b'], 2);
  const pauses = () => events.flatMap((event) => (event.kind === 'waiting' ? [event.pauseMs] : []));
  await eventually('five waits', () => pauses().length >= 5);
  expect(pauses().slice(0, 5)).toEqual([100, 200, 400, 800, 1_600]);
  expect(task.lag({ topic: task.partitions[2]?.topic ?? '', partition: 2 })).not.toBe(0);
  expect(events.map(({ kind }) => kind)).not.toContain('recovered');
  away = false;
  await eventually('both', async () => (await counts()).length === 2);
  expect(await counts()).toEqual(['a:2:1', 'b:2:1']);
  expect(events.map(({ kind }) => kind)).toContain('recovered');
  expect(events.map(({ kind }) => kind)).not.toContain('revoked');
  await stopAll();
});

test('a record that is not due holds its partition, in order, and no other', async () => {
  const { start, write, counts } = await scene();
  const task = start();
  await eventually('an assignment', () => task.partitions.length === PARTITIONS);
  const due = Date.now() + 6_000;
  await write(['first', `later@${due.toString()}`, 'behind'], 0);
  await write(['elsewhere'], 1);
  await eventually('what is due', async () => (await counts()).length === 2);
  expect(Date.now()).toBeLessThan(due);
  await eventually('the rest', async () => (await counts()).length === 4);
  expect(Date.now()).toBeGreaterThanOrEqual(due);
  expect((await counts()).filter((one) => one.includes(':0:'))).toEqual([
    'first:0:1',
    'later:0:1',
    'behind:0:1',
  ]);
  await stopAll();
});

describe.each(['classic', 'consumer'] as const)('two workers of a %s group', (protocol) => {
  test('share the partitions, and hand state and work over when one leaves', async () => {
    const { start, write, counts } = await scene();
    const all = async (words: string[]) => {
      for (let partition = 0; partition < PARTITIONS; partition++) await write(words, partition);
    };
    const one = start({ protocol, slot: 0 });
    await all(['a', 'b']);
    await eventually('the first counts', async () => (await counts()).length === 8);
    const two = start({ protocol, slot: 1 });
    await eventually('two each', () => one.partitions.length === 2 && two.partitions.length === 2);
    await all(['a', 'b']);
    await eventually('both work', async () => (await counts()).length === 16);
    one.stop();
    await all(['a', 'b']);
    await eventually('the one that stays works', async () => (await counts()).length === 24);
    expect(new Set(await counts()).size).toBe(24);
    await stopAll();
  });
});
