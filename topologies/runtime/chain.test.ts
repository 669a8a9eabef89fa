import { expect, test } from 'vitest';
import type { Contract, Processor } from '../../processors/processor.js';
import { PipelineError } from '../../schemas/error.js';
import type { Topic, TopicFamily } from '../../schemas/record.js';
import { textTopic } from '../testing/text-topic.js';
import { type AnyStage, stage } from '../topology.js';
import { changelogsOf, chainStages, inputTopics } from './chain-stages.js';
import { ChainRun, Shard } from './chain.js';
import type { RawRecord } from './raw-record.js';

const words = textTopic('words');
const upper = textTopic('upper');
const loud = textTopic('loud');
const refused = textTopic('refused');
const seen = textTopic('seen');

interface Upper extends Contract {
  readonly from: { readonly words: string };
  readonly to: { readonly upper: string; readonly refused: string };
  readonly state: { readonly seen: string };
}
const upperCase: Processor<Upper> = {
  name: 'upper',
  gather: null,
  decide: ({ value }, _fact, { state }) => {
    if (value === 'poison') throw new Error('cannot decide this');
    if (value === 'away') throw new PipelineError('postgres_unavailable', 'gone');
    return {
      emit: [{ to: 'upper', value: value.toUpperCase() }],
      put: [{ to: 'seen', key: value, value: String(Number(state.seen.get(value) ?? '0') + 1) }],
    };
  },
  failed: ({ value }) => ({ emit: [{ to: 'refused', value: `refused ${value}` }] }),
};

interface Loud extends Contract {
  readonly from: { readonly upper: string };
  readonly to: { readonly loud: string };
}
const shout: Processor<Loud> = {
  name: 'shout',
  gather: null,
  decide: ({ value }) => ({ emit: [{ to: 'loud', value: `${value}!` }] }),
};

/** Encodes no word with an X, like a value that does not fit its schema. */
const strict: Topic<string> = {
  name: 'upper',
  codec: {
    decode: upper.codec.decode,
    encode: (value) => {
      if (value.includes('X')) throw new PipelineError('unencodable', 'an X does not fit');
      return upper.codec.encode(value);
    },
  },
};

const two = (into: Topic<string> | TopicFamily<string> = upper): AnyStage[] => [
  stage(upperCase, { from: { words }, to: { upper: into, refused }, state: { seen } }),
  stage(shout, { from: { upper }, to: { loud } }),
];
const silent = (): undefined => undefined;

const runOf = (definitions: readonly AnyStage[]) => {
  const stages = chainStages(definitions, {}, () => new Map());
  const run = new ChainRun({
    stages,
    changelogs: changelogsOf(definitions),
    deadLetters: 'dead',
    now: () => 1_000,
    metrics: { recordsIn: silent, recordsOut: silent, deadLetters: silent, custom: silent },
  });
  return { run, shard: new Shard('words', 0, stages) };
};
const inputs = (shard: Shard, values: readonly string[], headers: RawRecord['headers'] = {}) =>
  values.map((value, offset) => ({
    shard,
    input: {
      value,
      raw: {
        at: { topic: 'words', partition: 0, offset },
        key: Buffer.from('key'),
        value: Buffer.from(value),
        timestamp: 0,
        headers,
      },
    },
  }));
const written = (run: ChainRun) =>
  run.writes.map(({ topic, value }) => `${topic} ${value?.toString() ?? ''}`);

test('a chained stage takes what the one before emits, and every hop is written', async () => {
  const { run, shard } = runOf(two());
  await run.run(inputs(shard, ['a', 'b'], { traceparent: Buffer.from('00-1') }));
  run.finish();
  expect(written(run)).toEqual(['upper A', 'upper B', 'loud A!', 'loud B!', 'seen 1', 'seen 1']);
  expect(run.writes[2]).toMatchObject({ key: Buffer.from('key') });
  expect(run.writes[2]?.headers?.['traceparent']?.toString()).toBe('00-1');
});

test('only the first stage of a chain is read from Kafka: what it hands over is not read back', () => {
  expect([...inputTopics(two()).keys()]).toEqual(['words']);
});

test('a record that cannot be decided is buried with its refusal, and the batch goes on', async () => {
  const { run, shard } = runOf(two());
  await run.run(inputs(shard, ['a', 'poison', 'b']));
  expect(written(run)).toEqual([
    'upper A',
    'dead poison',
    'refused refused poison',
    'upper B',
    'loud A!',
    'loud B!',
  ]);
});

test('an output that does not fit its schema buries its record alone: nothing of it is staged', async () => {
  const { run, shard } = runOf(two(strict));
  await run.run(inputs(shard, ['a', 'x', 'b']));
  run.finish();
  expect(written(run)).toEqual([
    'upper A',
    'dead x',
    'refused refused x',
    'upper B',
    'loud A!',
    'loud B!',
    'seen 1',
    'seen 1',
  ]);
});

test('an output that its family has no topic for buries its record, and stops nobody', async () => {
  const family: TopicFamily<string> = {
    all: [upper],
    pick: (value) => {
      if (value === 'X') throw new PipelineError('undecidable', 'no topic for X');
      return upper;
    },
  };
  const { run, shard } = runOf(two(family));
  await run.run(inputs(shard, ['x', 'a']));
  expect(written(run)).toEqual(['dead x', 'refused refused x', 'upper A', 'loud A!']);
});

test('a dependency that is away is the caller’s to wait for: it makes no dead letter', async () => {
  const { run, shard } = runOf(two());
  await expect(run.run(inputs(shard, ['away']))).rejects.toMatchObject({ verdict: 'retry' });
  expect(run.writes).toEqual([]);
});

test('rule 5: the batch sees its own earlier puts, and memory does not change before the commit', async () => {
  const { run, shard } = runOf(two());
  await run.run(inputs(shard, ['a', 'a']));
  run.finish();
  const store = shard.stores.get('upper')?.['seen'];
  if (store?.kind !== 'map') throw new Error('its state is a map');
  expect(store.get('a')).toBe('2');
  expect(store.size).toBe(0);
  expect(written(run).at(-1)).toBe('seen 2');
  store.drop();
  expect(store.get('a')).toBeUndefined();
});

test('records without a key are counted once their transaction has committed', async () => {
  const { run, shard } = runOf(two());
  const [keyed, keyless] = inputs(shard, ['a', 'b']);
  if (keyed === undefined || keyless === undefined) throw new Error('two inputs were asked for');
  const { input } = keyless;
  await run.run([keyed, { shard, input: { ...input, raw: { ...input.raw, key: null } } }]);
  const counted: unknown[] = [];
  run.report({
    recordsIn: silent,
    recordsOut: silent,
    deadLetters: silent,
    custom: (...event) => counted.push(event),
  });
  expect(counted).toEqual([['upper', 'null_key', 1]]);
});
