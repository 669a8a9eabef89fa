import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import { type AccountLevels, postgresAccountLevels } from './account-levels.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { ownedReservations } from './testing/owned-reservations.js';
import { type PostgresTransfers, postgresTransfers } from './transfers.js';

const NOON = Date.UTC(2026, 4, 20, 12);

let database: FreshDatabase;
let levels: AccountLevels;
let transfers: PostgresTransfers;
let message = 0;

beforeAll(async () => {
  database = await freshDatabase();
  levels = postgresAccountLevels(database);
  transfers = postgresTransfers(database);
});
afterAll(() => database.drop());
/** Accounts of one test: all others are told, and out of the way. */
let tenant: string;
let tests = 0;
beforeEach(async () => {
  tests += 1;
  tenant = `t${tests}`;
  await tell();
});

const open = (line: string) =>
  transfers.openAccount({ tenantId: tenant, businessLine: line }, 'CNY');
let grants = 0;
const grant = async (line: string, cashMicros: bigint, units: bigint) => {
  grants += 1;
  const transferId = `g${grants}`;
  const currency = cashMicros === 0n ? null : 'CNY';
  const account = { tenantId: tenant, businessLine: line };
  expect(
    await transfers.grant({ ...account, transferId, currency, cashMicros, units }),
  ).toMatchObject({ kind: 'booked' });
};
const spend = async (line: string, cashMicros: bigint, units: number) => {
  message += 1;
  const [decision] = await ownedReservations(database).reserve([
    {
      tenantId: tenantId(tenant),
      businessLine: line,
      messageId: messageId(`00000000-0000-4000-8000-${String(message).padStart(12, '0')}`),
      generation: 0,
      createdAt: NOON,
      at: { topic: 'ingest.p0', partition: 0, offset: message },
      cashMicros,
      units,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
    },
  ]);
  expect(decision?.kind).toBe('reserved');
};
/** What is to be told, which then is. */
const tell = async () => {
  const changed = await levels.changed();
  await levels.published(changed);
  return changed.map(
    ({ record, level }) =>
      `${record.businessLine} ${level} ${record.share.toFixed(2)}${record.open ? '' : ' closed'}`,
  );
};

describe('an account is told', () => {
  test('when it is new, crosses 20 %, 10 % and empty, is recharged and closed; and not in between', async () => {
    await open('promo');
    expect(await tell()).toEqual(['promo 0 0.00']);
    await grant('promo', 100n, 0n);
    expect(await tell()).toEqual(['promo 3 1.00']);
    await spend('promo', 79n, 0);
    expect(await tell()).toEqual([]);
    await spend('promo', 1n, 0);
    expect(await tell()).toEqual(['promo 2 0.20']);
    await spend('promo', 9n, 0);
    expect(await tell()).toEqual([]);
    await spend('promo', 1n, 0);
    expect(await tell()).toEqual(['promo 1 0.10']);
    await spend('promo', 10n, 0);
    expect(await tell()).toEqual(['promo 0 0.00']);
    await grant('promo', 50n, 0n);
    expect(await tell()).toEqual(['promo 3 1.00']);
    // Nothing crossed a level: it is told because it was recharged.
    await grant('promo', 50n, 0n);
    expect(await tell()).toEqual(['promo 3 1.00']);
    const account = { tenantId: tenant, businessLine: 'promo' };
    await transfers.close({ ...account, transferId: `${tenant}/close` });
    expect(await tell()).toEqual(['promo 3 1.00 closed']);
    expect(await tell()).toEqual([]);
  });

  test('the smaller of cash and PV, against the balance after the last recharge of each', async () => {
    await open('promo');
    await grant('promo', 100n, 1000n);
    await spend('promo', 50n, 900);
    expect(await tell()).toEqual(['promo 1 0.10']);
    // 100 left + 100 granted; cash keeps its own base of 100.
    await grant('promo', 0n, 100n);
    expect(await tell()).toEqual(['promo 3 0.50']);
    await spend('promo', 1n, 150);
    expect(await tell()).toEqual([]);
    await spend('promo', 1n, 10);
    expect(await tell()).toEqual(['promo 2 0.20']);
  });

  test('an incoming transfer is a recharge, what goes out is none', async () => {
    await open('promo');
    await open('other');
    await grant('promo', 100n, 0n);
    await tell();
    const [from, to] = ['promo', 'other'].map((businessLine) => ({
      tenantId: tenant,
      businessLine,
    }));
    if (from === undefined || to === undefined) throw new Error('two accounts');
    const amounts = { currency: 'CNY', cashMicros: 90n, units: 0n };
    await transfers.transfer({ ...amounts, transferId: `${tenant}/1`, from, to });
    expect(await tell()).toEqual(['promo 1 0.10', 'other 3 1.00']);
  });

  test('again after an hour, so that counters are never older', async () => {
    await open('promo');
    await tell();
    const age = {
      name: '',
      text: `update account_levels set published_at = published_at - interval '61 minutes'
             where account_id = (select account_id from accounts where tenant_id = $1)`,
    };
    await database.query(age, [tenant]);
    expect(await tell()).toEqual(['promo 0 0.00']);
  });

  test('again where two workers told it at once: which record lies last is not known', async () => {
    await open('promo');
    const one = await levels.changed();
    await grant('promo', 100n, 0n);
    const two = await levels.changed();
    // The topic has: two, one. Postgres hears: one, two.
    await levels.published(one);
    await levels.published(two);
    expect(await tell()).toEqual(['promo 3 1.00']);
    expect(await tell()).toEqual([]);
  });
});
