import { describe, expect, test } from 'vitest';
import type { DeliveryFeedback, SettlementKind } from '../../schemas/generated/records.js';
import { answer } from '../testing/feedback.js';
import { type Counts, countFeedback, isCounted, noCounts } from './counts.js';
import { errorRate } from './error-rate.js';

const settled = (kind: SettlementKind): DeliveryFeedback['settlement'] => ({
  kind,
  cashMicros: kind === 'none' ? 0n : 45_000n,
  units: kind === 'none' ? 0 : 2,
  currency: 'CNY',
  leaseId: null,
});

const feedback = (change: Partial<DeliveryFeedback>): DeliveryFeedback =>
  answer({ sequence: change.attempt ?? 1, settlement: settled('none'), occurredAt: 2, ...change });

const first = { attempts: 1, messages: 1 };
const posted = { costMicros: 45_000n, units: 2 };

describe('each shape of feedback counts once, where docs/analysts.md says', () => {
  const rows: readonly {
    readonly it: string;
    readonly of: Partial<DeliveryFeedback>;
    readonly counts: Partial<Counts>;
  }[] = [
    {
      it: 'an acceptance',
      of: { settlement: settled('post') },
      counts: { ...first, ...posted, accepted: 1 },
    },
    {
      it: 'a delivery at once',
      of: { state: 'delivered', settlement: settled('post') },
      counts: { ...first, ...posted, accepted: 1, delivered: 1 },
    },
    {
      it: 'a wrong number',
      of: { state: 'failed', class: 'recipient', settlement: settled('void') },
      counts: { ...first, failedRecipient: 1 },
    },
    {
      it: 'refused content',
      of: { state: 'failed', class: 'content' },
      counts: { ...first, failedContent: 1 },
    },
    {
      it: 'our account',
      of: { state: 'failed', class: 'account' },
      counts: { ...first, failedAccount: 1 },
    },
    {
      it: 'a failure that is retried',
      of: { state: 'failed', class: 'provider', terminal: false },
      counts: { ...first, failedProvider: 1 },
    },
    {
      it: 'a second attempt, which is no new message',
      of: { attempt: 2, settlement: settled('post') },
      counts: { ...posted, attempts: 1, accepted: 1 },
    },
    {
      it: 'a refusal for its rate',
      of: { state: 'failed', class: 'throttled', terminal: false },
      counts: { ...first, throttled: 1 },
    },
    {
      it: 'a held time-out',
      of: { state: 'held', class: 'timeout', terminal: false },
      counts: { ...first, timeout: 1 },
    },
    {
      it: 'a time-out that is tried again',
      of: { state: 'unknown', class: 'timeout', terminal: false },
      counts: { ...first, timeout: 1 },
    },
    {
      it: 'a claim that lost its answer',
      of: { state: 'held', class: 'unknown', terminal: false },
      counts: { ...first, unknown: 1 },
    },
    {
      it: 'a held attempt without a class',
      of: { state: 'held', class: null, terminal: false },
      counts: { ...first, unknown: 1 },
    },
    { it: 'what expired uncalled', of: { state: 'failed', class: 'expired' }, counts: {} },
    {
      it: 'a receipt of delivery',
      of: { sequence: 2, state: 'delivered' },
      counts: { delivered: 1 },
    },
    {
      it: 'a receipt of failure that pays back',
      of: {
        sequence: 2,
        state: 'failed',
        class: 'provider',
        settlement: settled('reverse'),
      },
      counts: { failedProvider: 1, reversed: 1, costMicros: -45_000n, units: -2 },
    },
    {
      it: 'a held attempt that was accepted after all',
      of: { sequence: 2, settlement: settled('post') },
      counts: { ...posted, accepted: 1 },
    },
    {
      it: 'the horizon of a time-out, which counts as a time-out no second time',
      of: { sequence: 2, state: 'unknown', class: 'timeout', settlement: settled('void') },
      counts: { unknown: 1 },
    },
    { it: 'a hold that goes on', of: { sequence: 2, state: 'held', class: 'timeout' }, counts: {} },
    {
      it: 'money without an attempt',
      of: { attempt: 0, sequence: 1, settlement: settled('post') },
      counts: posted,
    },
  ];

  test.each(rows)('$it', ({ of, counts }) => {
    const into = noCounts();
    countFeedback(into, feedback(of));
    expect(into).toEqual({ ...noCounts(), ...counts });
  });

  test('what has neither attempt nor money leaves no window behind', () => {
    expect(isCounted(feedback({ attempt: 0, settlement: settled('void') }))).toBe(false);
    expect(isCounted(feedback({ attempt: 0, settlement: settled('post') }))).toBe(true);
    expect(isCounted(feedback({}))).toBe(true);
  });
});

test('only what the provider is to blame for is an error, and only attempts are its denominator', () => {
  const counts = {
    ...noCounts(),
    attempts: 100,
    failedProvider: 3,
    timeout: 2,
    failedAccount: 1,
    failedRecipient: 40,
    failedContent: 10,
    throttled: 10,
    unknown: 10,
  };
  expect(errorRate(counts)).toBe(0.06);
  expect(errorRate({ ...counts, attempts: 0 })).toBe(0);
});
