import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import { postgresAttempts } from './attempts.js';
import { type DatabaseRole, DATABASE_ROLES, applyGrants, databaseRole } from './grants.js';
import { postgresLedger } from './ledger.js';
import { migrate } from './migrate.js';
import { operatorActions } from './operator-actions.js';
import { partitionOwnership } from './partition-ownership.js';
import { postgresPasses } from './passes.js';
import { type Database, openDatabase } from './pool.js';
import { postgresReceiptLog } from './receipt-log.js';
import { postgresReservations } from './reservations.js';
import { postgresSettlements } from './settlements.js';
import { postgresAccountLevels } from './account-levels.js';
import { postgresRecharges } from './recharges.js';
import { type FreshDatabase, freshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';
import { postgresTransfers } from './transfers.js';

// Roles belong to the whole server: a schema of this file's own gives them names of its own.
const schema = `grants_${randomBytes(4).toString('hex')}`;
const user = (role: DatabaseRole): string => `${databaseRole(schema, role)}_user`;

let owner: FreshDatabase;
const as = new Map<DatabaseRole, Database>();

const owning = async (...statements: readonly string[]): Promise<void> => {
  const client = new pg.Client(owner.url);
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
};

beforeAll(async () => {
  owner = await freshDatabase(schema);
  expect(await applyGrants(owner.url, schema)).toEqual(DATABASE_ROLES);
  for (const role of DATABASE_ROLES) {
    await owning(
      `create role ${user(role)} login password 'secret' in role ${databaseRole(schema, role)}`,
    );
    const url = new URL(owner.url);
    url.username = user(role);
    url.password = 'secret';
    as.set(role, openDatabase({ databaseUrl: url.href, schema }));
  }
  await funded(owner, {
    transferId: 'first',
    tenantId: 'harbour',
    businessLine: 'alerts',
    currency: 'CNY',
    cashMicros: 1_000n,
    units: 10n,
  });
});
afterAll(async () => {
  for (const database of as.values()) await database.close();
  for (const role of DATABASE_ROLES)
    await owning(
      `drop role ${user(role)}`,
      `drop owned by ${databaseRole(schema, role)}`,
      `drop role ${databaseRole(schema, role)}`,
    );
  await owner.drop();
});

const database = (role: DatabaseRole): Database => {
  const one = as.get(role);
  if (one === undefined) throw new Error(`no ${role}`);
  return one;
};

const tried = (role: DatabaseRole, text: string): Promise<unknown> =>
  database(role).query({ name: '', text });

const topic = 'feedback';
const at = { topic: 'ingest.p0', partition: 0, offset: 1 };
const message = {
  tenantId: tenantId('harbour'),
  messageId: messageId('0190b6a2-7c1a-7000-8000-000000000001'),
  generation: 0,
  createdAt: Date.now(),
};

test('a worker does all its work: it takes partitions over, reserves, settles, stores attempts and decides', async () => {
  const worker = database('worker');
  const ownership = partitionOwnership(worker);
  const reservations = postgresReservations(worker, ownership);
  await reservations.takeOver([at]);
  const asked = { ...message, businessLine: 'alerts', at, currency: 'CNY' };
  expect(
    await reservations.reserve([
      { ...asked, cashMicros: 10n, units: 1, unitsCap: null, cashCapMicros: null },
    ]),
  ).toMatchObject([{ kind: 'reserved' }]);
  expect(await reservations.reservedBy([{ ...message, at }])).toEqual([true]);

  const settlements = postgresSettlements(worker, 'settle');
  await settlements.loadOffsets([{ topic, partition: 0, beginning: 0 }]);
  const post = { ...message, kind: 'post' as const, cashMicros: 7n, units: 1, renewable: false };
  expect(
    await settlements.apply([{ topic, partition: 0, start: 0, next: 1, postings: [post] }]),
  ).toMatchObject({ outcomes: { applied: 1 } });

  const attempts = postgresAttempts(worker, 'attempts');
  await attempts.loadOffsets([{ topic, partition: 0, beginning: 0 }]);
  expect(
    await attempts.apply([{ topic, partition: 0, start: 0, next: 1, records: [] }]),
  ).toMatchObject({ kind: 'applied' });
  await attempts.caughtUp([{ topic, partition: 0 }], Date.now());
  const receipts = postgresReceiptLog(worker, 'attempts', ownership);
  const provider = { provider: 'aliyun-sms', providerMessageId: 'nobody' };
  expect(
    await receipts.decide([{ at, attempt: null, ...provider, transition: 'delivered' }]),
  ).toMatchObject([{ kind: 'unknown_attempt' }]);
  const back = { attempt: 1, at, origin: at, releaseNo: 0, runId: 'a run', startedAt: 0 };
  expect(
    await postgresPasses(worker, ['attempts'], ownership).admit([
      { ...message, stage: 'budget-reserve', ...back },
    ]),
  ).toMatchObject([{ kind: 'reserved' }]);
  expect(await postgresLedger(worker).balances()).toMatchObject([{ cash: { posted: 7n } }]);
});

test('an operator books, records what was done, and looks', async () => {
  const operator = database('operator');
  expect(
    await postgresTransfers(operator).grant({
      transferId: 'second',
      tenantId: 'harbour',
      businessLine: 'alerts',
      currency: 'CNY',
      cashMicros: 5n,
      units: 0n,
    }),
  ).toMatchObject({ kind: 'booked' });
  const actions = operatorActions(operator);
  const id = '0190b6a2-7c1a-7000-8000-0000000000aa';
  await actions.begin({ id, command: 'budget grant', actor: 'a@b', reason: 'a test', what: {} });
  await actions.end(id, 'done', {});
  expect(await actions.find(id)).toMatchObject({ state: 'done' });
});

test('a worker tells what changed, proposes recharges and books those that are approved', async () => {
  const levels = postgresAccountLevels(database('worker'));
  const changed = await levels.changed();
  expect(changed.length).toBeGreaterThan(0);
  await levels.published(changed);
  const recharges = postgresRecharges(database('worker'));
  const found = await recharges.accounts(['harbour']);
  const proposal = {
    rechargeId: 'recharge/harbour/1',
    accountId: found?.accounts[0]?.accountId ?? 0,
    seq: 1,
    rule: 'low',
    cashMicros: 0n,
    units: 1n,
    currency: null,
    seen: {},
    decision: { state: 'approved', by: 'rule low', reason: 'a test' },
  } as const;
  expect(await recharges.propose(proposal, 1)).toBe(true);
  expect(await recharges.book('recharge/harbour/1')).toBeNull();
  expect(await recharges.book('recharge/harbour/none')).toBe('unknown');
});

test('a reader looks', async () => {
  expect(await postgresLedger(database('reader')).balances()).toHaveLength(1);
});

describe.each<DatabaseRole>(['worker', 'operator', 'reader'])('%s cannot', (role) => {
  test.each([
    ['change a counter', 'update budgets set cash_available = cash_available + 1'],
    ['add a transfer', `insert into transfers select * from transfers`],
    ['change a transfer', `update transfers set note = 'x'`],
    ['delete a transfer', 'delete from transfers'],
    ['empty the journal', 'truncate transfers'],
    ['resolve a reservation by hand', `update reservations set state = 'voided'`],
    ['delete what an operator did', 'delete from operator_actions'],
    ['open an account by hand', 'update accounts set open = true'],
    ['turn a guard off', 'alter table transfers disable trigger all'],
    ['drop a table of money', 'drop table reservations'],
    [
      'replace a function',
      `create or replace function ${schema}.owns() returns int language sql as 'select 1'`,
    ],
  ])('%s', async (_, statement) => {
    await expect(tried(role, statement)).rejects.toThrow(/permission denied|must be owner/);
  });
});

test.each<[DatabaseRole, string]>([
  [
    'worker',
    `select * from book_transfer('x', 'grant', 'harbour', 'alerts', null, null, 'CNY', 1, 0, '', '', true)`,
  ],
  ['worker', `select detach_day('2026-01-01')`],
  ['reader', `select ensure_days('{2026-01-01}')`],
  ['operator', `select ensure_days('{2026-01-01}')`],
])('%s may not call what is not its own: %s', async (role, statement) => {
  await expect(tried(role, statement)).rejects.toThrow(/permission denied for function/);
});

test('an upgrade leaves the roles what they may do, and no function to everybody', async () => {
  await migrate(owner.url, schema);
  expect(await applyGrants(owner.url, schema)).toEqual([]);
  expect(await postgresLedger(database('worker')).balances()).toHaveLength(1);
  const open = await owner.query({
    name: 'open-functions',
    text: `select proname from pg_proc p join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
           where pronamespace = '${schema}'::regnamespace and has_function_privilege('public', p.oid, 'execute')`,
  });
  expect(open).toEqual([]);
});
