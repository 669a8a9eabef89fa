import { describe, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import { type Payable, planLeases } from './lease-plan.js';
import {
  DIRECT_MS,
  type LeaseAnswer,
  type LeaseAsk,
  type LeaseState,
  NO_LEASE,
  givenUp,
  wanted,
  withGrant,
} from './leases.js';

const NOW = 1_000_000;

const held = (over: Partial<LeaseState> = {}): LeaseState => ({
  ...NO_LEASE,
  lease: 7,
  grantNo: 3,
  cashMicros: 250n,
  units: 10,
  granted: { cashMicros: 400n, units: 20, at: NOW - 6_000 },
  ...over,
});

/** 100 micros and one unit of acme's promo, on partition 0. */
const payable = (over: Partial<Payable> = {}): Payable => ({
  source: { topic: 'ingest.p1', partition: 0 },
  tenantId: tenantId('acme'),
  businessLine: 'promo',
  currency: 'CNY',
  cashMicros: 100n,
  units: 1,
  recalled: false,
  state: held(),
  ...over,
});

const planned = async (batch: readonly Payable[], answers: readonly LeaseAnswer[] = []) => {
  const asks: LeaseAsk[] = [];
  const plans = await planLeases(
    batch,
    {
      grant: (asked) => {
        asks.push(...asked);
        return Promise.resolve(answers);
      },
    },
    NOW,
  );
  return {
    asks,
    plans: plans.map((plan) =>
      plan.kind === 'leased' ? `leased ${String(plan.grant?.grantNo ?? '-')}` : plan.kind,
    ),
    turns: plans.some((plan) => plan.kind === 'direct' && plan.turns),
  };
};

const granted = (over: Partial<LeaseAnswer & { kind: 'granted' }> = {}): LeaseAnswer => ({
  kind: 'granted',
  lease: 7,
  grantNo: 4,
  cashMicros: 1_000n,
  units: 50,
  ...over,
});

describe('a batch', () => {
  test('is paid for by what is left, and asks nobody', async () => {
    const { asks, plans } = await planned([payable(), payable()]);
    expect(asks).toEqual([]);
    expect(plans).toEqual(['leased -', 'leased -']);
  });

  test('asks once for all that does not fit, by partition and account', async () => {
    const other = { source: { topic: 'ingest.p1', partition: 1 }, state: undefined };
    const { asks, plans } = await planned(
      [payable(), payable(other), payable(), payable(), payable(), payable(other)],
      [granted(), granted({ lease: 9, grantNo: 1 })],
    );
    expect(asks).toMatchObject([
      { partition: 0, lease: 7, grantNo: 4, needCash: 200n, needUnits: 2 },
      { partition: 1, lease: null, grantNo: 1, needCash: 200n, needUnits: 2 },
    ]);
    expect(plans).toEqual(['leased -', 'leased 1', 'leased -', 'leased 4', 'leased 4', 'leased 1']);
  });

  test('a smaller message behind one that does not fit takes what is left', async () => {
    const { plans } = await planned(
      [payable({ cashMicros: 300n }), payable()],
      [{ kind: 'direct' }],
    );
    expect(plans).toEqual(['direct', 'leased -']);
  });

  test('units count as money does', async () => {
    const { asks, plans } = await planned([payable({ units: 11 })], [granted()]);
    expect(asks).toMatchObject([{ needUnits: 11 }]);
    expect(plans).toEqual(['leased 4']);
  });

  test('is decided message by message where no lease is given, and does not ask again for a while', async () => {
    const batch = [payable({ state: undefined })];
    expect(await planned(batch, [{ kind: 'direct' }])).toMatchObject({
      plans: ['direct'],
      turns: true,
    });
    const state = { ...NO_LEASE, directUntil: NOW + DIRECT_MS };
    expect(await planned([payable({ state })])).toMatchObject({
      asks: [],
      plans: ['direct'],
      turns: false,
    });
  });

  test.each<[string, Partial<Payable>]>([
    ['of an account that recalls its leases', { recalled: true }],
    [
      'while what was given up is not known to be booked: the next grant would pass it',
      {
        state: held({ cashMicros: 0n, returning: { cashMicros: 250n, units: 10, saidAt: NOW } }),
      },
    ],
  ])('%s asks for no lease', async (_, over) => {
    expect(await planned([payable(over)])).toMatchObject({ asks: [], plans: ['direct'] });
  });

  test('by another lease than the state’s does not count what is left of that one', async () => {
    const { plans } = await planned(
      [payable({ cashMicros: 300n }), payable({ cashMicros: 300n })],
      [granted({ lease: 8, cashMicros: 500n })],
    );
    expect(plans).toEqual(['leased 4', 'direct']);
  });
});

describe('a state', () => {
  const grant = { lease: 7, grantNo: 4, cashMicros: 1_000n, units: 50 };

  test('counts a grant in once', () => {
    const once = withGrant(held(), grant, NOW);
    expect(once).toMatchObject({ cashMicros: 1_250n, units: 60, grantNo: 4 });
    expect(withGrant(once, grant, NOW)).toBe(once);
  });

  test('begins anew with another lease', () => {
    expect(withGrant(held(), { ...grant, lease: 8 }, NOW)).toMatchObject({
      lease: 8,
      cashMicros: 1_000n,
      units: 50,
    });
  });

  test('gives all up, and the grant that it may not know of', () => {
    const { state, call } = givenUp(
      held(),
      { topic: 'ingest.p1', partition: 0, tenantId: tenantId('acme'), businessLine: 'promo' },
      NOW,
    );
    expect(state).toMatchObject({ cashMicros: 0n, units: 0, grantNo: 4, returnNo: 1 });
    expect(call).toMatchObject({ lease: 7, cashMicros: 250n, units: 10, grantNo: 4, returnNo: 1 });
  });

  test.each<[string, number, bigint]>([
    ['that lasted shorter than it should grows', NOW - 1_000, 800n],
    ['that lasted about as long stays', NOW - 6_000, 400n],
    ['that lasted far longer shrinks, to what some batches need', NOW - 30_000, 240n],
  ])('a lease %s', (_, at, cash) => {
    const state = held({ granted: { cashMicros: 400n, units: 20, at } });
    expect(wanted(state, { cashMicros: 60n, units: 1 }, NOW).cashMicros).toBe(cash);
  });
});
