import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { messageId, tenantId } from '../schemas/brand.js';
import { postgresLeases } from '../sinks/postgres/leases.js';
import { partitionOwnership } from '../sinks/postgres/partition-ownership.js';
import { postgresSettlements } from '../sinks/postgres/settlements.js';
import { type FreshDatabase, freshDatabase } from '../sinks/postgres/testing/fresh-database.js';
import { funded } from '../sinks/postgres/testing/funded.js';
import { ownedReservations } from '../sinks/postgres/testing/owned-reservations.js';
import { ledgerWatch } from './ledger-watch.js';
import { LedgerMetrics } from './runtime/ledger-metrics.js';

let database: FreshDatabase;
let registry: Registry;
let chores: ReturnType<typeof ledgerWatch>;

beforeEach(async () => {
  database = await freshDatabase();
  registry = new Registry();
  chores = ledgerWatch(database, new LedgerMetrics(registry));
  await funded(database, {
    transferId: 'first',
    tenantId: 'harbour',
    businessLine: 'alerts',
    currency: 'CNY',
    cashMicros: 1_000n,
    units: 10n,
  });
});
afterEach(() => database.drop());

const createdAt = Date.now();
const message = (number: number) => ({
  tenantId: tenantId('harbour'),
  messageId: messageId(`0190b6a2-7c1a-7000-8000-00000000000${number}`),
  generation: 0,
  createdAt,
});

const reserved = async (...numbers: readonly number[]): Promise<void> => {
  const decisions = await ownedReservations(database).reserve(
    numbers.map((number) => ({
      ...message(number),
      businessLine: 'alerts',
      at: { topic: 'ingest.p0', partition: 0, offset: number },
      cashMicros: 100n,
      units: 1,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
    })),
  );
  expect(decisions.map(({ kind }) => kind)).toEqual(numbers.map(() => 'reserved'));
};

const posted = async (number: number): Promise<void> => {
  const settlements = postgresSettlements(database, 'settle');
  await settlements.loadOffsets([{ topic: 'feedback', partition: 0, beginning: 0 }]);
  const posting = { ...message(number), cashMicros: 70n, units: 1, renewable: false };
  const slice = { topic: 'feedback', partition: 0, start: 0, next: 1 };
  expect(
    await settlements.apply([{ ...slice, postings: [{ ...posting, kind: 'post' }] }]),
  ).toMatchObject({ outcomes: { applied: 1 } });
};

/** What the chores say, by name and labels. */
const said = async (): Promise<ReadonlyMap<string, number>> => {
  for (const chore of chores) await chore.run(new AbortController().signal);
  const lines = (await registry.metrics())
    .split('\n')
    .filter((line) => line.startsWith('millrace'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at).replace('millrace_', ''), Number(line.slice(at))];
    }),
  );
};

test('the ledger says what accounts hold, how fast they are spent, and how long money was pending', async () => {
  await reserved(1, 2);
  await posted(1);
  const metrics = await said();
  const account = 'tenant="harbour",line="alerts"';
  expect(Object.fromEntries(metrics)).toMatchObject({
    [`budget_cash_micros{${account},currency="CNY",state="available"}`]: 830,
    [`budget_cash_micros{${account},currency="CNY",state="pending"}`]: 100,
    [`budget_cash_micros{${account},currency="CNY",state="posted"}`]: 70,
    [`budget_pv_units{${account},state="posted"}`]: 1,
    [`ledger_drift{${account},budget="cash"}`]: 0,
    [`ledger_drift{${account},budget="pv"}`]: 0,
  });
  expect(
    metrics.get(`budget_cash_burn_micros_per_hour{${account},currency="CNY"}`),
  ).toBeGreaterThan(0);
  expect(metrics.get(`ledger_pending_age_seconds{${account}}`)).toBeGreaterThan(0);
  expect(metrics.get('ledger_settle_lag_seconds{quantile="0.99"}')).toBeGreaterThan(0);
});

test('an account without messages has all its series, at 0', async () => {
  const metrics = await said();
  const account = 'tenant="harbour",line="alerts"';
  expect(metrics.get(`ledger_pending_age_seconds{${account}}`)).toBe(0);
  expect(metrics.get(`budget_pv_burn_units_per_hour{${account}}`)).toBe(0);
  expect(metrics.get('ledger_settle_lag_seconds{quantile="0.5"}')).toBe(0);
});

test('a counter that is not what reservations add up to is seen', async () => {
  await reserved(1);
  await database.query({
    name: 'break',
    text: 'update budgets set cash_pending = cash_pending + 5, cash_available = cash_available - 5',
  });
  expect((await said()).get('ledger_drift{tenant="harbour",line="alerts",budget="cash"}')).toBe(5);
});

test('what leases hold is said by account, and what waits for its other half once it is overdue', async () => {
  const source = { topic: 'ingest.p0', partition: 0 };
  const ownership = partitionOwnership(database);
  await ownership.takeOver([source]);
  await funded(database, {
    transferId: 'second',
    tenantId: 'harbour',
    businessLine: 'alerts',
    currency: 'CNY',
    cashMicros: 99_000n,
    units: 9_990n,
  });
  const [answer] = await postgresLeases(database, ownership).grant([
    {
      ...source,
      tenantId: 'harbour',
      businessLine: 'alerts',
      lease: null,
      currency: 'CNY',
      grantNo: 1,
      spends: 0,
      needCash: 1n,
      needUnits: 1,
      wantCash: 500n,
      wantUnits: 5,
    },
  ]);
  if (answer?.kind !== 'granted') throw new Error('no lease');
  const settlements = postgresSettlements(database, 'settle');
  await settlements.loadOffsets([{ topic: 'feedback', partition: 0, beginning: 0 }]);
  const spend = { lease: answer.lease, number: 1 };
  const posting = { ...message(1), cashMicros: 70n, units: 1, renewable: false, spend };
  await settlements.apply([
    {
      topic: 'feedback',
      partition: 0,
      start: 0,
      next: 1,
      postings: [{ ...posting, kind: 'post' }],
    },
  ]);
  const fresh = await said();
  expect(
    fresh.get('budget_leased_cash_micros{tenant="harbour",line="alerts",currency="CNY"}'),
  ).toBe(500);
  expect(fresh.get('budget_leased_pv_units{tenant="harbour",line="alerts"}')).toBe(5);
  expect(fresh.get('ledger_waiting{what="postings"}')).toBe(0);
  expect(fresh.get('ledger_drift{tenant="harbour",line="alerts",budget="cash"}')).toBe(0);
  await database.query({
    name: '',
    text: "update waiting_postings set waiting_since = now() - interval '11 minutes'",
  });
  expect((await said()).get('ledger_waiting{what="postings"}')).toBe(1);
});
