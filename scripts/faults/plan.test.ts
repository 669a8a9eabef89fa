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
  const rounds = plan(3, KINDS).map((track) => {
    const seen: string[] = [];
    for (;;) {
      const { name } = track.next().kind;
      if (seen.includes(name)) return seen;
      seen.push(name);
    }
  });
  expect(rounds.flat().sort()).toEqual(KINDS.map(({ name }) => name).sort());
});

test('every family has faults, and names tell all kinds apart', () => {
  expect(new Set(KINDS.map(({ family }) => family))).toEqual(new Set(FAMILIES));
  expect(new Set(KINDS.map(({ name }) => name)).size).toBe(KINDS.length);
});

test('a rollback comes behind its upgrade, in every round and with every seed', () => {
  const workers = KINDS.filter(({ family }) => ['crash', 'rebalance', 'upgrade'].includes(family));
  for (let seed = 1; seed <= 50; seed += 1) {
    const [track] = plan(seed, workers);
    for (let round = 0; round < 3; round += 1) {
      const names = workers.map(() => track?.next().kind.name);
      expect(names.indexOf('upgrade')).toBeGreaterThanOrEqual(0);
      expect(names.indexOf('rollback')).toBeGreaterThan(names.indexOf('upgrade'));
    }
  }
});
