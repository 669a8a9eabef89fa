import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { type Recharge, postgresRecharges } from '../../sinks/postgres/recharges.js';
import { failing } from '../../sinks/postgres/testing/failing.js';
import { freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import { commandLine } from '../testing/command-line.js';

let database: FreshDatabase;
let millrace: ReturnType<typeof commandLine>;
/** Of each test's own, with one recharge of 50.00 CNY that waits for a person. */
let tenant: string;
let id: string;
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
  id = `recharge/${tenant}/promo/1`;
  await funded(database, {
    tenantId: tenant,
    businessLine: 'promo',
    transferId: `initial/${tenant}`,
    currency: 'CNY',
    cashMicros: 1_000_000n,
    units: 0n,
  });
  const recharges = postgresRecharges(database);
  const found = await recharges.accounts([tenant]);
  const proposed = await recharges.propose(
    {
      rechargeId: id,
      accountId: found?.accounts[0]?.accountId ?? 0,
      seq: 1,
      rule: 'low',
      cashMicros: 50_000_000n,
      units: 0n,
      currency: 'CNY',
      seen: { when: 'cash.share < 0.2' },
      decision: { state: 'person', because: 'no review rule decides it' },
    },
    3_600_000,
  );
  expect(proposed).toBe(true);
});

const audit = (...args: string[]) => millrace('audit', ...args);
const granted = async () =>
  (await postgresLedger(database).balances()).find((one) => one.tenantId === tenant)?.cash.granted;

test('what waits is listed with account, amount, rule and why, and shown whole', async () => {
  const listed = await audit('list');
  expect(listed.out).toMatch(
    new RegExp(`${id} +${tenant}/promo +50\\.00 CNY +low +20.*a person is asked +no review rule`),
  );
  expect((await audit('list', '--json')).json()).toContainEqual(
    expect.objectContaining({ rechargeId: id, cashMicros: 50_000_000, state: 'person' }),
  );
  expect((await audit('show', id)).out).toContain('it saw {"when":"cash.share < 0.2"}');
  expect((await audit('list', '--state', 'booked')).out).not.toContain(id);
});

test('an approval is shown first, needs a reason, and books once: by whom and why stays in archive, journal and record of actions', async () => {
  const shown = await audit('approve', id);
  expect(shown.out).toContain(`would approve ${id} (${tenant}/promo 50.00 CNY)`);
  expect(await audit('approve', id, '--apply')).toMatchObject({ code: 2 });
  expect(await granted()).toBe(1_000_000n);
  const done = await audit('approve', id, '--reason', 'FIN-7', '--apply', '--json');
  expect(done.json()).toMatchObject({ applied: true, state: 'booked', reason: 'FIN-7' });
  expect((done.json() as Recharge).decidedBy).toMatch(/.@./);
  expect(await granted()).toBe(51_000_000n);
  const again = await audit('approve', id, '--reason', 'FIN-7', '--apply');
  expect(again).toMatchObject({ code: 1, out: '' });
  expect(again.err).toContain(`${id} is decided: booked, approved by`);
  expect((await audit('reject', id, '--reason', 'x', '--apply')).code).toBe(1);
  expect(await granted()).toBe(51_000_000n);
  const journal = await postgresTransfers(database).history(
    { tenantId: tenant, businessLine: 'promo' },
    1,
  );
  expect(journal).toMatchObject([{ transferId: id, note: 'recharge rule low: FIN-7' }]);
  expect((await millrace('actions', '--json')).json()).toContainEqual(
    expect.objectContaining({ command: 'audit approve', state: 'done', reason: 'FIN-7' }),
  );
});

test('a rejection books nothing and is kept with who and why', async () => {
  const done = await audit('reject', id, '--reason', 'budget is spent', '--apply');
  expect(done.out).toContain(`${id} (${tenant}/promo 50.00 CNY): rejected by`);
  expect(await granted()).toBe(1_000_000n);
  expect((await audit('list', '--all')).out).toContain('budget is spent');
});

test('two people at once: one decides, the other is told what was decided', async () => {
  const both = await Promise.all([
    audit('approve', id, '--reason', 'a', '--apply'),
    audit('approve', id, '--reason', 'b', '--apply'),
  ]);
  expect(both.map(({ code }) => code).sort()).toEqual([0, 1]);
  expect(await granted()).toBe(51_000_000n);
});

test('what the ledger refuses ends with 1 and says why', async () => {
  await postgresTransfers(database).close({
    tenantId: tenant,
    businessLine: 'promo',
    transferId: `close/${tenant}`,
  });
  const refused = await audit('approve', id, '--reason', 'a', '--apply');
  expect(refused.code).toBe(1);
  expect(refused.out).toContain('refused by the ledger: account_closed');
});

test('one that is none is named', async () => {
  const none = await audit('show', 'recharge/x/y/9');
  expect(none).toMatchObject({ code: 1, out: '' });
  expect(none.err).toContain('there is no recharge recharge/x/y/9');
});

test('a proposal whose writer died unheard is there once', async () => {
  const one = await postgresRecharges(database).find(id);
  const accounts = await postgresRecharges(database).accounts([tenant]);
  const again = {
    rechargeId: `recharge/${tenant}/promo/2`,
    accountId: accounts?.accounts[0]?.accountId ?? 0,
    seq: 2,
    rule: 'low',
    cashMicros: one?.cashMicros ?? 0n,
    units: 0n,
    currency: 'CNY',
    seen: {},
    decision: { state: 'review' } as const,
  };
  await expect(postgresRecharges(failing(database, 0, 'after')).propose(again, 1)).rejects.toThrow(
    'gone',
  );
  expect(await postgresRecharges(database).propose(again, 1)).toBe(false);
});
