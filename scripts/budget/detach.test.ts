import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import { dayOf } from '../../sinks/postgres/days.js';
import { postgresSettlements } from '../../sinks/postgres/settlements.js';
import { freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { ownedReservations } from '../../sinks/postgres/testing/owned-reservations.js';
import { commandLine } from '../testing/command-line.js';

const DAY = 86_400_000;
const tenant = tenantId('harbour');

let database: FreshDatabase;
let millrace: ReturnType<typeof commandLine>;
let messages = 0;
let settled = 0;

beforeEach(async () => {
  database = await freshDatabase();
  millrace = commandLine({
    ...process.env,
    DATABASE_URL: database.url,
    DATABASE_SCHEMA: 'millrace',
  });
  messages = 0;
  settled = 0;
  await postgresSettlements(database, 'settle').loadOffsets([
    { topic: 'feedback', partition: 0, beginning: 0 },
  ]);
  await funded(database, {
    transferId: 'first',
    tenantId: tenant,
    businessLine: 'alerts',
    currency: 'CNY',
    cashMicros: 10_000n,
    units: 100n,
  });
});
afterEach(() => database.drop());

const daysAgo = (days: number): number => Date.now() - days * DAY;

/** One that costs 10 micros and a unit, reserved on the day of its createdAt. @returns its id */
const reserve = async (createdAt: number) => {
  messages += 1;
  const id = messageId(`0190b6a2-7c1a-7000-8000-${messages.toString().padStart(12, '0')}`);
  const [decision] = await ownedReservations(database).reserve([
    {
      tenantId: tenant,
      businessLine: 'alerts',
      messageId: id,
      generation: 0,
      createdAt,
      at: { topic: 'ingest.p0', partition: 0, offset: messages },
      cashMicros: 10n,
      units: 1,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
    },
  ]);
  return { id, createdAt, kind: decision?.kind };
};

const settle = async (
  kind: 'post' | 'void' | 'reverse',
  { id, createdAt }: { readonly id: ReturnType<typeof messageId>; readonly createdAt: number },
  cashMicros = 0n,
) => {
  const start = settled;
  settled += 1;
  const answer = await postgresSettlements(database, 'settle').apply([
    {
      topic: 'feedback',
      partition: 0,
      start,
      next: settled,
      postings: [
        {
          kind,
          tenantId: tenant,
          messageId: id,
          generation: 0,
          createdAt,
          cashMicros,
          units: kind === 'void' ? 0 : 1,
          renewable: false,
        },
      ],
    },
  ]);
  expect(answer).toMatchObject({ kind: 'applied', outcomes: { applied: 1 } });
};

const detach = (...args: string[]) => millrace('budget', 'detach', ...args);
const before = (days: number): string[] => ['--before', dayOf(daysAgo(days))];
const APPLY = ['--reason', 'a test', '--apply'];
const tables = async () =>
  (
    await database.query<{ day: string; attached: boolean }>({
      name: 'days',
      text: 'select day::text, attached from reservation_days order by day',
    })
  ).map(({ day, attached }) => `${day} ${attached ? 'attached' : 'detached'}`);

describe('budget detach', () => {
  test('shows first, then detaches what is resolved, and keeps what each account posted', async () => {
    const oldest = daysAgo(60);
    const old = daysAgo(50);
    await settle('post', await reserve(oldest), 7n);
    const paidBack = await reserve(oldest);
    await settle('post', paidBack, 10n);
    await settle('reverse', paidBack, 4n);
    await settle('void', await reserve(old));
    await reserve(daysAgo(1));

    const shown = await detach(...before(40));
    expect(shown).toMatchObject({ code: 0, err: '' });
    expect(shown.out).toContain('would detach 2 of 2 days');
    expect(await tables()).toEqual(
      [oldest, old, daysAgo(1)].map((time) => `${dayOf(time)} attached`),
    );

    const done = await detach(...before(40), ...APPLY);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(done.out).toMatch(/2 of 2 days detached \(action /);
    expect(await tables()).toEqual([
      `${dayOf(oldest)} detached`,
      `${dayOf(old)} detached`,
      `${dayOf(daysAgo(1))} attached`,
    ]);
    const kept = await database.query({
      name: 'kept',
      text: 'select day::text, reservations, cash, units from detached_days order by day',
    });
    expect(kept).toEqual([
      { day: dayOf(oldest), reservations: 2n, cash: 13n, units: 1n },
      { day: dayOf(old), reservations: 1n, cash: 0n, units: 0n },
    ]);
    // The archive is there for whoever wants to keep it.
    const [rows] = await database.query<{ count: bigint }>({
      name: 'archive',
      text: `select count(*) from reservations_${dayOf(oldest).replaceAll('-', '')}`,
    });
    expect(rows?.count).toBe(2n);
    expect((await reserve(oldest)).kind).toBe('too_old');
    expect((await reserve(daysAgo(1))).kind).toBe('reserved');
    const again = await detach(...before(40), ...APPLY, '--json');
    expect(again.json()).toMatchObject({ applied: true, done: [], stopsAt: null });
  });

  test('stops at the first day that has something pending: its money would be pending for ever', async () => {
    await settle('void', await reserve(daysAgo(60)));
    await reserve(daysAgo(50));
    await settle('void', await reserve(daysAgo(45)));
    const done = await detach(...before(40), ...APPLY);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(done.out).toContain('1 of 3 days detached');
    expect(done.out).toContain(`${dayOf(daysAgo(50))} stays`);
    expect((await tables()).map((line) => line.split(' ')[1])).toEqual([
      'detached',
      'attached',
      'attached',
    ]);
  });

  test('of a day that carriers may still report on is refused, as is what is no day', async () => {
    const young = await detach(...before(30));
    expect(young).toMatchObject({ code: 2, out: '' });
    expect(young.err).toContain('for 35 days carriers may still report');
    expect(await detach('--before', '2026-02-31x')).toMatchObject({ code: 2, out: '' });
    expect((await detach(...before(40), '--apply')).err).toContain('--apply needs --reason');
  });

  test('where there is nothing to detach says so', async () => {
    expect(await detach(...before(40))).toMatchObject({
      code: 0,
      out: expect.stringContaining('is attached') as string,
    });
  });

  test('a second one that would skip an older day does nothing', async () => {
    await settle('void', await reserve(daysAgo(60)));
    await settle('void', await reserve(daysAgo(50)));
    const [answer] = await database.query(
      {
        name: 'second',
        text: 'select outcome from detach_day($1::date)',
      },
      [dayOf(daysAgo(50))],
    );
    expect(answer).toEqual({ outcome: 'not_the_oldest' });
    expect((await tables()).every((line) => line.endsWith('attached'))).toBe(true);
  });

  test('what a detached day posted is never changed', async () => {
    await settle('post', await reserve(daysAgo(60)), 7n);
    await detach(...before(40), ...APPLY);
    await expect(
      database.query({ name: 'change', text: 'update detached_days set cash = 0' }),
    ).rejects.toThrow(/never changed/);
  });
});
