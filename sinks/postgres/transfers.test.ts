import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { TenantConfig } from '../../schemas/config.js';
import { grantInitialBudgets } from './initial-grants.js';
import { postgresLedger } from './ledger.js';
import { postgresSettlements } from './settlements.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { ownedReservations } from './testing/owned-reservations.js';
import { postgresTransfers } from './transfers.js';
import type { AccountName, Booking } from './transfers.js';

const NOON = Date.UTC(2026, 4, 20, 12);

let database: FreshDatabase;
let transfers: ReturnType<typeof postgresTransfers>;
let reservations: ReturnType<typeof ownedReservations>;
/** A tenant of each test's own: accounts never meet. */
let tenant: string;
let tests = 0;
let offset = 0;

beforeAll(async () => {
  database = await freshDatabase();
  transfers = postgresTransfers(database);
  reservations = ownedReservations(database);
});
afterAll(() => database.drop());
beforeEach(() => {
  tests += 1;
  tenant = `t${tests}`;
  offset = 0;
});

/** `promo`, or `other:promo` of the test's second tenant. */
const account = (name = ''): AccountName => {
  const [line = '', other] = name.split(':').reverse();
  return { tenantId: other === undefined ? tenant : `${tenant}-${other}`, businessLine: line };
};

const change = (id = '') => ({ transferId: `${tenant}/${id}`, actor: 'ann@host', note: 'a test' });
const amounts = (cash = '', units = '', currency = 'CNY') => ({
  cashMicros: BigInt(cash),
  units: BigInt(units),
  currency: currency === 'none' ? null : currency,
});

const settle = async (kind: 'post' | 'void' | 'reverse', n = '', cash = '0', units = '0') => {
  const settlements = postgresSettlements(database, 'settle');
  const slice = { topic: `feedback.${tenant}`, partition: 0 };
  await settlements.loadOffsets([{ ...slice, beginning: 0 }]);
  const posting = {
    kind,
    tenantId: tenantId(tenant),
    messageId: messageId(`00000000-0000-4000-8000-${n.padStart(12, '0')}`),
    generation: 0,
    createdAt: NOON,
    cashMicros: BigInt(cash),
    units: Number(units),
    renewable: false,
  };
  const answer = await settlements.apply([
    { ...slice, start: offset, next: offset + 1, postings: [posting] },
  ]);
  offset += 1;
  if (answer.kind === 'lost') return 'lost';
  return Object.entries(answer.outcomes).find(([, count]) => count > 0)?.[0] ?? '';
};

const balance = async (name: string) => {
  const { tenantId: owner, businessLine } = account(name);
  const found = (await postgresLedger(database).balances()).find(
    (one) => one.tenantId === owner && one.businessLine === businessLine,
  );
  if (found === undefined) return 'none';
  return [found.cash, found.pv]
    .map((of) => [of.granted, of.available, of.pending, of.posted].join(' '))
    .join(' / ');
};

/** One word a kind of step; each answers in a word. */
const STEPS: Record<string, (...words: string[]) => Promise<string>> = {
  open: (name, currency = 'CNY') => transfers.openAccount(account(name), currency),
  grant: async (id, to, ...rest) =>
    (await transfers.grant({ ...change(id), ...account(to), ...amounts(...rest) })).kind,
  transfer: async (id, from, to, ...rest) => {
    const ends = { from: account(from), to: account(to) };
    return (await transfers.transfer({ ...change(id), ...ends, ...amounts(...rest) })).kind;
  },
  close: async (id, name) => (await transfers.close({ ...change(id), ...account(name) })).kind,
  reserve: async (n = '', name = '', cash = '', units = '') => {
    const [decision] = await reservations.reserve([
      {
        tenantId: tenantId(tenant),
        businessLine: name,
        messageId: messageId(`00000000-0000-4000-8000-${n.padStart(12, '0')}`),
        generation: 0,
        createdAt: NOON,
        at: { topic: 'ingest.p0', partition: 0, offset: Number(n) },
        cashMicros: BigInt(cash),
        units: Number(units),
        currency: 'CNY',
        unitsCap: null,
        cashCapMicros: null,
      },
    ]);
    return decision?.kind ?? '';
  },
  post: (n, cash, units) => settle('post', n, cash, units),
  void: (n) => settle('void', n),
  reverse: (n, cash, units) => settle('reverse', n, cash, units),
};

const MOST = (2n ** 63n - 1n).toString();

/**
 * Tables of transfers and what comes of them, as TigerBeetle's state machine tests have them. A step is
 * `kind id account.. cash PV currency -> outcome`, a balance `account: granted available pending posted / the same of PV`.
 */
const TABLES: Record<string, string> = {
  'a grant adds to what is granted and available': `
    open promo                     -> opened
    grant 1 promo 1000 10          -> booked
    grant 2 promo 500 0            -> booked
    grant 3 promo 0 7 none         -> booked
    promo: 1500 1500 0 0 / 17 17 0 0`,
  'the same id again answers the first time, with other content it is a conflict': `
    open promo                     -> opened
    open alerts                    -> opened
    grant 1 promo 1000 10          -> booked
    grant 1 promo 1000 10          -> repeated
    grant 1 promo 1000 10 none     -> repeated
    grant 1 promo 1001 10          -> idempotency_conflict
    grant 1 promo 1000 11          -> idempotency_conflict
    grant 1 promo 1000 10 USD      -> idempotency_conflict
    grant 1 promo -1 10            -> idempotency_conflict
    grant 1 alerts 1000 10         -> idempotency_conflict
    grant 1 nobody 1000 10         -> idempotency_conflict
    transfer 1 alerts promo 1000 10 -> idempotency_conflict
    close 1 promo                  -> idempotency_conflict
    transfer 2 promo alerts 300 3  -> booked
    transfer 2 promo alerts 300 3  -> repeated
    transfer 2 alerts promo 300 3  -> idempotency_conflict
    grant 2 alerts 300 3           -> idempotency_conflict
    open third                     -> opened
    transfer 2 third alerts 300 3  -> idempotency_conflict
    promo: 700 700 0 0 / 7 7 0 0
    alerts: 300 300 0 0 / 3 3 0 0`,
  'a transfer moves cash and PV, both or neither': `
    open promo                     -> opened
    open alerts                    -> opened
    grant 1 promo 1000 10          -> booked
    transfer 2 promo alerts 1000 11 -> budget_pv
    transfer 3 promo alerts 1001 10 -> budget_cash
    promo: 1000 1000 0 0 / 10 10 0 0
    transfer 4 promo alerts 1000 10 -> booked
    transfer 5 promo alerts 1 0    -> budget_cash
    transfer 6 alerts promo 0 4    -> booked
    promo: 0 0 0 0 / 4 4 0 0
    alerts: 1000 1000 0 0 / 6 6 0 0`,
  'only what is available is moved: pending and posted stay': `
    open promo                     -> opened
    open alerts                    -> opened
    grant 1 promo 1000 10          -> booked
    reserve 1 promo 400 4          -> reserved
    reserve 2 promo 100 1          -> reserved
    post 2 60 1                    -> applied
    transfer 2 promo alerts 541 5  -> budget_cash
    transfer 3 promo alerts 540 5  -> booked
    promo: 460 0 400 60 / 5 0 4 1
    void 1                         -> applied
    promo: 460 400 0 60 / 5 4 0 1`,
  'a refusal keeps nothing: the id passes later': `
    open promo                     -> opened
    open alerts                    -> opened
    transfer 1 promo alerts 10 0   -> budget_cash
    grant 2 promo 10 0             -> booked
    transfer 1 promo alerts 10 0   -> booked
    alerts: 10 10 0 0 / 0 0 0 0`,
  'amounts that are none are refused': `
    open promo                     -> opened
    open alerts                    -> opened
    grant 1 promo 5 5              -> booked
    grant 2 promo 0 0              -> zero_amount
    grant 3 promo -1 5             -> negative_amount
    grant 4 promo 5 -1             -> negative_amount
    grant 5 promo -${MOST}0 0      -> negative_amount
    transfer 6 promo alerts 0 0    -> zero_amount
    transfer 7 promo alerts -5 0   -> negative_amount
    transfer 8 promo alerts 1 -1   -> negative_amount
    promo: 5 5 0 0 / 5 5 0 0
    alerts: 0 0 0 0 / 0 0 0 0`,
  'no sum leaves its range': `
    open promo                     -> opened
    open alerts                    -> opened
    grant 1 promo ${MOST}0 0       -> overflow
    grant 2 promo 0 ${MOST}0       -> overflow
    grant 3 promo ${MOST} ${MOST}  -> booked
    grant 4 promo 1 0              -> overflow
    grant 5 promo 0 1              -> overflow
    grant 6 alerts 1 1             -> booked
    transfer 7 alerts promo 1 0    -> overflow
    transfer 8 promo alerts ${MOST} 0 -> overflow
    promo: ${MOST} ${MOST} 0 0 / ${MOST} ${MOST} 0 0
    alerts: 1 1 0 0 / 1 1 0 0`,
  'unknown accounts are refused, not made': `
    open promo                     -> opened
    grant 1 nobody 5 0             -> unknown_account
    grant 2 promo 5 0              -> booked
    transfer 3 promo nobody 5 0    -> unknown_account
    transfer 4 nobody promo 5 0    -> unknown_account
    close 5 nobody                 -> unknown_account
    nobody: none
    promo: 5 5 0 0 / 0 0 0 0`,
  'currencies and tenants do not mix': `
    open promo                     -> opened
    open abroad USD                -> opened
    open other:promo               -> opened
    open promo                     -> there
    open promo USD                 -> currency
    grant 1 promo 5 5 USD          -> currency
    grant 2 promo 5 5              -> booked
    transfer 3 promo abroad 5 0    -> currency
    transfer 4 promo abroad 0 5 none -> currency
    transfer 5 promo abroad 5 0 USD -> currency
    transfer 6 promo other:promo 5 0 -> other_tenant
    transfer 7 promo promo 5 0     -> same_account
    promo: 5 5 0 0 / 5 5 0 0`,
  'a closed account reserves nothing and takes nothing in': `
    open promo                     -> opened
    open alerts                    -> opened
    grant 1 promo 1000 10          -> booked
    grant 2 alerts 100 1           -> booked
    close 3 promo                  -> booked
    close 3 promo                  -> repeated
    close 4 promo                  -> account_closed
    close 3 alerts                 -> idempotency_conflict
    reserve 1 promo 1 1            -> account_closed
    grant 5 promo 1 0              -> account_closed
    grant 1 promo 1000 10          -> repeated
    transfer 6 alerts promo 1 0    -> account_closed
    open promo                     -> there
    promo: 1000 1000 0 0 / 10 10 0 0
    alerts: 100 100 0 0 / 1 1 0 0`,
  'what was pending when an account was closed is settled, and what is left moved out': `
    open promo                     -> opened
    open alerts                    -> opened
    grant 1 promo 1000 10          -> booked
    reserve 1 promo 100 1          -> reserved
    reserve 2 promo 100 1          -> reserved
    reserve 3 promo 100 1          -> reserved
    post 3 80 1                    -> applied
    close 2 promo                  -> booked
    reserve 1 promo 100 1          -> reserved
    post 1 70 1                    -> applied
    void 2                         -> applied
    reverse 3 80 1                 -> applied
    promo: 1000 930 0 70 / 10 9 0 1
    transfer 4 promo alerts 930 9  -> booked
    promo: 70 0 0 70 / 1 0 0 1
    alerts: 930 930 0 0 / 9 9 0 0`,
};

test.each(Object.entries(TABLES))('%s', async (_, steps) => {
  for (const line of steps.trim().split('\n')) {
    const [step = '', outcome] = line.split('->').map((part) => part.trim());
    if (outcome === undefined) {
      const [name = '', counters] = step.split(': ');
      expect(await balance(name), line).toBe(counters);
    } else {
      const [kind = '', ...words] = step.split(/ +/);
      expect(await STEPS[kind]?.(...words), line).toBe(outcome);
    }
  }
});

const opened = async (...names: string[]): Promise<void> => {
  for (const name of names) await transfers.openAccount(account(name), 'CNY');
};
const grant = (id: string, to: string, cash: string, units: string, apply?: boolean) =>
  transfers.grant({ ...change(id), ...account(to), ...amounts(cash, units) }, apply);
const transfer = (id: string, from: string, to: string, cash: string, units: string) =>
  transfers.transfer({
    ...change(id),
    from: account(from),
    to: account(to),
    ...amounts(cash, units),
  });

describe('what is answered', () => {
  test('is what was left the first time, whatever happened since', async () => {
    await opened('promo', 'alerts');
    const granted = await grant('1', 'promo', '1000', '10');
    expect(granted).toMatchObject({ left: { cashMicros: 1_000n, units: 10n }, fromLeft: null });
    const moved = await transfer('2', 'promo', 'alerts', '300', '3');
    expect(moved).toMatchObject({
      left: { cashMicros: 300n, units: 3n },
      fromLeft: { cashMicros: 700n, units: 7n },
    });
    await STEPS['reserve']?.('1', 'promo', '50', '1');
    const closed = await transfers.close({ ...change('3'), ...account('promo') });
    expect(closed).toMatchObject({ kind: 'booked', left: { cashMicros: 650n, units: 6n } });
    await STEPS['void']?.('1');
    const again = [
      await grant('1', 'promo', '1000', '10'),
      await transfer('2', 'promo', 'alerts', '300', '3'),
      await transfers.close({ ...change('3'), ...account('promo') }),
    ];
    const first = [granted, moved, closed].map((one) => ({ ...one, kind: 'repeated' }));
    expect(again).toEqual(first);
  });

  test('of a refusal is what there is', async () => {
    await opened('promo', 'alerts');
    await grant('1', 'promo', '1000', '10');
    expect(await transfer('2', 'promo', 'alerts', '1001', '0')).toEqual({
      kind: 'budget_cash',
      left: { cashMicros: 0n, units: 0n },
      fromLeft: { cashMicros: 1_000n, units: 10n },
    });
    expect(await grant('3', 'nobody', '1', '0')).toEqual({
      kind: 'unknown_account',
      left: null,
      fromLeft: null,
    });
  });

  test('without apply is what would come of it; nothing is booked', async () => {
    await opened('promo');
    expect(await grant('1', 'promo', '1000', '10', false)).toMatchObject({
      kind: 'booked',
      left: { cashMicros: 1_000n, units: 10n },
    });
    expect(await transfers.close({ ...change('2'), ...account('promo') }, false)).toMatchObject({
      kind: 'booked',
    });
    expect(await balance('promo')).toBe('0 0 0 0 / 0 0 0 0');
    expect(await transfers.history(account('promo'), 10)).toEqual([]);
    expect(await grant('1', 'promo', '5', '0')).toMatchObject({ kind: 'booked' });
  });

  test('as history: both ends of a transfer, newest first, who and why', async () => {
    await opened('promo', 'alerts');
    await grant('1', 'promo', '1000', '10');
    await transfer('2', 'promo', 'alerts', '300', '3');
    await transfers.close({ ...change('3'), ...account('alerts') });
    const ids = async (name: string, atMost = 10) =>
      (await transfers.history(account(name), atMost)).map(({ transferId }) => transferId);
    expect(await ids('promo')).toEqual([`${tenant}/2`, `${tenant}/1`]);
    expect(await ids('alerts')).toEqual([`${tenant}/3`, `${tenant}/2`]);
    expect(await ids('alerts', 1)).toEqual([`${tenant}/3`]);
    expect((await transfers.history(account('promo'), 1))[0]).toMatchObject({
      kind: 'transfer',
      fromLine: 'promo',
      businessLine: 'alerts',
      currency: 'CNY',
      cashMicros: 300n,
      units: 3n,
      actor: 'ann@host',
      note: 'a test',
    });
  });
});

describe('at once', () => {
  test('16 clients with one id book it once', async () => {
    await opened('promo', 'alerts');
    await grant('1', 'promo', '1000', '0');
    const race = Array.from({ length: 16 }, (_, n) =>
      n % 2 === 0
        ? transfer('2', 'promo', 'alerts', '10', '0')
        : transfer('2', 'alerts', 'promo', '10', '0'),
    );
    const kinds = (await Promise.all(race)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'booked')).toHaveLength(1);
    // The other direction may have come before there was anything to move.
    for (const kind of kinds)
      expect(['booked', 'repeated', 'idempotency_conflict', 'budget_cash']).toContain(kind);
    expect(await balance('promo')).toBe('990 990 0 0 / 0 0 0 0');
  });

  test('one id on accounts that have nothing in common is booked once', async () => {
    const names = Array.from({ length: 8 }, (_, n) => `line-${n}`);
    await opened(...names);
    const kinds = (await Promise.all(names.map((name) => grant('1', name, '10', '0')))).map(
      ({ kind }) => kind,
    );
    expect(kinds.sort()).toEqual(['booked', ...Array<string>(7).fill('idempotency_conflict')]);
  });

  test('the last micro is moved by one of 16', async () => {
    await opened('promo', 'alerts');
    await grant('1', 'promo', '1000', '1');
    const race = Array.from({ length: 16 }, (_, n) =>
      transfer(`m${n}`, 'promo', 'alerts', '1000', '0'),
    );
    const kinds = (await Promise.all(race)).map(({ kind }) => kind);
    expect(kinds.sort()).toEqual(['booked', ...Array<string>(15).fill('budget_cash')].sort());
    expect(await balance('promo')).toBe('0 0 0 0 / 1 1 0 0');
  });

  test('transfers both ways never wait in a circle, and nothing is made or lost', async () => {
    await opened('promo', 'alerts');
    await grant('a', 'promo', '1000', '0');
    await grant('b', 'alerts', '1000', '0');
    const race = Array.from({ length: 40 }, (_, n) =>
      n % 2 === 0
        ? transfer(`p${n}`, 'promo', 'alerts', '7', '0')
        : transfer(`a${n}`, 'alerts', 'promo', '5', '0'),
    );
    expect(new Set((await Promise.all(race)).map(({ kind }) => kind))).toEqual(new Set(['booked']));
    expect(await balance('promo')).toBe('960 960 0 0 / 0 0 0 0');
    expect(await balance('alerts')).toBe('1040 1040 0 0 / 0 0 0 0');
  });

  test('after a close has answered nothing is reserved any more', async () => {
    await opened('promo');
    await grant('1', 'promo', '1000000', '1000');
    let closed: Booking | null = null;
    const before: string[] = [];
    const reserver = async (client: number): Promise<void> => {
      for (let n = 0; n < 30; n += 1) {
        const late = closed !== null;
        const kind = await STEPS['reserve']?.(String(client * 100 + n), 'promo', '1', '1');
        if (late) expect(kind).toBe('account_closed');
        before.push(kind ?? '');
      }
    };
    const close = async (): Promise<void> => {
      while (before.length < 20) await new Promise((resolve) => setImmediate(resolve));
      closed = await transfers.close({ ...change('2'), ...account('promo') });
    };
    await Promise.all([reserver(1), reserver(2), reserver(3), close()]);
    const reserved = before.filter((kind) => kind === 'reserved').length;
    expect(closed).toMatchObject({ kind: 'booked', left: { units: BigInt(1_000 - reserved) } });
    expect(before).toContain('account_closed');
  });
});

describe('the last guards', () => {
  const refused = (text: string) => expect(database.query({ name: '', text })).rejects;

  test.each(['update transfers set cash = 0', 'delete from transfers', 'truncate transfers'])(
    'nobody, not even the owner of the table, may "%s"',
    async (text) => {
      await opened('promo');
      await grant('1', 'promo', '1', '1');
      await refused(text).toThrow('never changed or removed');
    },
  );

  test.each([
    `update budgets set cash_granted = cash_granted + 1, cash_available = cash_available + 1 where cash_granted < 1000`,
    `update budgets set pv_granted = 0, pv_available = 0 where pv_available > 0 and pv_pending = 0 and pv_posted = 0`,
    `insert into transfers (transfer_id, account_id, kind, cash, units) select 'by hand', max(account_id), 'grant', 1, 0 from accounts`,
    `insert into transfers (transfer_id, account_id, from_account_id, kind, cash, units) select 'by hand', max(account_id), min(account_id), 'transfer', 1, 0 from accounts`,
  ])('granted is what the journal adds up to: "%s" is refused', async (text) => {
    await opened('promo');
    await grant('1', 'promo', '10', '10');
    await refused(text).toMatchObject({ code: 'postgres_refused', verdict: 'stop' });
    await refused(text).toThrow('is not what its transfers add up to');
  });

  test.each([
    [`kind, cash, units) values (1, 'x', null, 'gift', 1, 0`, 'transfers_kind'],
    [`kind, cash, units) values (1, 'x', null, 'grant', 0, 0`, 'transfers_move_something'],
    [`kind, cash, units) values (1, 'x', null, 'close', 1, 0`, 'transfers_move_something'],
    [`kind, cash, units) values (1, 'x', null, 'transfer', 1, 0`, 'transfers_from_another'],
    [`kind, cash, units) values (1, 'x', 1, 'transfer', 1, 0`, 'transfers_from_another'],
    [`kind, cash, units) values (1, 'x', 2, 'grant', 1, 0`, 'transfers_from_another'],
    [`kind, cash, units) values (1, 'x', null, 'grant', -1, 5`, 'transfers_cash_check'],
  ])('a row of the journal (%s) is refused by %s', async (values, constraint) => {
    const text = `insert into transfers (account_id, transfer_id, from_account_id, ${values})`;
    await refused(text).toThrow(constraint);
  });
});

describe('initial budgets', () => {
  const line = (name: string, currency: string, initialCash: string, initialUnits: number) => ({
    name,
    currency,
    initialCash,
    initialUnits,
  });
  const config = (...lines: ReturnType<typeof line>[]): TenantConfig[] => {
    const [first, ...rest] = lines;
    if (first === undefined) throw new Error('a line');
    const lanes: TenantConfig['lanes'] = ['p0'];
    return [{ id: tenant, ownIngest: false, lanes, businessLines: [first, ...rest] }];
  };

  test('are granted once; a line may begin with nothing', async () => {
    const lines = config(line('promo', 'CNY', '1.5', 3), line('empty', 'CNY', '0', 0));
    expect(await grantInitialBudgets(transfers, lines)).toBe(2);
    expect(await grantInitialBudgets(transfers, lines)).toBe(0);
    expect(await grantInitialBudgets(transfers, config(line('promo', 'CNY', '9', 9)))).toBe(0);
    expect(await balance('promo')).toBe('1500000 1500000 0 0 / 3 3 0 0');
    expect(await balance('empty')).toBe('0 0 0 0 / 0 0 0 0');
  });

  test('name the account that cannot have its own', async () => {
    await transfers.openAccount(account('promo'), 'USD');
    await expect(
      grantInitialBudgets(transfers, config(line('promo', 'CNY', '1.5', 3))),
    ).rejects.toMatchObject({
      code: 'row_refused',
      message: `account ${tenant}/promo does not get its initial budget (transfer initial/${tenant}/promo): it is not kept in CNY. Nothing was booked for it`,
    });
  });
});
