import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dayOf } from './days.js';
import { postgresLedger } from './ledger.js';
import { migrate } from './migrate.js';
import { openDatabase } from './pool.js';
import { postgresSettlements } from './settlements.js';
import { migrationsFolder } from './sql-files.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { postgresTransfers } from './transfers.js';

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

/** Tables as they were after so many migrations, in a schema of their own. */
const olderInstallation = async (
  schema: string,
  migrations: number,
  content: string,
): Promise<void> => {
  const client = new pg.Client({
    connectionString: database.url,
    options: `-c search_path=${schema}`,
  });
  await client.connect();
  try {
    await runner({
      dbClient: client,
      dir: migrationsFolder(),
      direction: 'up',
      count: migrations,
      migrationsTable: 'migrations',
      schema,
      createSchema: true,
      noLock: true,
      log: () => undefined,
    });
    await client.query(content);
  } finally {
    await client.end();
  }
};

test('006: grants of before stay as they are, also those of nothing, and new transfers are booked beside them', async () => {
  await olderInstallation(
    'before_006',
    5,
    `insert into accounts (tenant_id, business_line, currency) values ('acme', 'promo', 'CNY'), ('acme', 'empty', 'CNY');
     insert into budgets (account_id, cash_granted, cash_available, cash_posted) values (1, 100, 70, 30), (2, 0, 0, 0);
     insert into transfers (transfer_id, account_id, kind, cash, units)
     values ('initial/acme/promo', 1, 'grant', 100, 0), ('initial/acme/empty', 2, 'grant', 0, 0);`,
  );
  expect(await migrate(database.url, 'before_006')).toContain('006_transfers');
  const own = openDatabase({ databaseUrl: database.url, schema: 'before_006', maxConnections: 1 });
  try {
    const transfers = postgresTransfers(own);
    const [from, to] = ['promo', 'empty'].map((businessLine) => ({
      tenantId: 'acme',
      businessLine,
    }));
    if (from === undefined || to === undefined) throw new Error('two accounts');
    const amounts = { currency: 'CNY', cashMicros: 50n, units: 0n };
    expect(await transfers.transfer({ transferId: 't', from, to, ...amounts })).toMatchObject({
      kind: 'booked',
      left: { cashMicros: 50n },
      fromLeft: { cashMicros: 20n },
    });
    expect(await transfers.history(to, 10)).toMatchObject([
      { kind: 'transfer', fromLine: 'promo' },
      { kind: 'grant', cashMicros: 0n, left: null, actor: '' },
    ]);
    const balances = await postgresLedger(own).balances();
    expect(balances.map(({ cash }) => cash.granted)).toEqual([50n, 50n]);
  } finally {
    await own.close();
  }
});

test('007: what is pending from before quotas is settled as ever', async () => {
  const createdAt = Date.UTC(2026, 4, 20, 12);
  const messageId = '00000000-0000-4000-8000-000000000001';
  await olderInstallation(
    'before_007',
    6,
    `insert into accounts (tenant_id, business_line, currency) values ('acme', 'promo', 'CNY');
     insert into budgets (account_id) values (1);
     insert into transfers (transfer_id, account_id, kind, cash, units) values ('grant', 1, 'grant', 100, 5);
     update budgets set cash_granted = 100, cash_available = 60, cash_pending = 40, pv_granted = 5, pv_available = 4, pv_pending = 1;
     create table reservations_20260520 partition of reservations for values from ('2026-05-20') to ('2026-05-21');
     insert into reservation_days (day) values ('${dayOf(createdAt)}');
     insert into reservations (day, tenant_id, message_id, generation, account_id, cash, units, topic, partition, record_offset)
     values ('${dayOf(createdAt)}', 'acme', '${messageId}', 0, 1, 40, 1, 'ingest.p0', 0, 0);`,
  );
  expect(await migrate(database.url, 'before_007')).toContain('007_quotas');
  const own = openDatabase({ databaseUrl: database.url, schema: 'before_007', maxConnections: 1 });
  try {
    const settlements = postgresSettlements(own, 'settle');
    const at = { topic: 'feedback', partition: 0 };
    await settlements.loadOffsets([{ ...at, beginning: 0 }]);
    const amounts = { cashMicros: 30n, units: 1, renewable: false, channel: 'sms' };
    const named = { tenantId: 'acme', messageId, generation: 0, createdAt };
    const postings = [{ kind: 'post' as const, ...named, ...amounts }];
    expect(await settlements.apply([{ ...at, start: 0, next: 1, postings }])).toMatchObject({
      outcomes: { applied: 1 },
    });
    expect(await postgresLedger(own).balances()).toMatchObject([
      { cash: { available: 70n, pending: 0n, posted: 30n } },
    ]);
  } finally {
    await own.close();
  }
});

test('008: what accounts were recharged to last is taken from the journal of before', async () => {
  await olderInstallation(
    'before_008',
    6,
    `insert into accounts (tenant_id, business_line, currency) values ('acme', 'promo', 'CNY'), ('acme', 'new', 'CNY');
     insert into budgets (account_id, cash_granted, cash_available, pv_granted, pv_available) values (1, 130, 130, 7, 7);
     insert into budgets (account_id) values (2);
     insert into transfers (transfer_id, account_id, kind, cash, units, created_at, cash_left, units_left)
     values ('a', 1, 'grant', 100, 7, '2026-05-01', null, null), ('b', 1, 'grant', 30, 0, '2026-05-02', 90, 5);`,
  );
  await migrate(database.url, 'before_008');
  const own = openDatabase({ databaseUrl: database.url, schema: 'before_008', maxConnections: 1 });
  try {
    const text = 'select account_id, cash_to, units_to, units_at from last_recharges';
    expect(await own.query({ name: '', text })).toEqual([
      { account_id: 1, cash_to: 90n, units_to: 7n, units_at: new Date('2026-05-01T00:00:00Z') },
    ]);
  } finally {
    await own.close();
  }
});
