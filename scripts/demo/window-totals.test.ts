import { expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import type { StoredWindow } from '../../sinks/influx/read-windows.js';
import type { Decoded } from '../read/decoded.js';
import { WindowTotals } from './window-totals.js';

const feedback = (
  id: string,
  state: DeliveryFeedback['state'],
  attempt: number,
  sequence: number,
  kind: 'none' | 'post' | 'reverse' = 'none',
): Decoded =>
  ({
    decoded: {
      is: 'DeliveryFeedback',
      value: {
        tenantId: tenantId('t'),
        messageId: messageId(id),
        generation: 0,
        attempt,
        sequence,
        state,
        class: null,
        settlement: { kind, cashMicros: 45n, units: 1, currency: 'CNY', leaseId: null },
      } as DeliveryFeedback,
    },
  }) as Decoded;
const totals = () => {
  const made = new WindowTotals();
  for (const one of [
    feedback('a', 'failed', 1, 1),
    feedback('a', 'accepted', 2, 2, 'post'),
    feedback('a', 'delivered', 2, 3),
    feedback('b', 'accepted', 1, 1, 'post'),
    feedback('b', 'failed', 1, 2, 'reverse'),
  ])
    made.observe(one);
  return made;
};
const window = (more: Partial<StoredWindow>) =>
  ({
    attempts: 0,
    messages: 0,
    accepted: 0,
    delivered: 0,
    cost_micros: 0,
    ...more,
  }) as StoredWindow;
const early = window({ attempts: 3, messages: 2, accepted: 2, cost_micros: 45 });

test('windows that add up to what was seen agree', () => {
  expect(totals().disagreements([early, window({ delivered: 1 })])).toEqual([]);
});

test('a window that has not closed yet is missed, although all messages are counted', () => {
  expect(totals().disagreements([early])).toEqual([
    'windows in InfluxDB add up to 0 delivered, the reader saw 1',
  ]);
});
