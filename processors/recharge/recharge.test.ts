import { expect, test } from 'vitest';
import { rechargeSchema } from '../../schemas/config.js';
import { type AccountSeen, type PastRecharge, recharges } from './recharge.js';

const NOW = Date.parse('2026-05-20T16:30:00Z');
const full = { share: 1, granted: 100n, available: 100n, pending: 0n, posted: 0n, perHour: 0n };
const account = (businessLine: string, share: number, accountId = 1): AccountSeen => ({
  accountId,
  tenantId: 'acme',
  businessLine,
  cash: { ...full, share },
  pv: full,
  seq: 4,
});
const rule = (name: string, when: string, more: object = {}) => ({
  name,
  tenant: 'acme',
  when,
  cash: '1',
  currency: 'CNY',
  dailyCap: { cash: '2' },
  coolDownMs: 3_600_000,
  approveAbove: {},
  ...more,
});
const decide = (rules: object[], accounts: AccountSeen[], past: PastRecharge[] = []) => {
  const { proposals, heldBack } = recharges(rechargeSchema.parse({ rules }))(NOW, accounts, past);
  return [
    ...proposals.map(({ rechargeId, rule: by }) => `${by}: ${rechargeId}`),
    ...heldBack.map(({ rule: by, why }) => `${by}: ${why}`),
  ];
};
const past = (at: string, state: PastRecharge['state'] = 'booked', by = 'low'): PastRecharge => ({
  accountId: 1,
  rule: by,
  cashMicros: 1_000_000n,
  units: 0n,
  proposedAt: Date.parse(at),
  state,
});

test('an account is recharged by the first rule that holds and may, each line of a tenant on its own', () => {
  const rules = [
    rule('empty', 'cash.share < 0.1'),
    rule('low', 'cash.share < 0.2'),
    rule('orders-only', 'true', { businessLine: 'orders' }),
    rule('other', 'true', { tenant: 'other' }),
  ];
  expect(
    decide(rules, [account('promo', 0.05), account('orders', 0.15, 2), account('alerts', 1, 3)]),
  ).toEqual(['empty: recharge/acme/promo/5', 'low: recharge/acme/orders/5']);
  expect(
    decide(rules, [account('promo', 0.05)], [past('2026-05-20T16:00Z', 'booked', 'empty')]),
  ).toEqual(['low: recharge/acme/promo/5', 'empty: cool_down']);
});

test.each([
  ['nothing before', [], 'low: recharge/acme/promo/5'],
  ['one within the cool-down', [past('2026-05-20T15:31Z')], 'low: cool_down'],
  ['one that was rejected within it', [past('2026-05-20T15:31Z', 'gone')], 'low: cool_down'],
  ['one as old as it', [past('2026-05-20T15:30Z')], 'low: recharge/acme/promo/5'],
  ['one that nobody decided, however old', [past('2026-01-01', 'undecided')], 'low: undecided'],
  ['another rule', [past('2026-05-20T16:29Z', 'booked', 'x')], 'low: recharge/acme/promo/5'],
  [
    'the cap of the day in UTC',
    [past('2026-05-20T00:00Z'), past('2026-05-20T08:00Z')],
    'low: daily_cap',
  ],
  [
    'one of them refused',
    [past('2026-05-20T00:00Z', 'gone'), past('2026-05-20T08:00Z')],
    'low: recharge/acme/promo/5',
  ],
  [
    'one of them yesterday',
    [past('2026-05-19T23:59:59Z'), past('2026-05-20T08:00Z')],
    'low: recharge/acme/promo/5',
  ],
])('after %s', (_, before, expected) => {
  expect(decide([rule('low', 'cash.share < 0.2')], [account('promo', 0.1)], before)).toEqual([
    expected,
  ]);
});

test("the day of the cap, hour and weekday are the rule's own time zone's", () => {
  // In Shanghai it is Thursday, half an hour after midnight.
  const zone = { timeZone: 'Asia/Shanghai' };
  const midnight = rule('low', 'hour == 0 && weekday == 4', zone);
  const before = [past('2026-05-20T15:00Z'), past('2026-05-20T08:00Z')];
  expect(decide([midnight], [account('promo', 1)], before)).toEqual(['low: recharge/acme/promo/5']);
});
