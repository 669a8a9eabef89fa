import { expect, test } from 'vitest';
import type { PartitionSlice } from '../../schemas/record.js';
import { portions } from './portions.js';

const slice = (partition: number, start: number, ...weights: number[]): PartitionSlice<number> => ({
  topic: 't',
  partition,
  start,
  // Two markers at the end.
  next: start + weights.length + 2,
  records: weights.map((value, index) => ({
    at: { topic: 't', partition, offset: start + index },
    key: null,
    value,
    timestamp: 0,
    headers: {},
    size: 1,
  })),
});

const cut = (slices: readonly PartitionSlice<number>[], most: number) =>
  [...portions(slices, (value) => value, most)].map((portion) =>
    portion.map(
      ({ partition, start, next, records }) =>
        `${String(partition)}: ${String(start)} to ${String(next)} (${records.map(({ value }) => value).join(' ')})`,
    ),
  );

test('what is little stays as it is, an empty slice too', () => {
  expect(cut([slice(0, 5, 1, 1), slice(1, 9)], 10)).toEqual([['0: 5 to 9 (1 1)', '1: 9 to 11 ()']]);
});

test('what is more is cut between records, and each portion begins where the last one ended', () => {
  expect(cut([slice(0, 5, 4, 4, 4, 4), slice(1, 20, 4, 1)], 10)).toEqual([
    ['0: 5 to 7 (4 4)'],
    ['0: 7 to 11 (4 4)'],
    ['1: 20 to 24 (4 1)'],
  ]);
});

test('a record that is more by itself is a portion by itself', () => {
  expect(cut([slice(0, 0, 1, 99, 1)], 10)).toEqual([
    ['0: 0 to 1 (1)'],
    ['0: 1 to 2 (99)'],
    ['0: 2 to 5 (1)'],
  ]);
});

test('nothing is no portion', () => {
  expect(cut([], 10)).toEqual([]);
});
