import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../schemas/brand.js';
import { rechargeSchema } from '../schemas/config.js';
import { accountBurns } from '../sinks/postgres/burn.js';
import { postgresLedger } from '../sinks/postgres/ledger.js';
import type { Database } from '../sinks/postgres/pool.js';
import { type Recharge, postgresRecharges } from '../sinks/postgres/recharges.js';
import { failing } from '../sinks/postgres/testing/failing.js';
import { freshDatabase } from '../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../sinks/postgres/testing/fresh-database.js';
import { funded } from '../sinks/postgres/testing/funded.js';
import { ownedReservations } from '../sinks/postgres/testing/owned-reservations.js';
import { postgresTransfers } from '../sinks/postgres/transfers.js';
import { httpReviewer } from '../sinks/reviewer/http-reviewer.js';
import { type RechargeGauge, type RechargePorts, rechargeRound } from './recharge.js';

let database: FreshDatabase;
/** A tenant of each test's own: its account promo has 100.00 CNY and 100 PV, of which 15.00 and 100 are left. */
let tenant: string;
let tests = 0;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  tests += 1;
  tenant = `t${tests}`;
  await funded(database, {
    tenantId: tenant,
    businessLine: 'promo',
    transferId: `initial/${tenant}`,
    currency: 'CNY',
    cashMicros: 100_000_000n,
    units: 100n,
  });
  await spend(85_000_000n);
});

const spend = async (cashMicros: bigint) => {
  const message = tests * 1_000 + Number(cashMicros % 997n);
  const [decision] = await ownedReservations(database).reserve([
    {
      tenantId: tenantId(tenant),
      businessLine: 'promo',
      messageId: messageId(`00000000-0000-4000-8000-${String(message).padStart(12, '0')}`),
      generation: 0,
      createdAt: Date.UTC(2026, 4, 20, 12),
      at: { topic: `ingest.${tenant}`, partition: 0, offset: message },
      cashMicros,
      units: 0,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
    },
  ]);
  expect(decision?.kind).toBe('reserved');
};

const RULE = {
  name: 'low',
  when: 'cash.share < 0.2',
  cash: '50.00',
  currency: 'CNY',
  units: 5,
  dailyCap: { cash: '120.00', units: 100 },
  coolDownMs: 3_600_000,
  approveAbove: {},
};
const configured = (rule: object, review: object = {}) => {
  const rules = [{ ...RULE, tenant, ...rule }];
  const body = JSON.stringify(rechargeSchema.parse({ rules, review }));
  const entry = { kind: 'recharge', name: 'all', version: '1', body, appliedAt: 0, appliedBy: '' };
  const entries = new Map([['recharge/all', entry]]);
  return { get: (key: string) => entries.get(key), entries: () => entries.entries() };
};

interface Round {
  readonly rule?: object;
  readonly review?: object;
  readonly on?: Database;
  readonly reviewer?: RechargePorts['reviewer'];
}
const round = async ({ rule = {}, review = {}, on = database, reviewer }: Round = {}) => {
  const gauges: Partial<Record<RechargeGauge, number>> = {};
  const warned: string[] = [];
  await rechargeRound(
    {
      config: () => configured(rule, review),
      recharges: postgresRecharges(on),
      burns: (since) => accountBurns(on, since),
      reviewer: reviewer ?? ((http) => httpReviewer(http, 'secret')),
      log: { info: () => undefined, warn: (_: unknown, text?: string) => warned.push(text ?? '') },
      gauge: (what, count) => {
        gauges[what] = count;
      },
    },
    new AbortController().signal,
  );
  return { gauges, warned };
};

const granted = async (): Promise<string> => {
  const found = (await postgresLedger(database).balances()).find((one) => one.tenantId === tenant);
  return `${found?.cash.granted ?? ''} / ${found?.pv.granted ?? ''}`;
};
const BEFORE = '100000000 / 100';
const ONCE = '150000000 / 105';
const TWICE = '200000000 / 110';

const own = async (): Promise<readonly Recharge[]> =>
  (await postgresRecharges(database).archive(1_000)).filter((one) => one.tenantId === tenant);
/** As if all that was proposed were so old; no rule of the archive forbids a test's owner of the table to say so. */
const age = async (interval: string): Promise<void> => {
  const say = (text: string) => database.query({ name: '', text });
  await say('alter table recharges disable trigger recharges_stand');
  await say(
    `update recharges set proposed_at = proposed_at - interval '${interval}', answer_by = answer_by - interval '${interval}'`,
  );
  await say('alter table recharges enable trigger recharges_stand');
};

describe('a rule', () => {
  test('that holds recharges once, under its name in the journal, and not again within its cool-down', async () => {
    await round();
    expect(await granted()).toBe(ONCE);
    const [first] = await postgresTransfers(database).history(
      { tenantId: tenant, businessLine: 'promo' },
      1,
    );
    expect(first).toMatchObject({
      transferId: `recharge/${tenant}/promo/1`,
      kind: 'grant',
      actor: 'rule low',
      note: 'recharge rule low: not above approveAbove',
    });
    await spend(60_000_000n);
    expect((await round()).gauges).toMatchObject({ cool_down: 1, daily_cap: 0 });
    expect(await granted()).toBe(ONCE);
    await age('61 minutes');
    await round();
    expect(await granted()).toBe(TWICE);
  });

  test.each([
    ['cash.share >= 0.2', false],
    ['cash.share < 0.2 && (pv.share < 0.5 || cash.available <= money("15.00"))', true],
    ['cash.available < money("15.00")', false],
    ['cash.perHour >= money("84.99") && hour >= 0 && weekday in [1, 2, 3, 4, 5, 6, 7]', true],
    ['hour > 23 || weekday == 8', false],
    ['tenant == "nobody"', false],
    ['cash.pending == money("85.00") && pv.granted == 100 && businessLine == "promo"', true],
  ])('%s: %s', async (when, holds) => {
    await round({ rule: { when } });
    expect(await granted()).toBe(holds ? ONCE : BEFORE);
  });

  test('never goes beyond the cap of a day', async () => {
    const rule = { when: 'true', dailyCap: { cash: '120.00', units: 100 }, coolDownMs: 60_000 };
    await round({ rule });
    await age('2 minutes');
    await round({ rule });
    await age('2 minutes');
    expect((await round({ rule })).gauges).toMatchObject({ daily_cap: 1 });
    expect(await granted()).toBe(TWICE);
    await age('49 hours');
    await round({ rule });
    expect(await granted()).toBe('250000000 / 115');
  });

  test('whose condition has no answer holds up no other, and is counted', async () => {
    const { gauges, warned } = await round({ rule: { when: '1 / (hour - hour) > 0' } });
    expect(gauges).toMatchObject({ failing: 1 });
    expect(warned).toEqual(['a recharge rule has no answer']);
    expect(await granted()).toBe(BEFORE);
  });

  test('in another currency than the account is kept in is refused, and grants nothing', async () => {
    await round({ rule: { currency: 'USD' } });
    expect(await own()).toMatchObject([{ state: 'refused', refusal: 'currency' }]);
    expect(await granted()).toBe(BEFORE);
  });

  test('of PV alone needs no currency', async () => {
    await round({ rule: { cash: '0' } });
    expect(await granted()).toBe('100000000 / 105');
  });

  test('of an account that was closed meanwhile is refused, for good', async () => {
    const on = failing(database, 2, 'after');
    await expect(round({ on })).rejects.toThrow('gone');
    expect(await own()).toMatchObject([{ state: 'approved' }]);
    const account = { tenantId: tenant, businessLine: 'promo' };
    await postgresTransfers(database).close({ ...account, transferId: `close/${tenant}` });
    const { warned } = await round();
    expect(warned).toEqual(['the ledger refuses a recharge']);
    expect(await own()).toMatchObject([{ state: 'refused', refusal: 'account_closed' }]);
  });
});

describe('a trigger recharges once', () => {
  test.each(
    Array.from({ length: 8 }, (_, nth) => nth).flatMap((nth) =>
      (['before', 'after'] as const).map((when) => [when, nth] as const),
    ),
  )('whoever dies %s statement %i', async (when, nth) => {
    // Statements: accounts, past, propose, review, approved, book, end, ...
    await expect(round({ on: failing(database, nth, when) })).rejects.toThrow('gone');
    await round();
    await round();
    expect(await granted()).toBe(ONCE);
    expect(await own()).toMatchObject([{ state: 'booked', rule: 'low' }]);
  });

  test('by whichever of eight workers at once', async () => {
    await Promise.all(Array.from({ length: 8 }, () => round()));
    await round();
    expect(await granted()).toBe(ONCE);
    expect(await own()).toHaveLength(1);
  });

  test('also where a worker decides on a state that another has recharged since', async () => {
    const recharges = postgresRecharges(database);
    // Frozen after it has read the account, and long past the cool-down awake.
    const stale = { ...database };
    let first = true;
    const slow: Database = {
      ...stale,
      async query(statement, values) {
        const rows = await database.query(statement, values);
        if (first) {
          first = false;
          await round();
          await age('2 hours');
        }
        return rows as never;
      },
    };
    await round({ on: slow });
    expect(await granted()).toBe(ONCE);
    expect((await recharges.archive(1_000)).filter((one) => one.tenantId === tenant)).toHaveLength(
      1,
    );
  });
});

const ABOVE = { approveAbove: { cash: '49.99' } };

describe('above its amount', () => {
  test.each([
    ['approve', 'amount.cash <= money("50.00") && rule == "low"', 'booked', ONCE],
    ['reject', 'today.cash == 0', 'rejected', BEFORE],
    ['escalate', 'amount.units == 5', 'person', BEFORE],
    ['approve', 'amount.cash > money("50.00")', 'person', BEFORE],
    ['approve', '1 / (hour - hour) > 0', 'person', BEFORE],
  ])('a review rule to %s where %s: %s', async (verdict, when, state, after) => {
    await round({ rule: ABOVE, review: { rules: [{ name: 'first', when, verdict }] } });
    expect(await own()).toMatchObject([{ state }]);
    expect(await granted()).toBe(after);
  });

  test('units alone need a review too', async () => {
    await round({ rule: { approveAbove: { units: 4 } } });
    expect(await own()).toMatchObject([
      { state: 'person', askedBecause: 'no review rule decides it' },
    ]);
  });

  test('nobody answers in time: escalated once, counted until it is decided', async () => {
    const rule = { ...ABOVE, coolDownMs: 86_400_000 };
    expect((await round({ rule })).gauges).toMatchObject({ overdue: 0 });
    await age('2 hours');
    const first = await round({ rule });
    expect(first.warned).toContain('a recharge waits for a person, and nobody answered in time');
    const second = await round({ rule });
    expect(second.warned).toEqual([]);
    expect(second.gauges['overdue']).toBeGreaterThan(0);
    const [one] = await own();
    const by = { state: 'rejected', by: 'ann@host', reason: 'not in May' } as const;
    expect(await postgresRecharges(database).decide(one?.rechargeId ?? '', ['person'], by)).toBe(
      true,
    );
    await round({ rule });
    expect(await own()).toMatchObject([{ state: 'rejected', decidedBy: 'ann@host' }]);
    expect(await granted()).toBe(BEFORE);
  });
});

describe('a reviewer over HTTP', () => {
  let answer: (body: string) => { readonly status: number; readonly body: string } | null;
  let asked: { readonly body: string; readonly headers: Readonly<Record<string, unknown>> }[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString();
      asked.push({ body, headers: request.headers });
      const found = answer(body);
      // null: it never answers.
      if (found !== null) response.writeHead(found.status).end(found.body);
    });
  });
  let url: string;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/review`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    asked = [];
  });
  const reviewed = (status: number, body: string) => {
    answer = () => ({ status, body });
    return round({ rule: ABOVE, review: { http: { url, deadlineMs: 2_000 } } });
  };

  test('approves: it is booked, and the archive says by whom and why', async () => {
    await reviewed(200, '{"verdict":"approve","reason":"as\\u0000usual","score":0.9}');
    expect(await granted()).toBe(ONCE);
    expect(await own()).toMatchObject([
      { state: 'booked', decidedBy: `reviewer ${new URL(url).host}`, reason: 'as usual' },
    ]);
    expect(asked[0]?.headers).toMatchObject({
      authorization: 'Bearer secret',
      'idempotency-key': `recharge/${tenant}/promo/1`,
    });
    expect(JSON.parse(asked[0]?.body ?? '')).toMatchObject({
      tenantId: tenant,
      businessLine: 'promo',
      rule: 'low',
      currency: 'CNY',
      cash: '50.00',
      units: 5,
      seen: { when: 'cash.share < 0.2', cash: { available: '15000000', share: 0.15 } },
    });
  });

  test.each([
    ['rejects', 200, '{"verdict":"reject"}', 'rejected'],
    ['escalates', 200, '{"verdict":"escalate","reason":"too much"}', 'person'],
    ['fails', 500, '{"verdict":"approve"}', 'person'],
    ['answers something else', 200, '{"verdict":"maybe"}', 'person'],
    ['answers no JSON', 200, '<html>', 'person'],
    [
      'answers without end',
      200,
      `{"verdict":"approve","reason":"${'x'.repeat(100_000)}"}`,
      'person',
    ],
  ])('%s (%i): nothing is booked, and it is %4$s', async (_, status, body, state) => {
    await reviewed(status, body);
    expect(await own()).toMatchObject([{ state }]);
    expect(await granted()).toBe(BEFORE);
  });

  test.each([
    ['does not answer in time', () => url],
    ['is not there', () => 'http://127.0.0.1:1/'],
  ])('%s: a person is asked', async (_, where) => {
    answer = () => null;
    await round({ rule: ABOVE, review: { http: { url: where(), deadlineMs: 100 } } });
    expect(await own()).toMatchObject([
      { state: 'person', askedBecause: expect.stringContaining('did not answer') as unknown },
    ]);
  });

  test('is asked again by a worker after one that died before it heard the answer', async () => {
    const review = { http: { url, deadlineMs: 2_000 } };
    answer = () => ({ status: 200, body: '{"verdict":"approve"}' });
    // accounts, past, propose, in review: then the answer is stored.
    await expect(
      round({ rule: ABOVE, review, on: failing(database, 4, 'before') }),
    ).rejects.toThrow('gone');
    expect(await own()).toMatchObject([{ state: 'review' }]);
    await round({ rule: ABOVE, review });
    expect(asked).toHaveLength(2);
    expect(await granted()).toBe(ONCE);
  });
});

describe('the archive stands', () => {
  const attempt = (set: string) =>
    database.query({ name: '', text: `update recharges set ${set} where state = 'booked'` });

  test.each([
    "reason = 'another'",
    "state = 'approved', ended_at = null",
    'cash = 1',
    "decided_by = 'x'",
  ])('against %s', async (set) => {
    await round();
    await expect(attempt(set)).rejects.toThrow(/recharge/);
    expect(await own()).toMatchObject([{ state: 'booked' }]);
  });

  test.each(['delete from recharges', 'truncate recharges'])('against %s', async (text) => {
    await round();
    await expect(database.query({ name: '', text })).rejects.toThrow('a recharge is never removed');
  });
});
