import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ReservationRequest } from '../../processors/budget-reserve/reservations.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { postgresLedger } from './ledger.js';
import { partitionOwnership } from './partition-ownership.js';
import { postgresPasses } from './passes.js';
import { postgresReceiptLog } from './receipt-log.js';
import { postgresReservations } from './reservations.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';

let database: FreshDatabase;
let ledger: ReturnType<typeof postgresLedger>;
let tenant: string;
let tests = 0;

beforeAll(async () => {
  database = await freshDatabase();
  ledger = postgresLedger(database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  tests += 1;
  tenant = `t${tests.toString()}`;
  await funded(database, {
    transferId: tenant,
    tenantId: tenant,
    businessLine: 'promo',
    currency: 'CNY',
    cashMicros: 1_000n,
    units: 10n,
  });
});

const worker = () => postgresReservations(database, partitionOwnership(database));
const p = (partition: number) => ({ topic: `ingest.${tenant}`, partition });
const ask = (n: number, partition = 0): ReservationRequest => ({
  tenantId: tenantId(tenant),
  businessLine: 'promo',
  messageId: messageId(`00000000-0000-4000-8000-${n.toString().padStart(12, '0')}`),
  generation: 0,
  createdAt: Date.UTC(2026, 4, 20, 12),
  at: { ...p(partition), offset: n },
  cashMicros: 100n,
  units: 1,
  currency: 'CNY',
  unitsCap: null,
  cashCapMicros: null,
});
const pending = async (): Promise<bigint | undefined> =>
  (await ledger.balances()).find((one) => one.tenantId === tenant)?.cash.pending;
const lost = { code: 'ownership_lost', verdict: 'retry' };

describe('rule 18: only the owner of a partition writes for its records', () => {
  test('who had it before reserves nothing more, and takes no money', async () => {
    const [before, after] = [worker(), worker()];
    await before.takeOver([p(0)]);
    expect(await before.reserve([ask(1)])).toMatchObject([{ kind: 'reserved' }]);
    await after.takeOver([p(0)]);
    await expect(before.reserve([ask(2)])).rejects.toMatchObject(lost);
    expect(await pending()).toBe(100n);
    // What was reserved before is found by who came after, and not paid for again.
    expect(await after.reserve([ask(1), ask(2)])).toMatchObject([
      { kind: 'reserved' },
      { kind: 'reserved' },
    ]);
    expect(await pending()).toBe(200n);
  });

  test('a batch with records of one partition that is lost reserves nothing for the others either', async () => {
    const [before, after] = [worker(), worker()];
    await before.takeOver([p(0), p(1)]);
    await after.takeOver([p(1)]);
    await expect(before.reserve([ask(1, 0), ask(2, 1)])).rejects.toMatchObject(lost);
    expect(await pending()).toBe(0n);
    await before.takeOver([p(0)]);
    expect(await before.reserve([ask(1, 0)])).toMatchObject([{ kind: 'reserved' }]);
  });

  test('a request of ours that was given up arrives after we took over again: it reserves nothing', async () => {
    const [given, again] = [worker(), worker()];
    // Two connections of one worker: the first request is under way for long.
    await given.takeOver([p(0)]);
    await again.takeOver([p(0)]);
    expect(await again.reserve([{ ...ask(1), cashMicros: 9_000n }])).toMatchObject([
      { kind: 'budget_cash' },
    ]);
    await expect(given.reserve([ask(1)])).rejects.toMatchObject(lost);
    expect(await pending()).toBe(0n);
  });

  test('a batch that is being reserved is waited for, and then seen', async () => {
    const [before, after] = [worker(), worker()];
    await before.takeOver([p(0)]);
    const other = new pg.Client(database.url);
    await other.connect();
    try {
      await other.query('begin; select * from millrace.budgets for update');
      const reserving = before.reserve([ask(1)]);
      const waiting = (count: number) =>
        expect
          .poll(
            async () => {
              // Not by the one that holds the lock: within a transaction these statistics stand still.
              const rows = await database.query({
                name: 'who-waits',
                text: `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
              });
              return rows.length;
            },
            { timeout: 10_000 },
          )
          .toBe(count);
      await waiting(1);
      const taking = after.takeOver([p(0)]);
      await waiting(2);
      await other.query('commit');
      expect(await reserving).toMatchObject([{ kind: 'reserved' }]);
      await taking;
    } finally {
      await other.end();
    }
    expect(await after.reserve([ask(1)])).toMatchObject([{ kind: 'reserved' }]);
    expect(await pending()).toBe(100n);
  });

  test('those who take over the same partitions in any order never wait in a circle', async () => {
    const workers = Array.from({ length: 8 }, () => worker());
    for (let round = 0; round < 10; round += 1)
      await Promise.all(
        workers.map((one, n) => one.takeOver(n % 2 === 0 ? [p(0), p(1)] : [p(1), p(0)])),
      );
    const answers = await Promise.allSettled(
      workers.map((one) => one.reserve([ask(1, 0), ask(2, 1)])),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('receipts are not decided, and nothing is let back in, under records that a former owner reads', async () => {
    const [before, after] = [partitionOwnership(database), partitionOwnership(database)];
    await before.takeOver([p(0)]);
    await after.takeOver([p(0)]);
    const report = {
      at: { ...p(0), offset: 1 },
      attempt: null,
      provider: 'first',
      providerMessageId: '1',
      transition: 'delivered',
    } as const;
    const released = {
      ...ask(1),
      stage: 'budget-reserve',
      attempt: 0,
      origin: { ...p(0), offset: 1 },
      releaseNo: 1,
      runId: 'release',
      startedAt: 0,
    } as const;
    await expect(postgresReceiptLog(database, 'a', before).decide([report])).rejects.toMatchObject(
      lost,
    );
    await expect(postgresPasses(database, ['a'], before).admit([released])).rejects.toMatchObject(
      lost,
    );
    expect(await postgresReceiptLog(database, 'a', after).decide([report])).toMatchObject([
      { kind: 'unknown_attempt' },
    ]);
    expect(await postgresPasses(database, ['a'], after).admit([released])).toEqual([
      { kind: 'pass' },
    ]);
  });

  test('whoever never took a partition over is told that it is a defect', async () => {
    await expect(worker().reserve([ask(1)])).rejects.toMatchObject({
      code: 'defect',
    });
  });
});
