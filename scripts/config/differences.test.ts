import fc from 'fast-check';
import { expect, test } from 'vitest';
import { differences } from './differences.js';

test('a value that equals itself has no differences', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(differences(value, structuredClone(value))).toEqual([]);
    }),
  );
});

test('list items are compared by name, so that one inserted before them changes none', () => {
  const before = [{ name: 'b', price: '1' }];
  const after = [
    { name: 'a', price: '9' },
    { name: 'b', price: '2' },
  ];
  expect(differences(before, after, 'channels')).toEqual([
    { path: 'channels[b].price', before: '1', after: '2' },
    { path: 'channels[a]', before: undefined, after: { name: 'a', price: '9' } },
  ]);
});

test('what comes and goes is a difference with one side', () => {
  expect(differences({ a: 1, b: 2 }, { b: 2, c: [1] })).toEqual([
    { path: 'a', before: 1, after: undefined },
    { path: 'c', before: undefined, after: [1] },
  ]);
});
