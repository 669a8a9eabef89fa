import { afterAll, expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import type { PartitionSlice } from '../../schemas/record.js';
import { TestKafka, eventually } from '../testing/kafka.js';
import { textCodec } from '../testing/text-topic.js';
import { type PartitionId, type TopicPartition, partitionId } from './raw-record.js';
import { type Sink, type SinkEvent, SinkTask } from './sink-task.js';
import { DEFAULT_TIMING, type GroupProtocol } from './transaction-session.js';

const kafka = new TestKafka();
const PARTITIONS = 2;
const running: { task: SinkTask<string>; done: Promise<void> }[] = [];
let scenes = 0;

/** A store that keeps offsets with their effect, conditionally, as the Postgres sinks do. */
class Store {
  readonly values: string[] = [];
  readonly next = new Map<PartitionId, number>();
  readonly caughtUp: { partitions: string[]; at: number }[] = [];
  away = false;
  takesMs = 0;
  writes = 0;

  sink(name: string, topic: string): Sink<string> {
    return {
      name,
      topics: [
        {
          name: topic,
          codec: {
            encode: textCodec.encode,
            decode: (bytes) => {
              if (bytes.toString() === 'nonsense')
                throw new PipelineError('undecodable', 'no word');
              return bytes.toString();
            },
          },
        },
      ],
      load: (partitions) =>
        this.answer(() =>
          partitions.map((one) => {
            const id = partitionId(one);
            const next = this.next.get(id) ?? one.beginning;
            this.next.set(id, next);
            return next;
          }),
        ),
      write: async (slices) => {
        if (this.takesMs > 0) await new Promise((resolve) => setTimeout(resolve, this.takesMs));
        return this.answer(() => this.write(slices));
      },
      caughtUp: (partitions, at) => {
        this.caughtUp.push({ partitions: partitions.map(partitionId).sort(), at });
        return Promise.resolve();
      },
    };
  }

  private answer<T>(work: () => T): Promise<T> {
    return this.away
      ? Promise.reject(new PipelineError('postgres_unavailable', 'gone'))
      : Promise.resolve(work());
  }

  private write(slices: readonly PartitionSlice<string>[]): readonly TopicPartition[] {
    this.writes += 1;
    const lost = slices.filter((one) => this.next.get(partitionId(one)) !== one.start);
    if (lost.length > 0) return lost;
    for (const slice of slices) {
      this.next.set(partitionId(slice), slice.next);
      this.values.push(...slice.records.map(({ value }) => value));
    }
    return [];
  }
}

const scene = async () => {
  scenes += 1;
  const topic = `${kafka.prefix}words${scenes.toString()}`;
  await kafka.topics(PARTITIONS, [topic]);
  const store = new Store();
  const events: SinkEvent[] = [];
  return {
    topic,
    store,
    events,
    kinds: () => events.map(({ kind }) => kind),
    start: (protocol: GroupProtocol = 'classic'): SinkTask<string> => {
      const task = new SinkTask(store.sink('words', topic), {
        client: kafka.client,
        groupId: `${topic}.group`,
        groupProtocol: protocol,
        timing: DEFAULT_TIMING,
        maxBatch: 100,
        lingerMs: 0,
        prepare: () => Promise.resolve(),
        onEvent: (event) => events.push(event),
        metrics: { written: () => undefined },
      });
      running.push({ task, done: task.run() });
      return task;
    },
    write: (words: readonly string[], partition: number) =>
      kafka.write(words.map((word) => ({ topic, partition, key: word, value: Buffer.from(word) }))),
  };
};
const stopAll = async (): Promise<void> => {
  const all = running.splice(0);
  for (const { task } of all) task.stop();
  await Promise.all(all.map(({ done }) => done));
};
afterAll(async () => {
  await stopAll();
  await kafka.close();
});

test.each(['classic', 'consumer'] as const)(
  'goes on from the offsets stored with the effect, whatever the %s group has committed',
  async (protocol) => {
    const { store, start, write, topic } = await scene();
    await write(['a', 'b', 'c'], 0);
    start(protocol);
    await eventually('three', () => store.values.length === 3);
    await stopAll();
    // As though the effect of the last one had been rolled back after its offset was committed to Kafka.
    store.next.set(partitionId({ topic, partition: 0 }), 2);
    store.values.length = 2;
    start(protocol);
    await eventually('the third again', () => store.values.length === 3);
    expect(store.values).toEqual(['a', 'b', 'c']);
    await stopAll();
  },
);

test('an offset that another owner has moved rolls the write back, and reading goes on from there', async () => {
  const { store, start, write, topic, kinds } = await scene();
  const task = start();
  await eventually('an assignment', () => task.partitions.length === PARTITIONS);
  await write(['a'], 0);
  await eventually('the first', () => store.values.length === 1);
  // A zombie's successor has stored b and c already.
  store.next.set(partitionId({ topic, partition: 0 }), 3);
  store.values.push('b', 'c');
  await write(['b', 'c', 'd'], 0);
  await write(['x'], 1);
  await eventually('what was not stored', () => store.values.length === 5);
  expect(store.values.slice(0, 3)).toEqual(['a', 'b', 'c']);
  expect(store.values.slice(3).sort()).toEqual(['d', 'x']);
  expect(kinds()).toContain('lost');
  await stopAll();
});

test('while the store is away the task keeps its partitions, skips nothing and says so', async () => {
  const { store, start, write, kinds } = await scene();
  const task = start();
  await eventually('an assignment', () => task.partitions.length === PARTITIONS);
  store.away = true;
  await write(['a', 'b'], 0);
  await eventually('four waits', () => kinds().filter((kind) => kind === 'waiting').length >= 4);
  expect(task.waiting).not.toBeNull();
  await write(['c'], 1);
  store.away = false;
  await eventually('all', () => store.values.length === 3);
  expect(store.values.slice().sort()).toEqual(['a', 'b', 'c']);
  expect(task.waiting).toBeNull();
  expect(kinds()).toContain('recovered');
  expect(kinds()).not.toContain('revoked');
  await stopAll();
});

test('a store that is away at the start is waited for', async () => {
  const { store, start, write, kinds } = await scene();
  store.away = true;
  await write(['a'], 0);
  start();
  await eventually('waits', () => kinds().includes('waiting'));
  store.away = false;
  await eventually('the record', () => store.values.length === 1);
  await stopAll();
});

test('a record that cannot be read is reported and passed over, and its offset stored', async () => {
  const { store, start, write, topic, events } = await scene();
  await write(['a', 'nonsense', 'b', 'nonsense'], 0);
  start();
  await eventually('its end', () => store.next.get(partitionId({ topic, partition: 0 })) === 4);
  expect(store.values).toEqual(['a', 'b']);
  const unreadable = events.flatMap((event) =>
    event.kind === 'unreadable' ? [[event.record.at.offset, event.error.code]] : [],
  );
  expect(unreadable).toEqual([
    [1, 'undecodable'],
    [3, 'undecodable'],
  ]);
  await stopAll();
});

test('it says that it has caught up only for what it has stored, and of a time that is safely past', async () => {
  const { store, start, write, topic } = await scene();
  await write(['a'], 0);
  const task = start();
  const both = [0, 1].map((partition) => partitionId({ topic, partition }));
  await eventually('caught up', () => store.caughtUp.some((one) => one.partitions.length === 2));
  expect(store.values).toEqual(['a']);
  const [first] = store.caughtUp;
  expect(first?.at).toBeLessThan(Date.now() - 9_000);
  expect(store.caughtUp.at(-1)?.partitions).toEqual(both);
  expect(task.lag({ topic, partition: 0 })).toBe(0);
  await stopAll();
});

test('a partition that nothing is written to has caught up also while another one is never at rest', async () => {
  const { store, start, write, topic } = await scene();
  start();
  await write(['first'], 0);
  await eventually('the first', () => store.values.length === 1);
  // Whenever it has written there is more to read.
  store.takesMs = 400;
  const traffic = { on: true };
  const writing = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (traffic.on) await write(['more'], 0);
    }),
  );
  try {
    const quiet = partitionId({ topic, partition: 1 });
    const said = () => store.caughtUp.filter(({ partitions }) => partitions.includes(quiet)).length;
    const before = said();
    await eventually('the quiet one', () => said() >= before + 3);
    expect(store.values.length).toBeGreaterThan(10);
  } finally {
    traffic.on = false;
    await writing;
  }
  await stopAll();
});

test('a refusal of the store stops the worker: a person must act', async () => {
  const { store, topic, start, write } = await scene();
  const { done } = (start(), running.splice(0)[0] ?? { done: Promise.resolve() });
  Object.assign(store, {
    write: () => {
      throw new PipelineError('postgres_refused', 'no such function');
    },
  });
  await write(['a'], 0);
  await expect(done).rejects.toMatchObject({ code: 'postgres_refused', verdict: 'stop' });
  expect(store.next.get(partitionId({ topic, partition: 0 }))).toBe(0);
});

test('two tasks of one group never store a record twice while they come and go', async () => {
  const { store, start, write } = await scene();
  const one = start();
  await eventually('an assignment', () => one.partitions.length === PARTITIONS);
  const two = start();
  await eventually('one each', () => one.partitions.length === 1 && two.partitions.length === 1);
  for (const partition of [0, 1]) await write(['a', 'b', 'c'], partition);
  await eventually('six', () => store.values.length >= 6);
  one.stop();
  for (const partition of [0, 1]) await write(['d'], partition);
  await eventually('eight', () => store.values.length >= 8);
  expect(store.values.slice().sort()).toEqual(['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd']);
  await stopAll();
});
