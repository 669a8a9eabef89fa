import { expect, test } from 'vitest';
import { type Holding, grown } from './growth.js';

const looks = (...descriptors: readonly number[]): readonly Holding[] =>
  descriptors.map((count) => ({ descriptors: count, memoryMib: 300 }));

test('a worker that holds ever more is found', () => {
  expect(grown(looks(300, 400, 500, 600, 700, 801, 900, 1_000))).toEqual([
    '600 descriptors, then 801 and more',
  ]);
});

test('one that has just been started, or has clients renewed for a while, is not', () => {
  expect(grown(looks(90, 475, 480, 480))).toEqual([]);
  expect(grown(looks(90, 475, 480, 480, 900, 500, 900))).toEqual([]);
  expect(grown(looks(90, 475, 700, 700, 800, 850, 890))).toEqual([]);
});
