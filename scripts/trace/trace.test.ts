import { describe, expect, test } from 'vitest';
import { inOrder } from './events.js';
import type { TraceEvent } from './events.js';
import { masked } from './mask.js';

describe('personal data', () => {
  test('is masked wherever it is embedded, and nothing else is', () => {
    const record = {
      deduped: {
        request: {
          messageId: 'm',
          recipient: {
            userId: 'customer-4711',
            phone: '13812345678',
            pushTokens: ['token-123456'],
            tier: 'gold',
          },
          params: { code: '123456', name: 'Li' },
          labels: { source: 'shop' },
        },
      },
    };
    expect(masked(record)).toEqual({
      deduped: {
        request: {
          messageId: 'm',
          recipient: {
            userId: 'cus****11',
            phone: '138****78',
            pushTokens: ['tok****56'],
            tier: 'gold',
          },
          params: { code: '****', name: '****' },
          labels: { source: 'shop' },
        },
      },
    });
  });

  test('leaves money and nulls as they are', () => {
    expect(masked({ cashMicros: 5n, phone: null, at: 1 })).toEqual({
      cashMicros: 5n,
      phone: null,
      at: 1,
    });
  });
});

test('events are told by time, and within a millisecond in the order of the pipeline', () => {
  const event = (at: number, what: string): TraceEvent => ({
    at,
    what,
    where: { table: 't' },
    summary: '',
    detail: null,
  });
  const told = inOrder([
    event(2, 'feedback'),
    event(2, 'receipts'),
    event(1, 'routed.sms.p0'),
    event(1, 'ingest.p0'),
    event(1, 'ledger'),
    event(1, 'reserved.p0'),
  ]);
  expect(told.map(({ what }) => what)).toEqual([
    'ingest.p0',
    'reserved.p0',
    'routed.sms.p0',
    'ledger',
    'receipts',
    'feedback',
  ]);
});
