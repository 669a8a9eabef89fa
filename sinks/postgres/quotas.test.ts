import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type {
  ReservationDecision,
  ReservationRequest,
  Reservations,
} from '../../processors/budget-reserve/reservations.js';
import type { Posting } from '../../processors/settle/settlements.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { QuotaConfig, TenantConfig } from '../../schemas/config.js';
import { postgresLedger } from './ledger.js';
import { postgresQuotas } from './quotas.js';
import type { PostgresQuotas } from './quotas.js';
import { postgresSettlements } from './settlements.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';
import { ownedReservations } from './testing/owned-reservations.js';

const NOON = Date.UTC(2026, 4, 20, 12);
const DAY = 86_400_000;
const MICROS = 1_000_000n;

let database: FreshDatabase;
let reservations: Reservations;
let quotas: PostgresQuotas;
/** A tenant of each test's own. */
let tenant: string;
let settled = 0;
let tests = 0;

beforeAll(async () => {
  database = await freshDatabase();
  reservations = ownedReservations(database);
  quotas = postgresQuotas(database);
});
afterAll(() => database.drop());

beforeEach(async () => {
  tests += 1;
  tenant = `t${tests}`;
  settled = 0;
  for (const businessLine of ['promo', 'alerts'])
    await funded(database, {
      transferId: `${tenant}-${businessLine}`,
      tenantId: tenant,
      businessLine,
      currency: 'CNY',
      cashMicros: 1_000n * MICROS,
      units: 1_000n,
    });
});

type Limits = Partial<QuotaConfig>;
const quota = (limits: Limits): QuotaConfig => ({
  channel: 'sms',
  period: 'day',
  elasticFactor: 1,
  ...limits,
});

/** All quotas there are: of the tenant, of promo, of alerts. */
const limit = (
  ofTenant: readonly Limits[],
  promo: readonly Limits[] = [],
  alerts: readonly Limits[] = [],
) => {
  const line = (name: string, own: readonly Limits[]) => ({
    name,
    currency: 'CNY',
    initialCash: '0',
    initialUnits: 0,
    quotas: own.map(quota),
  });
  const lanes: TenantConfig['lanes'] = ['p0'];
  return quotas.set([
    {
      id: tenant,
      ownIngest: false,
      lanes,
      quotas: ofTenant.map(quota),
      businessLines: [line('promo', promo), line('alerts', alerts)],
    },
  ]);
};

const id = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

const plain = (n: number): ReservationRequest => ({
  tenantId: tenantId(tenant),
  businessLine: 'promo',
  messageId: id(n),
  generation: 0,
  createdAt: NOON,
  at: { topic: 'ingest.p0', partition: 0, offset: n },
  cashMicros: 4n * MICROS,
  units: 1,
  currency: 'CNY',
  unitsCap: null,
  cashCapMicros: null,
});
/** 4 on sms, 1 on push; one unit. */
const ask = (n: number, over: Partial<ReservationRequest> = {}): ReservationRequest => ({
  ...plain(n),
  candidates: [
    { channel: 'sms', cashMicros: 4n * MICROS },
    { channel: 'push', cashMicros: 1n * MICROS },
  ],
  ...over,
});
const only = (channel: string, cash = 4n): Partial<ReservationRequest> => ({
  cashMicros: cash * MICROS,
  candidates: [{ channel, cashMicros: cash * MICROS }],
});

/** As text: channels that were left, or the refusal. */
const said = (decision: ReservationDecision | undefined): string => {
  if (decision?.kind !== 'reserved') return decision?.kind ?? 'nothing';
  return decision.channels === undefined ? 'all' : decision.channels.join('+');
};
const reserve = async (...batch: ReservationRequest[]) =>
  (await reservations.reserve(batch)).map(said);

const settle = async (...postings: (readonly [Posting['kind'], number, Partial<Posting>?])[]) => {
  const settlements = postgresSettlements(database, 'settle');
  const partition = { topic: `feedback.${tenant}`, partition: 0 };
  await settlements.loadOffsets([{ ...partition, beginning: 0 }]);
  const start = settled;
  settled += 1;
  const answer = await settlements.apply([
    {
      ...partition,
      start,
      next: settled,
      postings: postings.map(([kind, n, over]) => ({
        kind,
        tenantId: tenantId(tenant),
        messageId: id(n),
        generation: 0,
        createdAt: NOON,
        cashMicros: 3n * MICROS,
        units: 1,
        renewable: false,
        ...(kind === 'post' && { channel: 'sms' }),
        ...over,
      })),
    },
  ]);
  if (answer.kind === 'lost') throw new Error('lost');
  return answer.outcomes.applied;
};

/** Used and held of each quota in the period: "promo sms day 3+4 1+1", cash in whole units of currency, then PV. */
const counters = async (at = NOON): Promise<readonly string[]> =>
  (await quotas.at(at)).map(({ businessLine, channel, period, cash, pv }) =>
    [
      businessLine ?? 'all',
      channel,
      period,
      ...[cash, pv].flatMap((use, index) => {
        const unit = index === 0 ? MICROS : 1n;
        return use === null ? [] : [`${use.used / unit}+${use.held / unit}${use.past ? '!' : ''}`];
      }),
    ].join(' '),
  );

/** Rows of counters, whatever the limits are. */
const stored = () =>
  database.query<{ name: string }>(
    {
      name: 'stored-counters',
      text: `select concat_ws(' ', business_line, channel, cash_used || '+' || cash_held, units_used || '+' || units_held) as name
             from quota_counters join quotas using (quota_id) where tenant_id = $1 order by 1`,
    },
    [tenant],
  );

const promo = async () => {
  const all = await postgresLedger(database).balances();
  const found = all.find((one) => one.tenantId === tenant && one.businessLine === 'promo');
  return `${(found?.cash.pending ?? 0n) / MICROS} ${(found?.cash.posted ?? 0n) / MICROS}`;
};

describe('a message', () => {
  test('holds each quota of each channel that it may take, with what it costs there', async () => {
    await limit(
      [{ units: 9 }, { period: 'month', cash: '100', units: 9 }],
      [{ channel: 'push', cash: '50' }],
    );
    expect(await reserve(ask(1), ask(2))).toEqual(['all', 'all']);
    expect(await counters()).toEqual([
      'all sms day 0+2',
      'all sms month 0+8 0+2',
      'promo push day 0+2',
    ]);
  });

  test('that is posted uses the quotas of its channel, and releases the others', async () => {
    await limit([{ cash: '100', units: 9 }], [{ channel: 'push', cash: '50' }, { units: 9 }]);
    await reserve(ask(1), ask(2));
    expect(await settle(['post', 1], ['post', 2, { channel: 'push', cashMicros: MICROS }])).toBe(2);
    expect(await counters()).toEqual([
      'all sms day 3+0 1+0',
      'promo push day 1+0',
      'promo sms day 1+0',
    ]);
  });

  test('that is posted on a channel that nobody named uses none', async () => {
    await limit([{ cash: '100' }]);
    await reserve(ask(1));
    await settle(['post', 1, { channel: 'push' }]);
    expect(await counters()).toEqual(['all sms day 0+0']);
  });

  test('that is voided releases all; renewed it holds anew', async () => {
    await limit([{ cash: '100', units: 9 }], [{ channel: 'push', cash: '50' }]);
    await reserve(ask(1));
    await settle(['void', 1, { renewable: true }]);
    expect(await counters()).toEqual(['all sms day 0+0 0+0', 'promo push day 0+0']);
    const again = { at: { topic: 'ingest.p0', partition: 0, offset: 99 } };
    expect(await reserve(ask(1, { ...again, ...only('sms', 7n) }))).toEqual(['all']);
    expect(await counters()).toEqual(['all sms day 0+7 0+1', 'promo push day 0+0']);
    await settle(['post', 1, { cashMicros: 7n * MICROS }]);
    expect(await counters()).toEqual(['all sms day 7+0 1+0', 'promo push day 0+0']);
  });

  test('that is paid back pays its quotas back, also in the batch of its post', async () => {
    await limit([{ cash: '100', units: 9 }]);
    await reserve(ask(1), ask(2));
    await settle(['post', 1], ['reverse', 1, { cashMicros: 2n * MICROS }], ['post', 2]);
    expect(await counters()).toEqual(['all sms day 4+0 1+0']);
    await settle(['reverse', 2], ['reverse', 2]);
    expect(await counters()).toEqual(['all sms day 1+0 0+0']);
  });

  test('resolved twice is counted once', async () => {
    await limit([{ cash: '100', units: 9 }]);
    await reserve(ask(1));
    await settle(['post', 1], ['post', 1], ['void', 1]);
    await settle(['post', 1]);
    expect(await counters()).toEqual(['all sms day 3+0 1+0']);
  });

  test('read again finds its own channels, though the limits are others by now', async () => {
    await limit([{ units: 1 }]);
    expect(await reserve(ask(1), ask(2))).toEqual(['all', 'push']);
    await limit([{ units: 100 }]);
    const [one, two] = await reservations.reserve([ask(1), ask(2)]);
    expect(one).toEqual({
      kind: 'reserved',
      cashMicros: 4n * MICROS,
      units: 1,
      channels: ['sms', 'push'],
    });
    expect(two).toEqual({ kind: 'reserved', cashMicros: MICROS, units: 1, channels: ['push'] });
    expect(await counters()).toEqual(['all sms day 0+1']);
  });

  test('of another generation holds for itself', async () => {
    await limit([{ units: 9 }]);
    await reserve(ask(1), ask(1, { generation: 1 }));
    await settle(['post', 1, { generation: 1 }]);
    expect(await counters()).toEqual(['all sms day 1+1']);
  });

  test('counts in the day and month in which it was created, whenever it is settled', async () => {
    const eve = Date.UTC(2026, 3, 30, 23, 59, 59, 999);
    await limit([{ units: 1 }, { period: 'month', units: 9 }]);
    const [first, second] = [
      ask(1, { createdAt: eve, ...only('sms') }),
      ask(2, { createdAt: eve + 1, ...only('sms') }),
    ];
    expect(await reserve(first, second)).toEqual(['all', 'all']);
    await settle(['post', 1, { createdAt: eve }]);
    expect(await counters(eve)).toEqual(['all sms day 1+0', 'all sms month 1+0']);
    expect(await counters(eve + 1)).toEqual(['all sms day 0+1', 'all sms month 0+1']);
  });

  test('of a day that was detached changes nothing any more; counters stay', async () => {
    const old = NOON - 40 * DAY;
    await limit([{ units: 9 }]);
    await reserve(ask(1, { createdAt: old }), ask(2, { createdAt: old }));
    await settle(['post', 1, { createdAt: old }]);
    await database.query({
      name: '',
      text: 'alter table reservations detach partition reservations_20260410',
    });
    expect(await settle(['post', 2, { createdAt: old }])).toBe(0);
    expect(await counters(old)).toEqual(['all sms day 1+1']);
  });

  test('whose price rose is counted as it was paid', async () => {
    await limit([{ channel: 'push', cash: '2' }]);
    await reserve(ask(1));
    await settle(['post', 1, { channel: 'push' }]);
    expect(await counters()).toEqual(['all push day 3+0!']);
  });
});

describe('without room', () => {
  test('a channel is left out, and only what the others cost is reserved', async () => {
    await limit([], [{ cash: '7.99' }]);
    const decisions = await reservations.reserve([ask(1), ask(2)]);
    expect(decisions).toEqual([
      { kind: 'reserved', cashMicros: 4n * MICROS, units: 1 },
      { kind: 'reserved', cashMicros: MICROS, units: 1, channels: ['push'] },
    ]);
    expect(await promo()).toBe('5 0');
    await settle(['post', 2, { channel: 'push', cashMicros: MICROS }]);
    expect(await counters()).toEqual(['promo sms day 0+4']);
  });

  test('on any channel a message is refused, and takes no budget', async () => {
    await limit([{ cash: '0' }], [{ channel: 'push', period: 'month', units: 0 }]);
    expect(await reserve(ask(1), ask(2, only('email')))).toEqual(['quota', 'all']);
    expect(await promo()).toBe('4 0');
    expect(await counters()).toEqual(['all sms day 0+0', 'promo push month 0+0']);
  });

  test('what is refused may pass once there is room', async () => {
    await limit([{ units: 1 }]);
    expect(await reserve(ask(1, only('sms')), ask(2, only('sms')))).toEqual(['all', 'quota']);
    await settle(['void', 1]);
    expect(await reserve(ask(2, only('sms')))).toEqual(['all']);
  });

  test('a message that cannot be paid holds no quota', async () => {
    await limit([{ units: 2 }]);
    const dear = only('sms', 999n);
    expect(
      await reserve(
        ask(1, only('sms')),
        ask(2, dear),
        ask(3, dear),
        ask(4, only('sms')),
        ask(5, only('sms')),
      ),
    ).toEqual(['all', 'budget_cash', 'budget_cash', 'all', 'quota']);
    expect(await reserve(ask(6, { units: 2_000 }))).toEqual(['budget_pv']);
    expect(await counters()).toEqual(['all sms day 0+2']);
  });

  test('a batch fills it to the last affordable message, skipping what does not fit', async () => {
    await limit([{ cash: '10' }], [], [{ units: 2 }]);
    const sms = (n: number, cash: bigint, businessLine: string) =>
      ask(n, { businessLine, ...only('sms', cash) });
    expect(
      await reserve(
        sms(1, 6n, 'promo'),
        sms(2, 5n, 'promo'),
        sms(3, 1n, 'alerts'),
        sms(4, 4n, 'alerts'),
        sms(5, 1n, 'alerts'),
        sms(6, 1n, 'alerts'),
        sms(7, 2n, 'promo'),
        sms(8, 1n, 'promo'),
        sms(9, 0n, 'promo'),
      ),
    ).toEqual(['all', 'quota', 'all', 'quota', 'all', 'quota', 'all', 'quota', 'all']);
    expect(await counters()).toEqual(['all sms day 0+10', 'alerts sms day 0+2']);
  });
});

describe('limits', () => {
  test('are stretched by their factor, and past the plain one are told', async () => {
    await limit([{ units: 3, cash: '100', elasticFactor: 1.5 }]);
    const sms = (n: number) => ask(n, only('sms'));
    expect(await reserve(sms(1), sms(2), sms(3))).toEqual(['all', 'all', 'all']);
    expect(await quotas.at(NOON)).toMatchObject([
      { passedAt: null, pv: { limit: 3n, stop: 4n, past: false }, cash: { stop: 150n * MICROS } },
    ]);
    // 3 × 1.5 is 4.5, and half a unit is none.
    expect(await reserve(sms(4), sms(5))).toEqual(['all', 'quota']);
    const [past] = await quotas.at(NOON);
    expect(past).toMatchObject({ pv: { held: 4n, past: true }, cash: { past: false } });
    expect(past?.passedAt).toBeInstanceOf(Date);
    await settle(['void', 4]);
    expect(await quotas.at(NOON)).toMatchObject([
      { passedAt: past?.passedAt, pv: { past: false } },
    ]);
  });

  test('may be lowered below what is used: nothing passes, and what is under way is settled', async () => {
    await limit([{ units: 9 }]);
    await reserve(ask(1), ask(2));
    expect(await limit([{ units: 1 }])).toBe(1);
    expect(await limit([{ units: 1 }])).toBe(0);
    expect(await reserve(ask(3))).toEqual(['push']);
    await settle(['post', 1], ['void', 2]);
    expect(await counters()).toEqual(['all sms day 1+0']);
  });

  test('that are lifted are asked no more, are released all the same, and come back with their counters', async () => {
    await limit([{ units: 1 }]);
    await reserve(ask(1));
    await limit([]);
    expect(await counters()).toEqual([]);
    expect(await reserve(ask(2))).toEqual(['all']);
    await settle(['post', 1], ['post', 2]);
    await limit([{ units: 1 }]);
    expect(await counters()).toEqual(['all sms day 1+0']);
    expect(await reserve(ask(3))).toEqual(['push']);
  });

  test('count what is reserved from then on', async () => {
    await limit([{ channel: 'email', units: 9 }]);
    await reserve(ask(1));
    await limit([{ units: 9 }]);
    await settle(['post', 1]);
    expect(await counters()).toEqual(['all sms day 0+0']);
  });

  test('of one tenant are not another’s', async () => {
    await limit([{ units: 0 }]);
    const other = `${tenant}-other`;
    const amounts = { currency: 'CNY', cashMicros: 100n * MICROS, units: 10n };
    await funded(database, {
      transferId: other,
      tenantId: other,
      businessLine: 'promo',
      ...amounts,
    });
    expect(await reserve(ask(1, { tenantId: tenantId(other) }), ask(2))).toEqual(['all', 'push']);
  });

  test('do not touch messages that name no candidates', async () => {
    await limit([{ units: 0 }]);
    expect(await reserve(plain(1))).toEqual(['all']);
    expect(await stored()).toEqual([]);
  });

  test('are refused where they are none', async () => {
    const text = `insert into quotas (tenant_id, business_line, channel, period, units_limit, elastic_factor)
                  values ('x', '', 'sms', 'day', 1, 0.5)`;
    await expect(database.query({ name: '', text })).rejects.toThrow('quotas_elastic_factor_check');
  });
});

describe('at once', () => {
  test('16 clients at the last unit: one has it', async () => {
    await limit([{ units: 1 }]);
    const said = await Promise.all(
      Array.from({ length: 16 }, (_, n) =>
        reserve(ask(n, { businessLine: n % 2 === 0 ? 'promo' : 'alerts', ...only('sms') })),
      ),
    );
    expect(said.flat().sort()).toEqual(['all', ...Array<string>(15).fill('quota')]);
    expect(await counters()).toEqual(['all sms day 0+1']);
  });

  test('16 clients with many fill it exactly, beyond the limit and up to the stop', async () => {
    await limit([{ cash: '400', elasticFactor: 1.1 }], [{ period: 'month', units: 60 }]);
    const batches = Array.from({ length: 16 }, (_, client) =>
      reserve(
        ...Array.from({ length: 20 }, (_, n) =>
          ask(client * 100 + n, { businessLine: n % 2 === 0 ? 'promo' : 'alerts', ...only('sms') }),
        ),
      ),
    );
    const passed = (await Promise.all(batches)).flat().filter((one) => one === 'all').length;
    // 440 / 4.
    expect(passed).toBe(110);
    expect((await counters())[0]).toBe('all sms day 0+440!');
  });

  test('reserves and settlements of accounts that share quotas never wait in a circle, and the counters add up', async () => {
    await limit(
      [{ units: 500 }, { channel: 'push', period: 'month', units: 500 }],
      [{ period: 'month', units: 500 }],
    );
    const line = (n: number) => ({ businessLine: n % 2 === 0 ? 'promo' : 'alerts' });
    let settling: Promise<unknown> = Promise.resolve();
    await Promise.all(
      Array.from({ length: 8 }, async (_, client) => {
        for (let round = 0; round < 10; round += 1) {
          const numbers = [0, 1, 2, 3].map((n) => client * 1_000 + round * 10 + n);
          await reserve(...numbers.map((n) => ask(n, line(n))));
          const [a = 0, b = 0, c = 0] = numbers;
          settling = settling.then(() =>
            settle(['post', a], ['void', b], ['post', c, { channel: 'push' }], ['reverse', a]),
          );
        }
      }),
    );
    await settling;
    // Of each four: one posted on sms and paid back, one voided, one posted on push, one pending.
    expect(await counters()).toEqual([
      'all push month 80+80',
      'all sms day 0+80',
      'promo sms month 0+0',
    ]);
  });

  test('counters are never below nothing', async () => {
    await limit([{ units: 1 }]);
    await reserve(ask(1));
    const text = 'update quota_counters set units_held = units_held - 2';
    await expect(database.query({ name: '', text })).rejects.toMatchObject({
      code: 'postgres_refused',
    });
  });
});

describe('a correction of a reservation', () => {
  const state = (name: string, posted = 0n, units = 0, reversed = 0n) =>
    JSON.stringify({
      state: name,
      postedCash: posted.toString(),
      postedUnits: units,
      reversedCash: reversed.toString(),
      reversedUnits: 0,
    });
  const correct = async (n: number, found: string, right: string): Promise<unknown> =>
    (
      await database.query(
        {
          name: 'correct',
          text: `select correct_reservation($1, 'a class', $2::date, $3, $4::uuid, 0, $5, $6, 'a@b', 'a test') as outcome`,
        },
        [
          `${tenant}/${n}/${found}`,
          new Date(NOON).toISOString().slice(0, 10),
          tenant,
          id(n),
          found,
          right,
        ],
      )
    )[0];
  /** An attempt on this channel, as the index has it. */
  const attempted = (n: number, channel: string) =>
    database.query(
      {
        name: 'attempted',
        text: `insert into attempts (tenant_id, message_id, generation, attempt, record_key, lane, channel, provider,
                 business_line, template_id, recipient_hash, labels, created_at, attempted_at, occurred_at, state, terminal,
                 sequence, posted_cash, posted_units)
               values ($1, $2, 0, 1, 'k', 'p0', $3, 'p', 'promo', 't', 'h', '{}', now(), now(), now(), 'accepted', false, 1, 1, 1)`,
      },
      [tenant, id(n), channel],
    );

  test('moves its quotas as its settlement would have: used where it was sent, released elsewhere', async () => {
    await limit([{ cash: '100', units: 9 }], [{ channel: 'push', cash: '50' }]);
    await reserve(ask(1), ask(2));
    await attempted(1, 'sms');
    const paid = state('posted', 3n * MICROS, 1);
    expect(await correct(1, state('pending'), paid)).toEqual({ outcome: 'booked' });
    expect(await counters()).toEqual(['all sms day 3+4 1+1', 'promo push day 0+1']);
    expect(await correct(1, state('pending'), paid)).toEqual({ outcome: 'repeated' });
    expect(await correct(2, state('pending'), state('voided'))).toEqual({ outcome: 'booked' });
    expect(await counters()).toEqual(['all sms day 3+0 1+0', 'promo push day 0+0']);
    expect(await correct(1, paid, state('reversed', 3n * MICROS, 1, 3n * MICROS))).toEqual({
      outcome: 'booked',
    });
    expect(await counters()).toEqual(['all sms day 0+0 1+0', 'promo push day 0+0']);
  });

  test('of a voided message that was sent uses the quotas of its channel', async () => {
    await limit([{ cash: '100', units: 9 }], [{ channel: 'push', cash: '50' }]);
    await reserve(ask(1));
    await settle(['void', 1]);
    await attempted(1, 'push');
    expect(await correct(1, state('voided'), state('posted', 1n * MICROS, 1))).toEqual({
      outcome: 'booked',
    });
    expect(await counters()).toEqual(['all sms day 0+0 0+0', 'promo push day 1+0']);
  });
});
