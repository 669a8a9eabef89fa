import { afterEach, beforeEach, expect, test } from 'vitest';
import { tenantId } from '../../schemas/brand.js';
import { postgresLeases } from '../../sinks/postgres/leases.js';
import { partitionOwnership } from '../../sinks/postgres/partition-ownership.js';
import { postgresSettlements } from '../../sinks/postgres/settlements.js';
import { freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import type { FreshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { commandLine } from '../testing/command-line.js';

const tenant = tenantId('harbour');
const source = { topic: 'x.ingest.p1', partition: 3 };
const holder = { ...source, tenantId: tenant, businessLine: 'alerts' };

let database: FreshDatabase;
let millrace: ReturnType<typeof commandLine>;
let leases: ReturnType<typeof postgresLeases>;

beforeEach(async () => {
  database = await freshDatabase();
  millrace = commandLine({
    ...process.env,
    TOPIC_PREFIX: 'x.',
    DATABASE_URL: database.url,
    DATABASE_SCHEMA: 'millrace',
  });
  await funded(database, {
    transferId: 'first',
    tenantId: tenant,
    businessLine: 'alerts',
    currency: 'CNY',
    cashMicros: 100_000_000n,
    units: 1_000n,
  });
  const ownership = partitionOwnership(database);
  await ownership.takeOver([source]);
  leases = postgresLeases(database, ownership);
});
afterEach(() => database.drop());

const grant = async (lease: number | null, grantNo: number) => {
  const [answer] = await leases.grant([
    {
      ...holder,
      lease,
      currency: 'CNY',
      grantNo,
      spends: 0,
      needCash: 1n,
      needUnits: 1,
      wantCash: 1_500_000n,
      wantUnits: 15,
    },
  ]);
  if (answer?.kind !== 'granted') throw new Error('no lease');
  return answer.lease;
};

const show = (...args: string[]) => millrace('budget', 'leases', ...args);

test('where no lease is open, it says so', async () => {
  expect(await show()).toMatchObject({ code: 0, out: 'No lease is open.' });
});

test('what partitions hold is shown by account, and as JSON to the micro', async () => {
  const lease = await grant(null, 1);
  const { out } = await show('harbour/alerts');
  expect(out).toMatch(
    new RegExp(`${String(lease)} +harbour/alerts +x\\.ingest\\.p1/3 +1\\.50 +CNY +15`),
  );
  expect(out).not.toContain('set aside');
  const [one] = (JSON.parse((await show('--json')).out) as { leases: unknown[] }).leases;
  expect(one).toMatchObject({ lease, cash: { left: 1_500_000 }, pv: { left: 15 } });
});

test('what a lost state left behind is given back by a person, with a reason, once settle has passed', async () => {
  const old = await grant(null, 1);
  await grant(old, 2);
  await grant(null, 1);
  const args = ['--give-back', String(old)];
  expect((await show(...args)).out).toContain('set aside');
  const apply = [...args, '--reason', 'internal.leases was deleted', '--apply'];
  expect(await show(...args, '--apply')).toMatchObject({ code: 2 });
  const early = await show(...apply);
  expect(early.code).not.toBe(0);
  expect(early.err).toContain('settle has not read all that was spent');

  const settlements = postgresSettlements(database, groupOf('x.', 'settle'));
  const reserved = { topic: 'x.reserved.p1', partition: 3 };
  await settlements.loadOffsets([{ ...reserved, beginning: 0 }]);
  await settlements.caughtUp([reserved], Date.now() + 60_000);
  expect(await show(...apply)).toMatchObject({ code: 0 });
  expect((await show('--give-back', String(old))).out).toBe(
    `Lease ${String(old)} has nothing left.`,
  );
});
