import { expect, test } from 'vitest';
import { KINDS, plan } from './plan.js';
import { FAMILIES } from './scene.js';

const first = (seed: number, count: number): string[][] =>
  plan(seed, KINDS).map((track) =>
    Array.from({ length: count }, () => {
      const { number, kind, random } = track.next();
      return `${number} ${kind.name} ${random.next()}`;
    }),
  );

test('the same seed gives the same faults, with the same dice, in the same order; another seed does not', () => {
  expect(first(7, 60)).toEqual(first(7, 60));
  expect(first(7, 60)).not.toEqual(first(8, 60));
});

test('every kind comes once before any comes twice', () => {
  const sizes = [['crash', 'rebalance'], ['broker', 'network'], ['dependency']].map(
    (families) => KINDS.filter(({ family }) => families.includes(family)).length,
  );
  const seen = plan(3, KINDS).flatMap((track, index) =>
    Array.from({ length: sizes[index] ?? 0 }, () => track.next().kind.name),
  );
  expect(new Set(seen)).toEqual(new Set(KINDS.map(({ name }) => name)));
});

test('every family has faults, and names tell all kinds apart', () => {
  expect(new Set(KINDS.map(({ family }) => family))).toEqual(new Set(FAMILIES));
  expect(new Set(KINDS.map(({ name }) => name)).size).toBe(KINDS.length);
});
