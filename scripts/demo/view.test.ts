import { expect, test } from 'vitest';
import type { BreakerLevel } from '../../schemas/generated/records.js';
import type { Snapshot } from './snapshot.js';
import { line, screen } from './view.js';
import { figuresOf } from './worker.js';

const snapshot: Snapshot = {
  seconds: 12,
  phase: 'traffic',
  messages: 100,
  states: {
    produced: 50,
    accepted: 10,
    delivered: 20,
    failed: 1,
    refused: { duplicate: 2 },
    deadLetters: 1,
    parked: 1,
    held: 0,
    inFlight: 5,
    unseen: 10,
  },
  channels: [{ name: 'sms', attempts: 200, errors: 20 }],
  levels: [{ scope: 'channel/sms/aliyun-sms', level: 1, rateFactor: 0.5 } as BreakerLevel],
  figures: figuresOf(
    [
      'millrace_records_in_total{task="intake.p0",stage="dedupe"} 30',
      'millrace_records_in_total{task="intake.p3",stage="dedupe"} 12',
      'millrace_lag_records{task="intake.p3",topic="x",partition="0"} 7',
      'millrace_lag_records{task="send.p3.1",topic="y",partition="1"} 2',
      'millrace_lag_records{task="settle",topic="z",partition="1"} 4',
    ].join('\n'),
  ),
  rates: new Map([['dedupe', 42]]),
  cash: { granted: 3_000_000n, available: 2_000_000n, pending: 0n, posted: 1_000_000n },
};

test("a worker's figures are added up by stage and lane", () => {
  expect(snapshot.figures?.taken.get('dedupe')).toBe(42);
  expect([...(snapshot.figures?.waiting ?? [])]).toEqual([
    ['p3', 9],
    ['all', 4],
  ]);
});

test('the screen shows rates, lanes, error rates, levels and budgets', () => {
  const shown = screen(snapshot);
  for (const part of [
    '50 of 100',
    'dedupe',
    '42',
    'p3',
    '9',
    '10.0 %',
    'level 1, rate 50 %',
    'posted 1.00',
  ])
    expect(shown).toContain(part);
});

test('a line says what has ended and what is on its way', () => {
  expect(line(snapshot)).toContain('ended 35  on their way 15');
});
