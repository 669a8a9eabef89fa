import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Contract, Processor } from '../../processors/processor.js';
import { eventually, TestKafka } from '../testing/kafka.js';
import { textTopic } from '../testing/text-topic.js';
import { stage } from '../topology.js';
import { changelogsOf, chainStages } from './chain-stages.js';
import { ChangelogReader } from './changelog-reader.js';
import { Task, type TaskOptions } from './task.js';
import { DEFAULT_TIMING } from './transaction-session.js';

interface Count extends Contract {
  readonly from: { readonly words: string };
  readonly to: { readonly counts: string };
  readonly state: { readonly seen: string };
}

/** Emits each word with how often its partition has seen it. */
const count: Processor<Count> = {
  name: 'count',
  gather: null,
  decide: ({ at, value }, _fact, { state }) => {
    if (value === 'poison') throw new Error('cannot decide this');
    const times = Number(state.seen.get(value) ?? '0') + 1;
    return {
      emit: [{ to: 'counts', value: `${value}:${at.partition.toString()}:${times.toString()}` }],
      put: [{ to: 'seen', key: value, value: times.toString() }],
    };
  },
};

const kafka = new TestKafka();
const name = (topic: string) => `${kafka.prefix}${topic}`;
const words = textTopic(name('words'));
const counts = textTopic(name('counts'));
const seen = textTopic(name('seen'));
const dead = name('dead');
const PARTITIONS = 4;

const partitionsOf = (topic: string) =>
  Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }));
const stages = [stage(count, { from: { words }, to: { counts }, state: { seen } })];

const silent = (): undefined => undefined;
const reader = new ChangelogReader(kafka.client, `${kafka.prefix}restore`);

const makeTask = (
  group: string,
  slot: number,
  protocol: 'classic' | 'consumer' = 'classic',
): Task => {
  const options: TaskOptions = {
    name: group,
    stages: chainStages(stages, {}, () => new Map()),
    changelogs: changelogsOf(stages),
    deadLetters: dead,
    reader,
    prepare: () => Promise.resolve(),
    now: Date.now,
    maxBatch: 500,
    maxInFlight: 1_000,
    onEvent: (event) => {
      if (process.env['DEBUG'] !== undefined)
        console.log(new Date().toISOString(), group, slot, event);
    },
    metrics: {
      recordsIn: silent,
      recordsOut: silent,
      deadLetters: silent,
      custom: silent,
      transaction: silent,
      queueAge: silent,
      inFlight: silent,
    },
    session: {
      client: kafka.client,
      groupId: `${kafka.prefix}${group}`,
      transactionalId: `${kafka.prefix}${group}.${slot.toString()}`,
      groupProtocol: protocol,
      timing: DEFAULT_TIMING,
    },
  };
  return new Task(options);
};

beforeAll(async () => {
  await kafka.topics(PARTITIONS, [words.name, counts.name, seen.name, dead]);
});
afterAll(async () => {
  await reader.close();
  await kafka.close();
});

const word = (text: string, partition: number) => ({
  topic: words.name,
  partition,
  key: text,
  value: Buffer.from(text),
});

test('each record is answered once, across a restart that restores state from the changelog', async () => {
  await kafka.write(
    Array.from({ length: 1_000 }, (_, i) => word(`w${(i % 10).toString()}`, i % PARTITIONS)),
  );
  const first = makeTask('restart', 0);
  const running = first.run();
  await eventually(
    '1,000 counts',
    async () => (await kafka.read(partitionsOf(counts.name))).length === 1_000,
  );
  first.stop();
  await running;

  await kafka.write(
    Array.from({ length: 1_000 }, (_, i) => word(`w${(i % 10).toString()}`, i % PARTITIONS)),
  );
  const second = makeTask('restart', 0);
  const again = second.run();
  await eventually(
    '2,000 counts',
    async () => (await kafka.read(partitionsOf(counts.name))).length === 2_000,
  );
  second.stop();
  await again;

  const written = (await kafka.read(partitionsOf(counts.name))).map(
    ({ at, value }) => `${at.partition.toString()} ${value?.toString() ?? ''}`,
  );
  expect(new Set(written).size).toBe(2_000);
});

test('a record that cannot be decided is buried with its coordinates and stops nobody', async () => {
  const before = (await kafka.read(partitionsOf(counts.name))).length;
  await kafka.write([word('poison', 1), word('after', 1)]);
  const task = makeTask('restart', 0);
  const running = task.run();
  await eventually(
    'the record after the poison',
    async () => (await kafka.read(partitionsOf(counts.name))).length === before + 1,
  );
  task.stop();
  await running;
  const [letter] = await kafka.read(partitionsOf(dead));
  expect(letter?.value?.toString()).toBe('poison');
  expect(letter?.headers['millrace-topic']?.toString()).toBe(words.name);
  expect(letter?.headers['millrace-partition']?.toString()).toBe('1');
  expect(letter?.headers['millrace-error-code']?.toString()).toBe('undecidable');
});
