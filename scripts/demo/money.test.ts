import { expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback, SettlementKind } from '../../schemas/generated/records.js';
import type { Decoded } from '../read/decoded.js';
import { Bookings } from './money.js';

const event = (kind: SettlementKind, cashMicros: bigint, units: number): Decoded =>
  ({
    decoded: {
      is: 'DeliveryFeedback',
      value: {
        tenantId: tenantId('t'),
        businessLine: 'b',
        settlement: { kind, cashMicros, units, currency: 'CNY', leaseId: null },
      } as DeliveryFeedback,
    },
  }) as Decoded;

const account = (posted: bigint, units: bigint, pending = 0n) => ({
  tenantId: 't',
  businessLine: 'b',
  cash: { granted: 100n, available: 100n - posted - pending, pending, posted },
  pv: { granted: 10n, available: 10n - units, pending: 0n, posted: units },
});

const bookings = () => {
  const made = new Bookings();
  for (const one of [
    event('post', 30n, 3),
    event('post', 20n, 2),
    event('reverse', 20n, 2),
    event('void', 99n, 9),
    event('none', 0n, 0),
  ])
    made.observe(one);
  return made;
};

test('posts less reversals is what the ledger must show', () => {
  expect(bookings().disagreements([account(30n, 3n)])).toEqual([]);
  expect(bookings().disagreements([account(31n, 3n)])).toHaveLength(1);
  expect(bookings().disagreements([account(30n, 5n)])).toHaveLength(1);
});

test('an account whose counters do not add up is named', () => {
  const broken = account(30n, 3n);
  expect(
    bookings().disagreements([{ ...broken, cash: { ...broken.cash, granted: 101n } }]),
  ).toEqual(['t/b: its counters do not add up']);
  expect(
    bookings().disagreements([
      { ...broken, cash: { ...broken.cash, available: 71n, pending: -1n } },
    ]),
  ).toEqual(['t/b: its counters do not add up']);
});
