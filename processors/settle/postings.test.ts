import { expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type {
  DeliveryFeedback,
  MessageRefused,
  Settlement,
} from '../../schemas/generated/records.js';
import type { Spend, SpendBatch } from '../budget-reserve/spend.js';
import { postingOf, postingSlice, weightOf } from './postings.js';

const settlement = (kind: Settlement['kind'], leaseId: string | null = null): Settlement => ({
  kind,
  cashMicros: 45_000n,
  units: 2,
  currency: 'CNY',
  leaseId,
});

const shared = {
  messageId: messageId('0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c'),
  tenantId: tenantId('acme'),
  generation: 1,
  createdAt: 1_000,
};

const feedback = (kind: Settlement['kind'], leaseId: string | null = null) =>
  ({ ...shared, state: 'accepted', settlement: settlement(kind, leaseId) }) as DeliveryFeedback;

const refused = (kind: Settlement['kind'], change: Partial<MessageRefused> = {}) =>
  ({
    ...shared,
    reason: 'no_channel',
    retryable: true,
    settlement: settlement(kind),
    ...change,
  }) as MessageRefused;

const amounts = { cashMicros: 45_000n, units: 2 };

test.each([
  ['post', feedback('post'), { kind: 'post', ...shared, ...amounts, renewable: false }],
  [
    'post, with the channel that was used',
    { ...feedback('post'), channel: 'sms' },
    { kind: 'post', ...shared, ...amounts, renewable: false, channel: 'sms' },
  ],
  ['reverse', feedback('reverse'), { kind: 'reverse', ...shared, ...amounts, renewable: false }],
  ['void by send', feedback('void'), { kind: 'void', ...shared, ...amounts, renewable: false }],
  ['none', feedback('none'), null],
  [
    'void by a retryable refusal',
    refused('void'),
    { kind: 'void', ...shared, ...amounts, renewable: true },
  ],
  [
    'void by a final refusal',
    refused('void', { retryable: false }),
    { kind: 'void', ...shared, ...amounts, renewable: false },
  ],
  ['a refusal before money', refused('none'), null],
  ['a refusal of what never had an id', refused('void', { messageId: null }), null],
  [
    'what a lease paid for, by its spend',
    feedback('post', '17.4'),
    {
      kind: 'post',
      ...shared,
      ...amounts,
      renewable: false,
      spend: { lease: 17, number: 4 },
    },
  ],
])('%s', (_, event, expected) => {
  expect(postingOf(event)).toEqual(expected);
});

test("a slice keeps its offsets and its postings' order", () => {
  const record = (value: DeliveryFeedback, offset: number) => ({
    at: { topic: 'feedback', partition: 3, offset },
    key: null,
    value,
    timestamp: 0,
    headers: {},
    size: 1,
  });
  const slice = { topic: 'feedback', partition: 3, start: 10, next: 14 };
  const records = [feedback('post'), feedback('none'), feedback('reverse')].map(record);
  const { postings, spends, passed, ...offsets } = postingSlice({ ...slice, records });
  expect(offsets).toEqual(slice);
  expect(spends).toEqual([]);
  expect(passed).toBe(0);
  expect(postings.map(({ kind }) => kind)).toEqual(['post', 'reverse']);
});

test('a record of spends is work as many as they are', () => {
  const spend: Spend = {
    lease: 3,
    number: 12,
    tenantId: tenantId('acme'),
    messageId: messageId('0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c'),
    generation: 0,
    createdAt: 1_000,
    expiresAt: 2_000,
    cashMicros: 80_000n,
    units: 2,
    cashCapMicros: null,
    unitsCap: 5,
    offset: 77,
  };
  const source = { topic: 'ingest.p1', partition: 2 };
  const value: SpendBatch = { source, spends: [spend, { ...spend, number: 13, offset: 78 }] };
  const at = { topic: 'internal.spends.p1', partition: 2, offset: 5 };
  const record = { at, key: null, value, timestamp: 1_234, headers: {}, size: 0 };
  const slice = postingSlice({ ...at, start: 5, next: 6, records: [record] });
  expect(slice).toMatchObject({ postings: [], spends: [value], passed: 1_234 });
  expect(weightOf(value)).toBe(2);
});
