import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import type { AnyRecord } from '../topology.js';
import { gatherAll } from './gather.js';

const recordsOf = (count: number): AnyRecord[] =>
  Array.from({ length: count }, (_, offset) => ({
    at: { topic: 'words', partition: 0, offset },
    from: 'words',
    key: null,
    value: offset,
    timestamp: 0,
    headers: {},
    size: 1,
  }));
const GIVEN = { ports: {}, view: { now: 0, tables: {}, stateOf: () => ({}) } };

/** A dependency that refuses a whole set for one row, and counts how often it was asked. */
const refusing = (poison: ReadonlySet<number>, error = new PipelineError('row_refused', 'row')) => {
  const asked: number[][] = [];
  return {
    asked,
    gather: (batch: readonly AnyRecord[]): Promise<readonly unknown[]> => {
      asked.push(batch.map(({ at }) => at.offset));
      return batch.some(({ at }) => poison.has(at.offset))
        ? Promise.reject(error)
        : Promise.resolve(batch.map(({ at }) => `fact ${at.offset.toString()}`));
    },
  };
};

test('whatever records poison a batch, each of the others gets its own fact, in a bounded number of calls', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 60 }),
      fc.uniqueArray(fc.nat(59), { maxLength: 60 }),
      async (count, culprits) => {
        const poison = new Set(culprits.filter((offset) => offset < count));
        const { gather, asked } = refusing(poison);
        const gathered = await gatherAll({ gather, ...GIVEN }, recordsOf(count));
        expect(gathered.map((one) => (one.kind === 'fact' ? one.fact : one.kind))).toEqual(
          recordsOf(count).map(({ at }) =>
            poison.has(at.offset) ? 'poison' : `fact ${at.offset.toString()}`,
          ),
        );
        expect(asked.length).toBeLessThanOrEqual(3 * count);
      },
    ),
  );
});

test('one culprit of 500 costs about twice the logarithm, and is itself tried again before it is given up', async () => {
  const { gather, asked } = refusing(new Set([123]));
  await gatherAll({ gather, ...GIVEN }, recordsOf(500));
  expect(asked.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(500)) + 2);
  expect(asked.filter((batch) => batch.length === 1 && batch[0] === 123)).toHaveLength(2);
});

test.each(['postgres_unavailable', 'postgres_refused'] as const)(
  "%s is no record's fault: nothing is halved, nobody is blamed",
  async (code) => {
    const error = new PipelineError(code, 'gone');
    const { gather, asked } = refusing(new Set([3]), error);
    await expect(gatherAll({ gather, ...GIVEN }, recordsOf(10))).rejects.toBe(error);
    expect(asked).toHaveLength(1);
  },
);

test('a dependency that goes away while a culprit is looked for is waited for as ever', async () => {
  const away = new PipelineError('postgres_unavailable', 'gone');
  let calls = 0;
  const gather = (): Promise<readonly unknown[]> => {
    calls += 1;
    return Promise.reject(calls === 1 ? new PipelineError('row_refused', 'row') : away);
  };
  await expect(gatherAll({ gather, ...GIVEN }, recordsOf(4))).rejects.toBe(away);
});

test('what is known of a record that cannot be gathered is asked for once, when it is given up', async () => {
  const { gather } = refusing(new Set([1, 3]));
  const last: number[] = [];
  const gatherFailed = ({ at }: AnyRecord): Promise<unknown> => {
    last.push(at.offset);
    return at.offset === 3
      ? Promise.reject(new PipelineError('row_refused', 'this too'))
      : Promise.resolve('it paid');
  };
  const gathered = await gatherAll({ gather, gatherFailed, ...GIVEN }, recordsOf(4));
  expect(last).toEqual([1, 3]);
  expect(gathered.map(({ fact }) => fact)).toEqual(['fact 0', 'it paid', 'fact 2', null]);
});

test('where what is known cannot be asked for now, the batch waits', async () => {
  const { gather } = refusing(new Set([1]));
  const away = new PipelineError('postgres_unavailable', 'gone');
  const gatherFailed = (): Promise<unknown> => Promise.reject(away);
  await expect(gatherAll({ gather, gatherFailed, ...GIVEN }, recordsOf(2))).rejects.toBe(away);
});

test('a passing defect alone does not bury a record', async () => {
  let calls = 0;
  const gather = (batch: readonly AnyRecord[]): Promise<readonly unknown[]> => {
    calls += 1;
    return calls === 1 ? Promise.reject(new Error('once')) : Promise.resolve(batch.map(() => 'f'));
  };
  expect(await gatherAll({ gather, ...GIVEN }, recordsOf(1))).toEqual([
    { kind: 'fact', fact: 'f' },
  ]);
});
