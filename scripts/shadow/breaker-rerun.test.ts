import { expect, test } from 'vitest';
import type { ChannelWindow } from '../../schemas/generated/records.js';
import { TEST_CONFIG } from '../../topologies/testing/fixtures.js';
import { rerunBreaker } from './breaker-rerun.js';
import { tableOfBusiness } from './configuration.js';
import { closedWindow } from './fixtures.js';
import { LevelTimeline } from './levels.js';

const MINUTE_MS = 60_000;
const START = Date.UTC(2026, 0, 31);

/** A window of one minute, closed at its end. */
const closed = (minute: number, attempts: number, failed: number): ChannelWindow => {
  const windowStart = START + minute * MINUTE_MS;
  const named = { channel: 'sms', provider: 'first', windowStart, windowMs: MINUTE_MS };
  return closedWindow({ ...named, closedAt: windowStart + MINUTE_MS }, attempts, failed);
};

/** Good, 10 % bad for two minutes, good again. */
const WINDOWS = [0, 50, 50, 0, 0, 0].map((failed, minute) => closed(minute, 500, failed));
const UNTIL = START + 7 * MINUTE_MS;

const under = (level1: Partial<typeof TEST_CONFIG.breaker.level1>) =>
  rerunBreaker(
    WINDOWS,
    [],
    tableOfBusiness({
      ...TEST_CONFIG,
      breaker: { ...TEST_CONFIG.breaker, level1: { ...TEST_CONFIG.breaker.level1, ...level1 } },
    }),
    UNTIL,
  );

test('the breaker over the same windows: lowered where its threshold says so, in the windows’ own time', () => {
  // Above 8 % in minutes 1 and 2, each halves the rate as it closes; three good ones double it.
  expect(under({}).map(({ at, rateFactor }) => [(at - START) / MINUTE_MS, rateFactor])).toEqual([
    [2, 0.5],
    [3, 0.25],
    [6, 0.5],
  ]);
  expect(under({ tripErrorRate: 0.2 })).toEqual([]);
});

test('a timeline knows the level at each time, and how long a scope was lowered', () => {
  const timeline = new LevelTimeline(under({}));
  const scope = 'channel/sms/first';
  expect(timeline.at(START + MINUTE_MS).get(scope)).toBeUndefined();
  expect(timeline.at(START + 2 * MINUTE_MS).get(scope)?.rateFactor).toBe(0.5);
  expect(timeline.at(START + 5 * MINUTE_MS).get(scope)?.rateFactor).toBe(0.25);
  expect(timeline.summary(START, UNTIL)).toEqual([
    { scope, changes: 3, loweredMs: 5 * MINUTE_MS, lowestRateFactor: 0.25 },
  ]);
  // Lowered before the time that is looked at: it counts from its beginning.
  expect(timeline.summary(START + 4 * MINUTE_MS, START + 5 * MINUTE_MS)).toEqual([
    { scope, changes: 0, loweredMs: MINUTE_MS, lowestRateFactor: 0.25 },
  ]);
});
