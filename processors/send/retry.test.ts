import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NOW, routed } from './fixtures.js';
import { delayAtLeast, putBack, RETRY_DELAYS_MS, retryDelay, retryDelayOf } from './retry.js';

const LONG = 72 * 3_600_000;

test.each([
  { tries: 1, retryAfter: null, left: LONG, delay: 5_000 },
  { tries: 2, retryAfter: null, left: LONG, delay: 30_000 },
  { tries: 3, retryAfter: null, left: LONG, delay: 120_000 },
  { tries: 4, retryAfter: null, left: LONG, delay: 600_000 },
  { tries: 9, retryAfter: null, left: LONG, delay: 600_000 },
  { tries: 1, retryAfter: 0, left: LONG, delay: 5_000 },
  { tries: 1, retryAfter: 6_000, left: LONG, delay: 30_000 },
  { tries: 3, retryAfter: 6_000, left: LONG, delay: 120_000 },
  { tries: 1, retryAfter: 3_600_000, left: LONG, delay: 600_000 },
  // shortened to fit before it expires, but never below what the provider asked for
  { tries: 4, retryAfter: null, left: 40_000, delay: 30_000 },
  { tries: 2, retryAfter: null, left: 5_001, delay: 5_000 },
  { tries: 2, retryAfter: null, left: 5_000, delay: null },
  { tries: 2, retryAfter: 6_000, left: 20_000, delay: null },
])('after try $tries, asked to wait $retryAfter, with $left left: $delay', (row) => {
  expect(retryDelay(row.tries, row.retryAfter, row.left)).toBe(row.delay);
});

test('a record that was put back always finds its topic again, by its own fields', () => {
  fc.assert(
    fc.property(fc.constantFrom(...RETRY_DELAYS_MS), fc.nat(1e9), (delayMs, later) => {
      expect(retryDelayOf(putBack(routed(), delayMs, NOW + later))).toBe(delayMs);
    }),
  );
});

test('the longest delay serves whatever is longer', () => {
  expect(delayAtLeast(1e9)).toBe(600_000);
  expect(delayAtLeast(0)).toBe(5_000);
});
