import { describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type {
  DeliveryFeedback,
  MessageRefused,
  Settlement,
} from '../../schemas/generated/records.js';
import type { Headers } from '../../schemas/record.js';
import { SPEND_HEADER, type Spend, spendHeaders } from '../budget-reserve/spend.js';
import { postingOf, postingSlice } from './postings.js';

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

describe('what `reserved` says of leases', () => {
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
    at: { topic: 'ingest.p1', partition: 2, offset: 77 },
  };
  const slice = (headers: Headers) =>
    postingSlice({
      topic: 'reserved.p1',
      partition: 0,
      start: 5,
      next: 6,
      records: [
        {
          at: { topic: 'reserved.p1', partition: 0, offset: 5 },
          key: null,
          value: null,
          timestamp: 1_234,
          headers,
          size: 0,
        },
      ],
    });

  test('its header is the spend, whole', () => {
    expect(slice(spendHeaders(spend))).toMatchObject({
      postings: [],
      spends: [spend],
      passed: 1_234,
    });
  });

  test('without it nothing was spent: the message was reserved directly', () => {
    expect(slice({})).toMatchObject({ postings: [], spends: [] });
  });

  test.each([
    ['no JSON', '{'],
    ['a part missing', '{"spend":"1.2"}'],
    ['no lease of ours', JSON.stringify({ ...JSON.parse(text(spend)), spend: 'x' })],
    ['a negative amount', JSON.stringify({ ...JSON.parse(text(spend)), cashMicros: '-1' })],
  ])('%s is an error that names the header', (_, value) => {
    expect(() => slice({ [SPEND_HEADER]: Buffer.from(value) })).toThrow(/millrace-spend/);
  });

  function text(of: Spend): string {
    return spendHeaders(of)[SPEND_HEADER]?.toString() ?? '';
  }
});
