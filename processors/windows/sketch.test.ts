import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Sketch,
  emptySketch,
  mergeSketch,
  observe,
  openSketch,
  packSketch,
  quantiles,
} from './sketch.js';

const durations = fc.array(fc.integer({ min: 0, max: 3_600_000 }), {
  minLength: 1,
  maxLength: 300,
});

const sketchOf = (values: readonly number[]): Sketch => {
  const sketch = emptySketch();
  for (const value of values) observe(sketch, value);
  return sketch;
};

test('merged parts are the whole, whichever way it was cut', () => {
  fc.assert(
    fc.property(durations, fc.integer({ min: 1, max: 7 }), (values, parts) => {
      const merged = emptySketch();
      for (let part = 0; part < parts; part++)
        mergeSketch(merged, sketchOf(values.filter((_, index) => index % parts === part)));
      expect(merged).toEqual(sketchOf(values));
    }),
  );
});

test('a quantile is within 1 % of the value at its rank, and never above the largest', () => {
  fc.assert(
    fc.property(durations, fc.constantFrom(0.5, 0.95, 0.99), (values, share) => {
      const sorted = values.toSorted((a, b) => a - b);
      const exact = sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
      const [found = Number.NaN] = quantiles(sketchOf(values), [share]);
      expect(Math.abs(found - exact)).toBeLessThanOrEqual(exact * 0.0101);
      expect(found).toBeLessThanOrEqual(sorted.at(-1) ?? 0);
    }),
  );
});

test('an empty sketch answers 0, and a clock that ran back counts as 0', () => {
  expect(quantiles(emptySketch(), [0.5, 0.99])).toEqual([0, 0]);
  const sketch = sketchOf([-5]);
  expect(sketch).toEqual({ keys: [], counts: [], zeros: 1, max: 0 });
  expect(quantiles(sketch, [0.99])).toEqual([0]);
});

test('a copy shares nothing with its original', () => {
  const original = sketchOf([10, 20]);
  const copy = openSketch(original);
  observe(copy, 10);
  observe(copy, 5_000);
  expect(original).toEqual(sketchOf([10, 20]));
});

test('a packed sketch is the same sketch', () => {
  fc.assert(
    fc.property(durations, (values) => {
      const sketch = sketchOf(values);
      expect(openSketch(packSketch(sketch))).toEqual(sketch);
    }),
  );
  expect(openSketch(packSketch(emptySketch()))).toEqual(emptySketch());
});
