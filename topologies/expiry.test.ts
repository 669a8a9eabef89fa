import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ReservationRequest } from '../processors/budget-reserve/reservations.js';
import { answer } from '../processors/testing/feedback.js';
import { messageId, tenantId } from '../schemas/brand.js';
import type { DeliveryFeedback } from '../schemas/generated/records.js';
import { postgresAttempts } from '../sinks/postgres/attempts.js';
import { postgresExpiredReservations } from '../sinks/postgres/expired-reservations.js';
import { postgresLedger } from '../sinks/postgres/ledger.js';
import { postgresQuotas } from '../sinks/postgres/quotas.js';
import { postgresSettlements } from '../sinks/postgres/settlements.js';
import { type FreshDatabase, freshDatabase } from '../sinks/postgres/testing/fresh-database.js';
import { funded } from '../sinks/postgres/testing/funded.js';
import { ownedReservations } from '../sinks/postgres/testing/owned-reservations.js';
import { messageKey } from './claimed-messages.js';
import { type ExpiryOptions, expireReservations } from './expiry.js';

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 4, 20, 12);
const LONG_AGO = NOW - 2 * HOUR;

let database: FreshDatabase;
let tests = 0;
let tenant: ReturnType<typeof tenantId>;
let told: Record<string, unknown>[];
let counted: number;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  tests += 1;
  tenant = tenantId(`t${tests}`);
  told = [];
  counted = 0;
  await database.query({ name: 'empty', text: 'truncate reservations, attempts' });
  await funded(database, {
    transferId: tenant,
    tenantId: tenant,
    businessLine: 'promo',
    currency: 'CNY',
    cashMicros: 1_000n,
    units: 100n,
  });
});

const id = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);
const message = (n: number) => ({ tenantId: tenant, messageId: id(n), generation: 0 });

const reserve = async (n: number, over: Partial<ReservationRequest> = {}): Promise<void> => {
  const [decision] = await ownedReservations(database).reserve([
    {
      ...message(n),
      businessLine: 'promo',
      createdAt: LONG_AGO - HOUR,
      expiresAt: LONG_AGO,
      at: { topic: 'ingest.p0', partition: 0, offset: n },
      cashMicros: 100n,
      units: 2,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
      ...over,
    },
  ]);
  expect(decision?.kind).toBe('reserved');
};

const attempted = async (n: number, over: Partial<DeliveryFeedback>): Promise<void> => {
  const topic = `feedback.${tests}.${n}`;
  const attempts = postgresAttempts(database, topic);
  await attempts.loadOffsets([{ topic, partition: 0, beginning: 0 }]);
  const value = answer({ ...message(n), createdAt: LONG_AGO - HOUR, ...over });
  const record = { at: { topic, partition: 0, offset: 0 }, key: null, value, timestamp: NOW };
  const records = [{ ...record, headers: {}, size: 1 }];
  await attempts.apply([{ topic, partition: 0, start: 0, next: 1, records }]);
};

const sweep = (over: Partial<ExpiryOptions> = {}): Promise<void> =>
  expireReservations({
    reservations: postgresExpiredReservations(database),
    claimed: () => Promise.resolve(new Set()),
    attemptsPassed: () => Promise.resolve(NOW),
    log: {
      warn: (about: Record<string, unknown>) => told.push(about),
      info: (about: Record<string, unknown>) => told.push(about),
    },
    count: (messages) => {
      counted += messages;
    },
    now: () => NOW,
    patienceMs: 0,
    ...over,
  }).run(new AbortController().signal);

const pending = async (): Promise<bigint | undefined> =>
  (await postgresLedger(database).balances()).find(({ tenantId }) => tenantId === tenant)?.cash
    .pending;

test('a message that expired and was never sent gives back what it held, once, and it is told', async () => {
  await reserve(1);
  await reserve(2);
  await sweep();
  expect(await pending()).toBe(0n);
  const whose = { tenantId: tenant, businessLine: 'promo', currency: 'CNY' };
  expect(told).toEqual([{ ...whose, messages: 2, cashMicros: '200', units: '4' }]);
  await sweep();
  expect(counted).toBe(2);
});

test('one that may still be sent, or expired within the difference of clocks, is left', async () => {
  await reserve(1, { expiresAt: NOW + 1 });
  await reserve(2, { expiresAt: NOW - HOUR + 1 });
  await sweep();
  expect(await pending()).toBe(200n);
});

test('age alone never decides: what was tried, or is claimed by a sender, keeps its money', async () => {
  await reserve(1);
  await reserve(2);
  await reserve(3);
  await attempted(1, { state: 'held', terminal: false });
  await sweep({ claimed: () => Promise.resolve(new Set([messageKey(message(2))])) });
  expect(await pending()).toBe(200n);
  expect(told[0]).toEqual({ claimed: 1 });
});

test('an attempt that came to light while claims were read keeps its money', async () => {
  await reserve(1);
  await sweep({
    claimed: async () => {
      await attempted(1, { state: 'unknown', terminal: false });
      return new Set();
    },
  });
  expect(await pending()).toBe(100n);
});

test('nothing is given back before all feedback from before the claims were read is stored', async () => {
  await reserve(1);
  for (const passed of [null, NOW - 1]) {
    await sweep({ attemptsPassed: () => Promise.resolve(passed) });
    expect(await pending()).toBe(100n);
  }
  let passed = NOW - 1;
  await sweep({ attemptsPassed: () => Promise.resolve(passed++), patienceMs: 10_000 });
  expect(await pending()).toBe(0n);
});

test('a posting after it is answered, not applied; and its quotas are free again', async () => {
  await postgresQuotas(database).set([
    {
      id: tenant,
      ownIngest: false,
      lanes: ['p1'],
      quotas: [{ channel: 'sms', period: 'day', units: 5, elasticFactor: 1 }],
      businessLines: [{ name: 'promo', currency: 'CNY', initialCash: '0', initialUnits: 0 }],
    },
  ]);
  await reserve(1, { candidates: [{ channel: 'sms', cashMicros: 100n }] });
  const held = async () => (await postgresQuotas(database).at(LONG_AGO))[0]?.pv?.held;
  expect(await held()).toBe(2n);
  await sweep();
  expect(await held()).toBe(0n);
  const settlements = postgresSettlements(database, tenant);
  await settlements.loadOffsets([{ topic: 'feedback', partition: 0, beginning: 0 }]);
  const posting = { ...message(1), createdAt: LONG_AGO - HOUR, cashMicros: 70n, units: 1 };
  const postings = [{ ...posting, kind: 'post' as const, renewable: false, channel: 'sms' }];
  expect(
    await settlements.apply([{ topic: 'feedback', partition: 0, start: 0, next: 1, postings }]),
  ).toMatchObject({ outcomes: { applied: 0, expired: 1 } });
  expect(await pending()).toBe(0n);
});

test('a release that knew no expiry left reservations that never expire by themselves', async () => {
  await reserve(1);
  await database.query({ name: 'old', text: 'update reservations set expires_at = null' });
  await sweep();
  expect(await pending()).toBe(100n);
});
