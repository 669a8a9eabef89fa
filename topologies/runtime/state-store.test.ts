import { expect, test } from 'vitest';
import { StagedStore } from './state-store.js';

const storeOf = (entries: Record<string, number>): StagedStore<number> => {
  const store = new StagedStore<number>();
  store.restore(new Map(Object.entries(entries)));
  return store;
};
const all = (store: StagedStore<number>) => Object.fromEntries(store.entries());

test('rule 5: staged changes show to later decisions of the batch, and an abort drops every one of them', () => {
  const store = storeOf({ a: 1, b: 2 });
  store.put('a', 10);
  store.put('b', null);
  store.put('c', 3);
  expect(all(store)).toEqual({ a: 10, c: 3 });
  expect([store.get('a'), store.get('b'), store.get('c')]).toEqual([10, undefined, 3]);
  store.drop();
  expect(all(store)).toEqual({ a: 1, b: 2 });
  expect([...store.changes]).toEqual([]);
});

test('rule 5: only a known commit makes staged changes lasting; the changelog gets the last of each key', () => {
  const store = storeOf({ a: 1 });
  store.put('a', 2);
  store.put('a', null);
  store.put('b', 5);
  expect([...store.changes]).toEqual([
    ['a', null],
    ['b', 5],
  ]);
  store.apply();
  expect(all(store)).toEqual({ b: 5 });
  expect([...store.changes]).toEqual([]);
});

test('a restore throws away what was staged together with what was held', () => {
  const store = storeOf({ a: 1 });
  store.put('b', 2);
  store.restore(new Map([['c', 3]]));
  expect(all(store)).toEqual({ c: 3 });
  store.apply();
  expect(all(store)).toEqual({ c: 3 });
});
