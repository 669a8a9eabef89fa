import { randomBytes } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import type { Contract, Processor } from '../../processors/processor.js';
import { PipelineError } from '../../schemas/error.js';
import { readTopicLimits } from '../kafka-limits.js';
import { testTask } from '../testing/counting.js';
import { TestKafka, eventually } from '../testing/kafka.js';
import { textTopic } from '../testing/text-topic.js';
import { stage } from '../topology.js';
import { ChangelogReader } from './changelog-reader.js';
import { DEAD_LETTER_HEADERS } from './dead-letters.js';
import type { RawRecord } from './raw-record.js';
import type { SessionEvent } from './transaction-session.js';
import type { Task, TaskEvent } from './task.js';
import { TopicLimits } from './topic-limits.js';

/* Poison on a real broker: whatever a record does, its partition goes on behind it. */
const kafka = new TestKafka();
const reader = new ChangelogReader(kafka.client, `${kafka.prefix}restore`);
const running: { readonly task: Task; readonly done: Promise<void> }[] = [];
afterAll(async () => {
  for (const { task } of running) task.stop();
  await Promise.all(running.map(({ done }) => done));
  await reader.close();
  await kafka.close();
});

/** Compressed it is as large: brokers measure compressed batches. */
const LONG = randomBytes(3_000).toString('base64');

interface Echo extends Contract {
  readonly from: { readonly words: string };
  readonly to: { readonly echoes: string };
  readonly fact: string;
  readonly ports: { readonly ask: (words: readonly string[]) => Promise<readonly string[]> };
}
const echo: Processor<Echo> = {
  name: 'echo',
  gather: (batch, { ask }) => ask(batch.map(({ value }) => value)),
  decide: ({ value }, fact) => {
    if (value === 'undecidable') throw new Error('a defect');
    return { emit: [{ to: 'echoes', value: value === 'long' ? LONG : fact }] };
  },
};

const scene = async (name: string, limits: (topics: readonly string[]) => TopicLimits) => {
  const words = textTopic(`${kafka.prefix}${name}.words`);
  const echoes = textTopic(`${kafka.prefix}${name}.echoes`);
  const dead = `${kafka.prefix}${name}.dead`;
  await kafka.topics(1, [words.name, dead]);
  await kafka.topics(1, [echoes.name], { 'max.message.bytes': '2000' });
  const events: (SessionEvent | TaskEvent)[] = [];
  const all = (topic: string): Promise<RawRecord[]> => kafka.read([{ topic, partition: 0 }]);
  const ask = (asked: readonly string[]): Promise<readonly string[]> =>
    asked.includes('refused')
      ? Promise.reject(new PipelineError('row_refused', 'SQLSTATE 22003'))
      : Promise.resolve(asked.map((word) => `echo ${word}`));
  return {
    events,
    letters: () => all(dead),
    echoes: async () => (await all(echoes.name)).map(({ value }) => value?.toString()),
    write: (records: readonly Partial<RawRecord>[], word: (index: number) => string) =>
      kafka.write(
        records.map((record, index) => ({
          topic: words.name,
          partition: 0,
          key: 'k',
          value: Buffer.from(word(index)),
          ...(record.allHeaders && { moreHeaders: record.allHeaders }),
        })),
      ),
    start: (): Promise<void> => {
      const task = testTask(
        [stage(echo, { from: { words }, to: { echoes } })],
        { ask },
        {
          client: kafka.client,
          groupId: `${kafka.prefix}${name}.group`,
          slot: 0,
          deadLetters: dead,
          reader,
          limits: limits([words.name, echoes.name, dead]),
          onEvent: (event) => events.push(event),
        },
      );
      const done = task.run();
      running.push({ task, done: done.catch(() => undefined) });
      return done;
    },
  };
};

/** As the worker has it: what the table says, and the cluster when a broker refuses. */
const learning = (topics: readonly string[]): TopicLimits =>
  new TopicLimits(new Map(topics.map((topic) => [topic, 1_048_576])), () =>
    readTopicLimits(
      {
        brokers: kafka.brokers.split(','),
        prefix: '',
        groupProtocol: 'classic',
        securityProtocol: 'plaintext',
        sasl: undefined,
        ssl: {
          caLocation: undefined,
          certificateLocation: undefined,
          keyLocation: undefined,
          keyPassword: undefined,
        },
      },
      topics,
    ),
  );

test('a row that is refused, a defect, and an output larger than a topic that was made smaller: dead letters, the rest goes on', async () => {
  const { start, write, echoes, letters, events } = await scene('poison', learning);
  const all = ['a', 'refused', 'b', 'undecidable', 'c', 'long', 'd'];
  await write(
    all.map(() => ({})),
    (index) => all[index] ?? '',
  );
  void start();
  await eventually('the others', async () => (await echoes()).length === 4);
  expect(await echoes()).toEqual(['echo a', 'echo b', 'echo c', 'echo d']);
  const found = (await letters()).map(({ value, headers }) => [
    value?.toString(),
    headers[DEAD_LETTER_HEADERS.code]?.toString(),
    headers[DEAD_LETTER_HEADERS.offset]?.toString(),
    headers[DEAD_LETTER_HEADERS.stage]?.toString(),
  ]);
  expect(found).toEqual([
    ['refused', 'row_refused', '1', 'echo'],
    ['undecidable', 'undecidable', '3', 'echo'],
    ['long', 'output_too_large', '5', 'echo'],
  ]);
  // The broker refused once; then it was known.
  expect(events.filter(({ kind }) => kind === 'aborted')).toHaveLength(1);
});

test('many small outputs that together exceed a small topic go out in batches that fit it', async () => {
  const { start, write, echoes, letters } = await scene('small', learning);
  await write(
    Array.from({ length: 300 }, () => ({})),
    (index) => `${index.toString()} ${Math.random().toString(36)}`,
  );
  void start();
  await eventually('all', async () => (await echoes()).length === 300);
  expect(await letters()).toEqual([]);
});

test('a size that is refused although the cluster says it fits stops the task with what to do, not with an endless loop', async () => {
  const { start, write } = await scene(
    'deaf',
    (topics) => new TopicLimits(new Map(topics.map((topic) => [topic, 1_048_576]))),
  );
  await write([{}], () => 'long');
  await expect(start()).rejects.toMatchObject({ code: 'topic_too_small', verdict: 'stop' });
});

test('headers of one name arrive in the dead letter as they were, all of them', async () => {
  const { start, write, letters } = await scene('headers', learning);
  const allHeaders = [
    ['tag', Buffer.from('a')],
    ['one', Buffer.from('1')],
    ['tag', Buffer.from('b')],
  ] as const;
  await write([{ allHeaders }], () => 'undecidable');
  void start();
  await eventually('the letter', async () => (await letters()).length === 1);
  const [letter] = await letters();
  expect(letter?.headers['one']?.toString()).toBe('1');
  expect(
    letter?.allHeaders?.flatMap(([name, value]) => (name === 'tag' ? [value.toString()] : [])),
  ).toEqual(['a', 'b']);
});
