import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ReceiptLog, ReceiptQuestion } from '../../processors/receipts/receipt-log.js';
import { takesEffect } from '../../processors/receipts/transition.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { DELIVERY_STATES } from '../../schemas/generated/records.js';
import type {
  DeliveryFeedback,
  DeliveryState,
  Settlement,
} from '../../schemas/generated/records.js';
import type { KafkaRecord, PartitionSlice } from '../../schemas/record.js';
import { postgresAttempts } from './attempts.js';
import { partitionOwnership } from './partition-ownership.js';
import { postgresReceiptLog } from './receipt-log.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';
import { ownedReservations } from './testing/owned-reservations.js';

const WAITING = {
  name: 'waiting',
  text: `select count(*)::integer as waiting from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`,
};
const NOON = Date.UTC(2026, 4, 20, 12);

let database: FreshDatabase;
let tests = 0;
/** Names of each test's own. */
let consumer: string;
let tenant: ReturnType<typeof tenantId>;
let topic: string;
let attempts: ReturnType<typeof postgresAttempts>;
let receiptLog: ReceiptLog;
let next: number;

beforeAll(async () => {
  database = await freshDatabase('other_schema');
});
afterAll(() => database.drop());

beforeEach(async () => {
  tests += 1;
  consumer = `attempts-${tests}`;
  tenant = tenantId(`t${tests}`);
  topic = `feedback.${tests}`;
  next = 0;
  attempts = postgresAttempts(database, consumer);
  const ownership = partitionOwnership(database);
  await ownership.takeOver([0, 3].map((partition) => ({ topic: 'receipts', partition })));
  receiptLog = postgresReceiptLog(database, consumer, ownership);
  await attempts.loadOffsets([{ topic, partition: 0, beginning: 0 }]);
});

const id = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

const money = (kind: Settlement['kind'], cashMicros = 45_000n): Settlement => ({
  kind,
  cashMicros,
  units: 1,
  currency: 'CNY',
  leaseId: null,
});

const feedback = (n: number, over: Partial<DeliveryFeedback> = {}): DeliveryFeedback => ({
  feedbackId: id(900 + n),
  messageId: id(n),
  generation: 0,
  tenantId: tenant,
  businessLine: 'promo',
  campaignId: null,
  templateId: 'sale',
  lane: 'p1',
  attempt: 1,
  sequence: 1,
  channel: 'sms',
  provider: 'aliyun-sms',
  state: 'accepted',
  terminal: false,
  class: null,
  providerCode: 'OK',
  providerMessageId: `biz-${tests}-${n}`,
  settlement: money('post'),
  recipientHash: 'ab'.repeat(32),
  createdAt: NOON,
  attemptedAt: NOON + 10,
  occurredAt: NOON + 20,
  labels: { say: 'it\'s "quoted", {braced}\\', city: '杭州' },
  ...over,
});

const slice = (...values: DeliveryFeedback[]): PartitionSlice<DeliveryFeedback> => {
  const start = next;
  next += Math.max(values.length, 1);
  return {
    topic,
    partition: 0,
    start,
    next,
    records: values.map((value, index): KafkaRecord<DeliveryFeedback> => ({
      at: { topic, partition: 0, offset: start + index },
      key: Buffer.from(`user,"${value.messageId}`),
      value,
      timestamp: value.occurredAt,
      headers: {},
      size: 300,
    })),
  };
};

const question = (n: number, over: Partial<ReceiptQuestion> = {}): ReceiptQuestion => ({
  at: { topic: 'receipts', partition: 0, offset: n },
  attempt: { tenantId: tenant, messageId: id(n), generation: 0, attempt: 1 },
  provider: 'aliyun-sms',
  providerMessageId: null,
  transition: 'delivered',
  ...over,
});

const byProviderId = (n: number, over: Partial<ReceiptQuestion> = {}) =>
  question(n, { attempt: null, providerMessageId: `biz-${tests}-${n}`, ...over });

/** State, sequence, posted cash and answer of each. */
const ask = async (...questions: ReceiptQuestion[]) =>
  (await receiptLog.decide(questions)).map((answer) =>
    answer.kind === 'first' || answer.kind === 'again'
      ? [
          answer.kind,
          answer.attempt.state,
          answer.attempt.sequence,
          answer.attempt.postedCashMicros,
        ].join(' ')
      : answer.kind,
  );

describe('attempts', () => {
  test('keeps all that later feedback needs', async () => {
    await attempts.apply([slice(feedback(1))]);
    const [answer] = await receiptLog.decide([question(1)]);
    expect(answer).toEqual({
      kind: 'first',
      attempt: {
        tenantId: tenant,
        messageId: id(1),
        generation: 0,
        attempt: 1,
        key: `user,"${id(1)}`,
        lane: 'p1',
        channel: 'sms',
        provider: 'aliyun-sms',
        providerMessageId: `biz-${tests}-1`,
        businessLine: 'promo',
        campaignId: null,
        templateId: 'sale',
        recipientHash: 'ab'.repeat(32),
        labels: feedback(1).labels,
        createdAt: NOON,
        attemptedAt: NOON + 10,
        occurredAt: NOON + 20,
        state: 'accepted',
        class: null,
        terminal: false,
        sequence: 1,
        postedCashMicros: 45_000n,
        postedUnits: 1,
        currency: 'CNY',
        leaseId: null,
        reservation: null,
      },
    });
  });

  test('adds up an attempt over one batch as over several', async () => {
    const reversed = {
      sequence: 2,
      state: 'failed',
      terminal: true,
      settlement: money('reverse'),
      providerMessageId: null,
    } as const;
    await attempts.apply([slice(feedback(1), feedback(1, reversed), feedback(2))]);
    await attempts.apply([slice(feedback(2, reversed))]);
    expect(await ask(question(1), question(2))).toEqual(['first failed 2 0', 'first failed 2 0']);
    expect(await ask(byProviderId(1), byProviderId(2))).toEqual([
      'again failed 2 0',
      'again failed 2 0',
    ]);
  });

  test('takes text that Postgres cannot hold, with the unholdable replaced', async () => {
    const campaignId = 'a\0b\\\\0"';
    await attempts.apply([slice(feedback(1, { campaignId, labels: { 'k\0': 'v\\u0000\0' } }))]);
    expect(await receiptLog.decide([question(1)])).toMatchObject([
      { attempt: { campaignId: 'a\uFFFDb\\\\0"' } },
    ]);
  });

  test('an older event never overwrites a newer one', async () => {
    await attempts.apply([slice(feedback(1, { sequence: 3, state: 'delivered' }))]);
    await attempts.apply([slice(feedback(1, { sequence: 2 }), feedback(1))]);
    expect(await ask(question(1, { transition: 'failed' }))).toEqual(['first delivered 3 45000']);
  });

  test('stores nothing where its partition was lost', async () => {
    const batch = slice(feedback(1));
    expect(await attempts.apply([{ ...batch, start: 7 }])).toEqual({
      kind: 'lost',
      lost: [{ topic, partition: 0 }],
    });
    expect(await ask(question(1))).toEqual(['unknown_attempt']);
    expect(await attempts.apply([batch])).toEqual({ kind: 'applied' });
    expect(await attempts.loadOffsets([{ topic, partition: 0, beginning: 0 }])).toEqual([1]);
  });

  test('has passed only what its slowest partition has passed', async () => {
    await attempts.loadOffsets([{ topic, partition: 1, beginning: 0 }]);
    await attempts.apply([slice(feedback(1))]);
    expect(await attempts.passed()).toBeNull();
    await attempts.caughtUp([{ topic, partition: 1 }], NOON + 5_000);
    expect(await attempts.passed()).toBe(NOON + 20);
    // An idle partition and one that is at the end move on by our clock.
    await attempts.caughtUp([{ topic, partition: 0 }], NOON + 4_000);
    expect(await attempts.passed()).toBe(NOON + 4_000);
    expect(await receiptLog.decide([question(9)])).toEqual([
      { kind: 'unknown_attempt', passed: NOON + 4_000 },
    ]);
  });

  test('is no attempt of another tenant with the same message id', async () => {
    await attempts.apply([slice(feedback(1))]);
    const attempt = {
      tenantId: tenantId('stranger'),
      messageId: id(1),
      generation: 0,
      attempt: 1,
    };
    expect(await ask(question(1, { attempt }))).toEqual(['unknown_attempt']);
  });
});

describe('receipt log', () => {
  beforeEach(async () => {
    await attempts.apply([slice(feedback(1), feedback(2))]);
  });

  test('decides each transition once, by the record that brings it first', async () => {
    const other = { at: { topic: 'receipts', partition: 3, offset: 8 } };
    expect(await ask(question(1))).toEqual(['first accepted 1 45000']);
    expect(await ask(question(1, other))).toEqual(['already']);
    expect(await ask(byProviderId(1, other))).toEqual(['already']);
  });

  test('decides a record that is read again as it did first, whatever was stored since', async () => {
    expect(await ask(question(1, { transition: 'failed' }))).toEqual(['first accepted 1 45000']);
    const failed = { sequence: 2, state: 'failed', settlement: money('reverse') } as const;
    await attempts.apply([slice(feedback(1, failed))]);
    expect(await ask(question(1, { transition: 'failed' }))).toEqual(['again accepted 1 45000']);
  });

  test('within a batch the earlier record decides, and another transition waits for it', async () => {
    const at = (offset: number) => ({ at: { topic: 'receipts', partition: 0, offset } });
    expect(
      await ask(
        question(1, at(1)),
        byProviderId(1, at(2)),
        question(2, at(3)),
        question(1, { ...at(4), transition: 'failed' }),
      ),
    ).toEqual(['first accepted 1 45000', 'already', 'first accepted 1 45000', 'earlier_pending']);
  });

  test('a transition waits until the feedback of the one before is stored, however long that takes', async () => {
    await ask(question(1));
    await attempts.caughtUp([{ topic, partition: 0 }], Date.now() + 3_600_000);
    expect(await ask(question(1, { transition: 'failed' }))).toEqual(['earlier_pending']);
    const delivered = { sequence: 2, state: 'delivered', settlement: money('none') } as const;
    await attempts.apply([slice(feedback(1, delivered))]);
    expect(await ask(question(1, { transition: 'failed' }))).toEqual(['first delivered 2 45000']);
  });

  test('of two transitions decided at the same moment one waits: both would settle the money', async () => {
    const blocker = new pg.Client(database.url);
    await blocker.connect();
    try {
      await blocker.query('begin');
      await blocker.query('select from other_schema.attempts where tenant_id = $1 for update', [
        tenant,
      ]);
      const both = [
        ask(question(1, { transition: 'delivered' }), question(2, { transition: 'failed' })),
        ask(question(2, { transition: 'delivered' }), question(1, { transition: 'failed' })),
      ];
      await expect
        .poll(async () => database.query(WAITING), { timeout: 10_000 })
        .toEqual([{ waiting: 2 }]);
      await blocker.query('commit');
      expect((await Promise.all(both)).sort()).toEqual([
        ['earlier_pending', 'earlier_pending'],
        ['first accepted 1 45000', 'first accepted 1 45000'],
      ]);
    } finally {
      await blocker.end();
    }
  });

  test.each<[from: DeliveryState, to: DeliveryState]>([
    ['accepted', 'failed'],
    ['accepted', 'delivered'],
    ['failed', 'delivered'],
    ['held', 'failed'],
  ])(
    'what send told (%s) is no news after a report (%s), stored or not',
    async (sent, reported) => {
      await attempts.apply([slice(feedback(3, { state: sent }))]);
      const late = question(3, {
        transition: sent,
        at: { topic: 'receipts', partition: 3, offset: 1 },
      });
      expect(await ask(question(3, { transition: reported }), late)).toEqual([
        `first ${sent} 1 45000`,
        'already',
      ]);
      await attempts.apply([
        slice(feedback(3, { sequence: 2, state: reported, settlement: money('none') })),
      ]);
      expect(await ask(late)).toEqual(['already']);
    },
  );

  test('what was unknown while another attempt was made may end as unknown', async () => {
    await attempts.apply([slice(feedback(3, { state: 'unknown' }))]);
    await ask(question(3, { transition: 'accepted' }));
    await attempts.apply([slice(feedback(3, { sequence: 2, settlement: money('none') }))]);
    expect(await ask(question(3, { transition: 'unknown' }))).toEqual(['first accepted 2 45000']);
  });

  test('a transition that changes nothing holds up no other', async () => {
    await ask(question(1, { transition: 'accepted' }));
    expect(await ask(question(1, { transition: 'failed' }))).toEqual(['first accepted 1 45000']);
  });

  test('knows what changes an attempt exactly as the processor does', async () => {
    const pairs = DELIVERY_STATES.flatMap((from) => DELIVERY_STATES.map((to) => ({ from, to })));
    const rows = await database.query<{ effect: boolean }>(
      {
        name: 'takes-effect',
        text: 'select takes_effect(f, t) as effect from unnest($1::text[], $2::text[]) with ordinality q(f, t, n) order by n',
      },
      [pairs.map(({ from }) => from), pairs.map(({ to }) => to)],
    );
    expect(pairs.map((pair, n) => ({ ...pair, effect: rows[n]?.effect }))).toEqual(
      pairs.map(({ from, to }) => ({ from, to, effect: takesEffect(from, to) })),
    );
  });

  test('answers strange references as unknown attempts', async () => {
    const strange = { tenantId: tenant, messageId: messageId("x'{,"), generation: 0, attempt: 1 };
    expect(
      await ask(
        question(1, { attempt: strange, providerMessageId: `biz-${tests}-1` }),
        byProviderId(1, { provider: 'another' }),
        byProviderId(1, { providerMessageId: 'a","b' }),
        byProviderId(1, { providerMessageId: null }),
        question(1, { attempt: { ...strange, messageId: id(1), attempt: 2 } }),
      ),
    ).toEqual(Array(5).fill('unknown_attempt'));
  });

  test('shows the reservation, for what was held without a price', async () => {
    await funded(database, {
      transferId: `grant-${tenant}`,
      tenantId: tenant,
      businessLine: 'promo',
      currency: 'CNY',
      cashMicros: 1_000_000n,
      units: 10n,
    });
    await ownedReservations(database).reserve([
      {
        tenantId: tenant,
        businessLine: 'promo',
        messageId: id(1),
        generation: 0,
        createdAt: NOON,
        at: { topic: 'ingest.p1', partition: 0, offset: 0 },
        cashMicros: 90_000n,
        units: 2,
        currency: 'CNY',
        unitsCap: null,
        cashCapMicros: null,
      },
    ]);
    const [answer] = await receiptLog.decide([question(1)]);
    expect(answer).toMatchObject({
      attempt: {
        reservation: { cashMicros: 90_000n, units: 2, currency: 'CNY', state: 'pending' },
      },
    });
  });
});
