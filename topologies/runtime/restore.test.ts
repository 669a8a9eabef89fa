import { createHash } from 'node:crypto';
import { afterAll, afterEach, expect, test } from 'vitest';
import type { Contract, IdSet, Processor } from '../../processors/processor.js';
import { idBatchCodec } from '../../schemas/id-batch.js';
import { testTask } from '../testing/counting.js';
import { TestKafka, eventually } from '../testing/kafka.js';
import { textTopic } from '../testing/text-topic.js';
import { type AnyStage, stage } from '../topology.js';
import { ChangelogReader } from './changelog-reader.js';
import type { Task } from './task.js';

/** Passes each word once a partition; `free!` behind it is a retryable refusal of the stage after. */
interface Once extends Contract {
  readonly from: { readonly words: string };
  readonly to: { readonly passed: string };
  readonly state: { readonly seen: IdSet };
}
const once: Processor<Once> = {
  name: 'once',
  gather: null,
  decide: ({ value }, _fact, { state }) => {
    const id = createHash('sha256').update(value.replace('!', '')).digest().subarray(0, 16);
    return state.seen.has(id)
      ? { emit: [{ to: 'passed', value: `again ${value}` }] }
      : { emit: [{ to: 'passed', value }], put: [{ to: 'seen', id }] };
  },
};
interface Refusing extends Contract {
  readonly from: { readonly passed: string };
  readonly to: { readonly ended: string };
}
const refusing: Processor<Refusing> = {
  name: 'refusing',
  gather: null,
  decide: ({ value }) => ({
    emit: [{ to: 'ended', value: value.endsWith('!') ? `refused ${value}` : value }],
    forget: value.endsWith('!'),
  }),
};

const PARTITIONS = 2;
const HOUR = 3_600_000;
const kafka = new TestKafka();
const reader = new ChangelogReader(kafka.client, `${kafka.prefix}restore`);
let scenes = 0;
let running: { task: Task; done: Promise<void> } | null = null;

const stop = async (): Promise<void> => {
  running?.task.stop();
  await running?.done;
  running = null;
};
afterEach(stop);
afterAll(async () => {
  await reader.close();
  await kafka.close();
});

const scene = async () => {
  scenes += 1;
  const prefix = `${kafka.prefix}${scenes.toString()}.`;
  const [words, own, passed, ended] = ['words', 'own.words', 'passed', 'ended'].map((name) =>
    textTopic(`${prefix}${name}`),
  );
  if (!words || !own || !passed || !ended) throw new Error('four topics');
  const seen = { name: `${prefix}seen`, codec: idBatchCodec(), spanMs: 24 * HOUR };
  await kafka.topics(PARTITIONS, [words.name, own.name, passed.name, ended.name, seen.name]);
  const stages: AnyStage[] = [
    stage(once, {
      from: { words: { all: [words, own], pick: () => words } },
      to: { passed },
      state: { seen },
    }),
    stage(refusing, { from: { passed }, to: { ended } }),
  ];
  const all = (topic: string) =>
    kafka.read(Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition })));
  return {
    words: words.name,
    own: own.name,
    seen,
    start: (): Task => {
      const task = testTask(
        stages,
        {},
        {
          client: kafka.client,
          groupId: `${prefix}group`,
          slot: 0,
          deadLetters: `${prefix}dead`,
          reader,
        },
      );
      running = { task, done: task.run() };
      return task;
    },
    write: (topic: string, partition: number, values: readonly string[]) =>
      kafka.write(
        values.map((value) => ({ topic, partition, key: 'k', value: Buffer.from(value) })),
      ),
    changelog: () => all(seen.name),
    ended: async (count: number): Promise<string[]> => {
      let found: string[] = [];
      await eventually(`${count.toString()} ends`, async () => {
        found = (await all(ended.name)).map(({ value }) => value?.toString() ?? '');
        return found.length >= count;
      });
      return found;
    },
  };
};

test('an id set comes back from its changelog: what passed before a restart does not pass again', async () => {
  const { start, write, words, own, ended, changelog, seen } = await scene();
  // Two source topics share the changelog: neither's ids are the other's.
  await write(words, 0, ['a', 'b']);
  await write(own, 0, ['a']);
  await write(words, 1, ['a']);
  start();
  expect((await ended(4)).sort()).toEqual(['a', 'a', 'a', 'b']);
  await stop();
  const keys = (await changelog()).map(({ key }) => key?.toString());
  expect(new Set(keys)).toEqual(new Set([`${words}|`, `${own}|`]));
  // An hour that ended a span ago is not restored, one within the span is.
  const id = createHash('sha256').update('c').digest().subarray(0, 16);
  const put = (partition: number, addedAt: number) => ({
    topic: seen.name,
    partition,
    key: `${words}|`,
    value: seen.codec.encode({ addedAt, ids: id }),
  });
  await kafka.write([put(0, Date.now() - 26 * HOUR), put(1, Date.now() - 23 * HOUR)]);
  await write(words, 0, ['a', 'b', 'c']);
  await write(own, 0, ['a', 'b']);
  await write(words, 1, ['c']);
  start();
  expect((await ended(10)).slice().sort()).toEqual(
    ['a', 'a', 'a', 'b', 'again a', 'again a', 'again b', 'again c', 'b', 'c'].sort(),
  );
});

test('one packed record a transaction and partition; what a later stage refused for now is not in it', async () => {
  const { start, write, words, ended, changelog, seen } = await scene();
  await write(words, 0, ['a', 'b!', 'c']);
  start();
  expect(await ended(3)).toEqual(['a', 'refused b!', 'c']);
  const written = await changelog();
  const sizes = written.map(({ value }) => value && seen.codec.decode(value).ids.length / 16);
  expect(sizes.reduce((sum, one) => (sum ?? 0) + (one ?? 0), 0)).toBe(2);
  expect(written.length).toBeLessThanOrEqual(2);
  await write(words, 0, ['b', 'b', 'a']);
  expect((await ended(6)).slice(3)).toEqual(['b', 'again b', 'again a']);
});

test('rule 5: ids of an aborted transaction are gone when its batch is decided again', async () => {
  const { start, write, words, ended } = await scene();
  const task = start();
  await eventually('an assignment', () => task.partitions.length === 2 * PARTITIONS);
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
  await write(words, 0, ['a', 'a']);
  expect(await ended(2)).toEqual(['a', 'again a']);
  expect(refusals).toBeLessThan(0);
});
