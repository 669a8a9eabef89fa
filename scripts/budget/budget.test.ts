import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ReservationRequest } from '../../processors/budget-reserve/reservations.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { postgresQuotas } from '../../sinks/postgres/quotas.js';
import { ownedReservations } from '../../sinks/postgres/testing/owned-reservations.js';
import { postgresSettlements } from '../../sinks/postgres/settlements.js';
import { commandLine } from '../testing/command-line.js';

let database: FreshDatabase;
let millrace: ReturnType<typeof commandLine>;
/** A tenant of each test's own, with accounts promo (1000.00 CNY, 100 PV) and alerts (5.00 CNY, 0 PV). */
let tenant: string;
let tests = 0;

beforeAll(async () => {
  database = await freshDatabase();
  millrace = commandLine({
    ...process.env,
    DATABASE_URL: database.url,
    DATABASE_SCHEMA: 'millrace',
  });
});
afterAll(() => database.drop());
beforeEach(async () => {
  tests += 1;
  tenant = `t${tests}`;
  for (const [businessLine, cashMicros, units] of [
    ['promo', 1_000_000_000n, 100n],
    ['alerts', 5_000_000n, 0n],
  ] as const) {
    const transferId = `initial/${tenant}/${businessLine}`;
    const amounts = { currency: 'CNY', cashMicros, units };
    await funded(database, { transferId, tenantId: tenant, businessLine, ...amounts });
  }
});

const budget = (...args: string[]) => millrace('budget', ...args);
const grant = (...more: string[]) =>
  budget('grant', `${tenant}/promo`, '--cash', '0.000001', '--currency', 'CNY', ...more);
const done = (id: string) => ['--id', id, '--reason', 'a test', '--apply'];
const available = async (): Promise<unknown> => {
  const { json } = await budget('show', `${tenant}/promo`, '--json');
  return (json() as { cash: { available: unknown } }[])[0]?.cash.available;
};
const actions = async () =>
  (await millrace('actions', '--json')).json() as readonly {
    readonly command: string;
    readonly what: { readonly transferId?: string };
    readonly state: string;
    readonly actor: string;
    readonly reason: string;
    readonly outcome: unknown;
  }[];

describe('a booking', () => {
  test('is shown first, with the very command that books it', async () => {
    const shown = await grant('--units', '7');
    expect(shown).toMatchObject({ code: 0, err: '' });
    expect(shown.out).toContain(
      `would grant ${tenant}/promo 0.000001 CNY and 7 PV; left then: ${tenant}/promo: 1000.000001 CNY and 107 PV available`,
    );
    expect(await available()).toBe(1_000_000_000);
    const [, again = ''] = /^Do it: millrace (.*)$/m.exec(shown.out) ?? [];
    const words = again.replace('"..."', 'why-not').split(' ');
    expect(await millrace(...words)).toMatchObject({ code: 0, err: '' });
    expect(await available()).toBe(1_000_000_001);
  });

  test('that is typed twice is booked once, and says so', async () => {
    const first = await grant(...done(`${tenant}-1`));
    const second = await grant(...done(`${tenant}-1`));
    expect(first.out).toContain(
      `granted ${tenant}/promo 0.000001 CNY (transfer ${tenant}-1, action`,
    );
    expect(second).toMatchObject({ code: 0, err: '' });
    expect(second.out).toContain('booked before, at 20');
    expect(second.out).toContain('nothing is booked again');
    expect(await available()).toBe(1_000_000_001);
  });

  test.each([
    [['--reason', 'x', '--apply'], 'needs --id', 2],
    [['--id', 'x', '--apply'], 'needs --reason', 2],
    [['--id', 'initial/a/b', '--reason', 'x', '--apply'], "configuration's own", 2],
    [['--id', 'recharge/a/b/1', '--reason', 'x', '--apply'], "recharge rules' own", 2],
    [['--id', ' x', '--reason', 'x', '--apply'], 'such as a ticket', 2],
    [['--cash', '1.0000001'], 'at most 6 places', 2],
    [['--cash', '-1'], 'at most 6 places', 2],
    [['--units', '1.5'], 'whole number', 2],
    [['--currency', 'USD'], 'grant refused, currency: the currency is another', 1],
    [['--cash', '0'], 'grant refused, zero_amount', 1],
    [['--cash', '9223372036854.775807'], 'grant refused, overflow', 1],
    [['--cash', '99999999999999999999'], 'grant refused, overflow', 1],
  ])('%j is refused by name, and books nothing', async (more, says, code) => {
    const said = await grant(...more);
    expect(said).toMatchObject({ code, out: '' });
    expect(said.err).toContain(says);
    expect(await available()).toBe(1_000_000_000);
  });

  test('needs an amount, and cash its currency', async () => {
    const nothing = await budget('grant', `${tenant}/promo`);
    expect(nothing).toMatchObject({ code: 2 });
    const bare = await budget('grant', `${tenant}/promo`, '--cash', '1');
    expect(bare.err).toContain('--cash needs --currency');
    const unnamed = await budget('grant', 'promo', '--units', '1');
    expect(unnamed.err).toContain('an account is tenant/line');
  });

  test('that is refused is kept in the record of actions, as is what was booked, by whom and why', async () => {
    await grant(...done(`${tenant}-1`));
    const refused = await budget(
      ...['transfer', `${tenant}/promo`, `${tenant}/alerts`, '--units', '999'],
      ...done(`${tenant}-2`),
    );
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toContain('transfer refused, budget_pv: less PV is available');
    const mine = (await actions()).filter(({ what }) => what.transferId?.startsWith(`${tenant}-`));
    expect(mine).toMatchObject([
      { command: 'budget transfer', state: 'failed', outcome: { kind: 'budget_pv' } },
      { command: 'budget grant', state: 'done', reason: 'a test', outcome: { kind: 'booked' } },
    ]);
    expect(mine[0]?.actor).toMatch(/.@./);
  });

  test('in JSON has outcome, currency and micros, also where it is refused', async () => {
    const shown = await grant('--json');
    expect(shown.json()).toMatchObject({
      applied: false,
      kind: 'grant',
      account: `${tenant}/promo`,
      outcome: 'booked',
      currency: 'CNY',
      cashMicros: 1,
      units: 0,
      left: { cashMicros: 1_000_000_001, units: 100 },
    });
    const pv = await budget('grant', `${tenant}/promo`, '--units', '1', '--json');
    expect(pv.json()).toMatchObject({ currency: 'CNY', cashMicros: 0, units: 1 });
    const refused = await budget('close', `${tenant}/none`, ...done(`${tenant}-1`), '--json');
    expect(refused).toMatchObject({ code: 1, err: '' });
    expect(refused.json()).toMatchObject({ applied: true, outcome: 'unknown_account', left: null });
  });
});

test('a transfer is in the history of both accounts, and an account of none is told from an unknown one', async () => {
  const moved = await budget(
    ...['transfer', `${tenant}/promo`, `${tenant}/alerts`],
    ...['--cash', '200', '--currency', 'CNY', '--units', '5'],
    ...done(`${tenant}-1`),
  );
  expect(moved.out).toContain(
    `moved 200.00 CNY and 5 PV from ${tenant}/promo to ${tenant}/alerts (transfer ${tenant}-1`,
  );
  expect(moved.out).toContain(
    `left: ${tenant}/promo: 800.00 CNY and 95 PV available; ${tenant}/alerts: 205.00 CNY and 5 PV available`,
  );
  const lines = async (name: string) =>
    (await budget('history', `${tenant}/${name}`)).out
      .split('\n')
      .map((line) => line.replaceAll(/ +/g, ' ').replace(/^\S+ /, '').trim());
  expect((await lines('promo'))[1]).toMatch(
    `${tenant}-1 transfer -200.00 CNY -5 ${tenant}/alerts 800.00 95 `,
  );
  expect((await lines('alerts'))[1]).toMatch(
    `${tenant}-1 transfer +200.00 CNY +5 ${tenant}/promo 205.00 5 `,
  );
  expect((await lines('promo'))[1]).toMatch(/@.* a test$/);
  const limited = await budget('history', `${tenant}/promo`, '--limit', '1', '--json');
  expect(limited.json()).toMatchObject([{ transferId: `${tenant}-1`, cashMicros: 200_000_000 }]);
  expect(await budget('history', `${tenant}/none`)).toMatchObject({ code: 1 });
});

/** Message n: 100.00 CNY and 10 PV reserved. */
const reserve = (...messages: number[]) => reserveAll(messages, {});
const reserveAll = async (
  messages: readonly number[],
  over: Partial<ReservationRequest>,
): Promise<readonly string[]> => {
  const decisions = await ownedReservations(database).reserve(
    messages.map((n) => ({
      tenantId: tenantId(tenant),
      businessLine: 'promo',
      messageId: idOf(n),
      generation: 0,
      createdAt: NOON,
      at: { topic: `ingest.${tenant}`, partition: 0, offset: n },
      cashMicros: 100_000_000n,
      units: 10,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
      ...over,
    })),
  );
  return decisions.map(({ kind }) => kind);
};
const NOON = Date.UTC(2026, 4, 20, 12);
const idOf = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

const settle = async (
  ...postings: readonly (readonly ['post' | 'void' | 'reverse', number, bigint])[]
): Promise<void> => {
  const settlements = postgresSettlements(database, 'settle');
  const slice = { topic: `feedback.${tenant}`, partition: 0 };
  await settlements.loadOffsets([{ ...slice, beginning: 0 }]);
  await settlements.apply([
    {
      ...slice,
      start: 0,
      next: 1,
      postings: postings.map(([kind, n, cashMicros]) => ({
        kind,
        tenantId: tenantId(tenant),
        messageId: idOf(n),
        generation: 0,
        createdAt: NOON,
        cashMicros,
        units: 10,
        renewable: false,
      })),
    },
  ]);
};

test('a closed account says what is left and what is pending, refuses messages, and can be emptied', async () => {
  await reserve(1);
  const closed = await budget('close', `${tenant}/promo`, ...done(`${tenant}-1`));
  expect(closed.out).toContain(`left: ${tenant}/promo: 900.00 CNY and 90 PV available`);
  expect(closed.out).toContain('pending now: 100.00 CNY and 10 PV');
  expect(await reserve(2)).toEqual(['account_closed']);
  expect((await budget('show', `${tenant}/promo`)).out).toMatch(/900\.00 .*closed/);
  await settle(['void', 1, 0n]);
  const emptied = await budget(
    ...['transfer', `${tenant}/promo`, `${tenant}/alerts`],
    ...['--cash', '1000', '--currency', 'CNY', '--units', '100'],
    ...done(`${tenant}-2`),
  );
  expect(emptied.code).toBe(0);
});

test('burn is what recent messages cost or may cost, by the hour, and how long what is available lasts at that', async () => {
  // 100 posted at 60, 100 posted and half paid back, 100 void, 100 pending: 60 + 50 + 0 + 100.
  await reserve(1, 2, 3, 4);
  await settle(
    ['post', 1, 60_000_000n],
    ['post', 2, 100_000_000n],
    ['reverse', 2, 50_000_000n],
    ['void', 3, 0n],
  );
  const age = {
    name: '',
    text: `update accounts set created_at = now() - interval '10 hours' where tenant_id = $1`,
  };
  await database.query(age, [tenant]);
  const burn = async (...more: string[]) =>
    (await budget('burn', `${tenant}/promo`, '--json', ...more)).json() as readonly {
      readonly since: string;
      readonly until: string;
      readonly cash: { readonly emptyAt: string };
    }[];
  const [found] = await burn();
  expect(found).toMatchObject({
    currency: 'CNY',
    cash: { spent: 210_000_000, available: 790_000_000 },
    pv: { spent: 20, available: 80 },
  });
  if (found === undefined) throw new Error('an account');
  // Since it was opened, ten hours ago: 21 an hour.
  expect(Date.parse(found.until) - Date.parse(found.since)).toBeGreaterThanOrEqual(36_000_000);
  const lastsH = (Date.parse(found.cash.emptyAt) - Date.parse(found.until)) / 3_600_000;
  expect(lastsH).toBeCloseTo(790 / 21, 1);
  const [within] = await burn('--since', '2h');
  expect(within).toMatchObject({ cash: { spent: 210_000_000 } });
  const text = (await budget('burn', tenant)).out;
  expect(text).toMatch(/promo +CNY +210\.00 +2[01]\.\d+ +790\.00 +1 d 13 h +20/);
  // Nothing was spent: nothing to divide by.
  expect(text).toMatch(/alerts +CNY +0\.00 +0\.00 +5\.00$/m);
  const since = new Date(Date.now() + 60_000).toISOString();
  expect(await burn('--since', since)).toMatchObject([{ cash: { spent: 0, emptyAt: null } }]);
});

test('quota has limits, stops, what is used and held in this day and month, and what is past its limit', async () => {
  const quota = (period: 'day' | 'month', units: number, cash?: string) => ({
    channel: 'sms',
    period,
    ...(cash !== undefined && { cash }),
    units,
    elasticFactor: 1.5,
  });
  const configured = (id: string, ...quotas: ReturnType<typeof quota>[]) => {
    const line = { name: 'promo', currency: 'CNY', initialCash: '0', initialUnits: 0 };
    const [own, ...all] = quotas;
    const businessLines = [{ ...line, ...(own !== undefined && { quotas: [own] }) }];
    return { id, ownIngest: false, lanes: ['p0' as const], quotas: all, businessLines };
  };
  await postgresQuotas(database).set([
    configured(tenant, quota('month', 15), quota('day', 30, '150')),
    configured(`${tenant}-idle`, quota('month', 0)),
  ]);
  const now = Date.now();
  const candidates = [{ channel: 'sms', cashMicros: 80_000_000n }];
  expect(await reserveAll([1, 2, 3], { createdAt: now, candidates })).toEqual([
    'reserved',
    'reserved',
    'quota',
  ]);
  const [day, month] = [10, 7].map((length) => new Date(now).toISOString().slice(0, length));
  const lines = (await budget('quota', tenant)).out
    .split('\n')
    .map((line) => line.replaceAll(/ +/g, ' ').trim());
  expect(lines.slice(1).filter((line) => line !== '')).toEqual([
    `${tenant} (all) sms ${day} CNY 150.00 225.00 0.00 160.00 106.7 % past the limit`,
    'PV 30 45 0 20 66.7 %',
    `${tenant}/promo sms ${month} PV 15 22 0 20 133.3 % past the limit`,
  ]);
  expect((await budget('quota', `${tenant}-idle`)).out).toMatch(/PV +0 +0 +0 +0 +at the stop/);
  expect((await budget('quota', '--json')).json()).toMatchObject([
    {
      tenantId: tenant,
      businessLine: null,
      currency: 'CNY',
      elasticFactor: 1.5,
      cash: { limit: 150_000_000, stop: 225_000_000, held: 160_000_000, past: true, share: 1.0666 },
    },
    { businessLine: 'promo', cash: null, pv: { used: 0, held: 20, past: true } },
    { tenantId: `${tenant}-idle`, passedAt: null, pv: { past: false, share: null } },
  ]);
  expect(await budget('quota', 'nobody')).toMatchObject({ code: 1, out: '' });
});

test('show has all accounts of those that are named, and names what is nobody', async () => {
  const names = ((await budget('show', tenant, '--json')).json() as { businessLine: string }[]).map(
    ({ businessLine }) => businessLine,
  );
  expect(names).toEqual(['alerts', 'promo']);
  const unknown = await budget('show', tenant, 'nobody');
  expect(unknown).toMatchObject({ code: 1, out: '' });
  expect(unknown.err).toContain('there is no account nobody');
});
