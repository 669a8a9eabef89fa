import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import { postgresLedger } from './ledger.js';
import { migrate } from './migrate.js';
import { openDatabase } from './pool.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';
import { ownedReservations } from './testing/owned-reservations.js';

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

const ONE = { name: 'one', text: 'select 1::bigint as one' };

/** The verdict's code of a first query. */
const codeOf = async (databaseUrl: string, schema?: string): Promise<string> => {
  const other = openDatabase({ databaseUrl, ...(schema !== undefined && { schema }) });
  try {
    if (schema === undefined) await other.query(ONE);
    else await postgresLedger(other).balances();
    return 'answered';
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    await other.close();
  }
};

const changed = (change: (url: URL) => void): string => {
  const url = new URL(database.url);
  change(url);
  return url.href;
};

test('counts and money come as bigint', async () => {
  expect(await database.query(ONE)).toEqual([{ one: 1n }]);
});

test('several may migrate at once, and again: each migration runs once', async () => {
  const runs = await Promise.all(
    Array.from({ length: 4 }, () => migrate(database.url, 'side_by_side')),
  );
  const names = runs.flat();
  expect(names.length).toBeGreaterThan(0);
  expect(new Set(names).size).toBe(names.length);
  expect(await migrate(database.url, 'side_by_side')).toEqual([]);
});

test('installations in two schemas of one database never meet', async () => {
  await migrate(database.url, 'other');
  const other = openDatabase({ databaseUrl: database.url, schema: 'other' });
  try {
    await funded(other, {
      transferId: 'g',
      tenantId: 'acme',
      businessLine: 'promo',
      currency: 'CNY',
      cashMicros: 1n,
      units: 1n,
    });
    expect(await postgresLedger(other).balances()).toHaveLength(1);
    expect(await postgresLedger(database).balances()).toEqual([]);
  } finally {
    await other.close();
  }
});

test('nobody listens: unavailable, to be retried', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  expect(await codeOf(changed((url) => (url.port = String(port))))).toBe('postgres_unavailable');
});

test('a database that does not exist, or was never migrated: refused, a person must act', async () => {
  expect(await codeOf(changed((url) => (url.pathname = '/nothing_here')))).toBe('postgres_refused');
  expect(await codeOf(database.url, 'never_migrated')).toBe('postgres_refused');
});

test('a name that is no plain identifier is refused before it reaches the server', async () => {
  await expect(migrate(database.url, 'a; drop schema x')).rejects.toThrow('schema name');
});

test('a session that the server ended is told as unavailable, and the next call passes', async () => {
  const own = openDatabase({ databaseUrl: database.url, maxConnections: 1 });
  try {
    const [session] = await own.query<{ pid: number }>({
      name: 'pid',
      text: 'select pg_backend_pid() as pid',
    });
    const sleeping = own.query({ name: 'sleep', text: 'select pg_sleep(20)' });
    const kill = { name: 'kill', text: 'select pg_terminate_backend($1)' };
    // It must be asleep to be woken: the session shows what it runs.
    const busy = `select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'`;
    const deadline = Date.now() + 10_000;
    while ((await database.query({ name: 'busy', text: busy }, [session?.pid])).length === 0)
      if (Date.now() > deadline) throw new Error('never asleep');
    const [outcome] = await Promise.allSettled([sleeping, database.query(kill, [session?.pid])]);
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { code: 'postgres_unavailable', verdict: 'retry' },
    });
    expect(await own.query(ONE)).toEqual([{ one: 1n }]);
  } finally {
    await own.close();
  }
});

test('a reservation cut off by the server is made once when it is asked again', async () => {
  await funded(database, {
    transferId: 'cut',
    tenantId: 'cut',
    businessLine: 'promo',
    currency: 'CNY',
    cashMicros: 1_000n,
    units: 10n,
  });
  const own = openDatabase({ databaseUrl: database.url, maxConnections: 1 });
  const batch = Array.from({ length: 10 }, (_, n) => ({
    tenantId: tenantId('cut'),
    businessLine: 'promo',
    messageId: messageId(`00000000-0000-4000-8000-00000000000${n}`),
    generation: 0,
    createdAt: Date.UTC(2026, 4, 20),
    at: { topic: 'ingest.p0', partition: 0, offset: n },
    cashMicros: 100n,
    units: 1,
    currency: 'CNY',
    unitsCap: null,
    cashCapMicros: null,
  }));
  try {
    const reservations = ownedReservations(own);
    const ended = `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;
    for (let round = 0; round < 5; round += 1) {
      const [outcome] = await Promise.allSettled([
        reservations.reserve(batch),
        database.query({ name: 'end-all', text: ended }),
      ]);
      if (outcome.status === 'rejected')
        expect(outcome.reason).toMatchObject({ code: 'postgres_unavailable' });
    }
    const decisions = await reservations.reserve(batch);
    expect(new Set(decisions.map(({ kind }) => kind))).toEqual(new Set(['reserved']));
    const [account] = (await postgresLedger(own).balances()).filter(
      (one) => one.tenantId === 'cut',
    );
    expect(account).toMatchObject({
      cash: { available: 0n, pending: 1_000n },
      pv: { pending: 10n },
    });
  } finally {
    await own.close();
  }
});
