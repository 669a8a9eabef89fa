import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ReservationRequest } from '../../processors/budget-reserve/reservations.js';
import { tenantId } from '../../schemas/brand.js';
import type { AccountLevel } from '../../schemas/generated/records.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { ownedReservations } from '../../sinks/postgres/testing/owned-reservations.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { installAcceptance } from './fixture.js';
import { requestOf } from './requests.js';

/** A round of the rules is 10 s, a chore's lock is asked for each 5 s, and the machine has other things to do. */
const IN_TIME_MS = 60_000;

const RULES = `rules:
  - name: no-cash
    tenant: hooli
    when: cash.available < money("1.00") && pv.available > 0
    cash: '10.00'
    currency: CNY
    dailyCap: { cash: '10.00' }
    coolDownMs: 60000
    approveAbove: { cash: '10.00' }
`;

let installation: Installation;
const workers: WorkerProcess[] = [];

beforeAll(async () => {
  installation = await installAcceptance('chores', {
    edit: (file, text) => (file === 'recharge.yaml' ? RULES : text),
  });
  const { codecs, names } = installation;
  await codecs.open([{ topic: names.accounts, record: 'AccountLevel' }]);
  const reservations = ownedReservations(installation.database);
  expect(
    await reservations.reserve([lost('expired', Date.now() - 2 * 3_600_000), lost('alive', null)]),
  ).toEqual([
    { kind: 'reserved', cashMicros: 5n, units: 2 },
    { kind: 'reserved', cashMicros: 5n, units: 2 },
  ]);
  for (const slot of ['0', '1'])
    workers.push(
      await WorkerProcess.start(installation.variables, ['--only', 'send,settle', '--slot', slot]),
    );
}, 180_000);

/** Reserved, and lost before anybody sent it. */
const lost = (what: string, expiresAt: number | null): ReservationRequest => {
  const request = requestOf({ tenantId: tenantId('initech') });
  return {
    ...{ tenantId: request.tenantId, businessLine: request.businessLine, generation: 0 },
    ...{ messageId: request.messageId, createdAt: request.createdAt },
    ...(expiresAt !== null && { expiresAt }),
    at: { topic: what, partition: 0, offset: 0 },
    ...{ cashMicros: 5n, units: 2, currency: 'CNY', unitsCap: null, cashCapMicros: null },
  };
};

afterAll(async () => {
  for (const worker of workers) await worker.stop();
  await installation.remove();
}, 120_000);

const accounts = async (): Promise<ReadonlyMap<string, AccountLevel>> => {
  const { accounts: name } = installation.names;
  const codec = installation.codecs.of('AccountLevel', name);
  const found = new Map<string, AccountLevel>();
  for await (const batch of readRange({ settings: installation.client, topics: [name] })) {
    await installation.codecs.prepare(batch.map(({ value }) => value));
    for (const { key, value } of batch)
      if (value !== null) found.set(key?.toString() ?? '', codec.decode(value));
  }
  return found;
};

test('the workers recharge what the rule is for, once, and the topic accounts has every account as it is', async () => {
  const cash = async () =>
    (await postgresLedger(installation.database).balances())
      .filter(({ tenantId }) => tenantId === 'hooli')
      .map(({ businessLine, cash: { granted } }) => `${businessLine} ${granted}`);
  await until('recharged', IN_TIME_MS, async () => (await cash()).includes('no-cash 10000000'));
  await until('published', IN_TIME_MS, async () => {
    const found = await accounts();
    return found.size === 7 && found.get('hooli/no-cash')?.cash.available === 10_000_000n;
  });
  expect((await accounts()).get('hooli/no-units')).toMatchObject({ share: 1, open: true });
  expect(await cash()).toEqual(['no-cash 10000000', 'no-units 1000000000']);
});

test('what an expired message held that nobody sent is given back, and nothing else', async () => {
  const pending = async () =>
    (await postgresLedger(installation.database).balances())
      .filter(({ tenantId: tenant }) => tenant === 'initech')
      .map(({ cash, pv }) => `${cash.pending} ${pv.pending}`);
  await until('given back', IN_TIME_MS, async () => (await pending())[0] === '5 2');
  const expired = { name: 'expired', text: 'select topic from reservations where expired' };
  expect(await installation.database.query(expired)).toEqual([{ topic: 'expired' }]);
});

test('after the death of the worker that does the chores the other does them', async () => {
  await workers[0]?.kill();
  const granted = await postgresTransfers(installation.database).grant({
    tenantId: 'hooli',
    businessLine: 'no-units',
    transferId: 'after-the-death',
    currency: null,
    cashMicros: 0n,
    units: 5n,
  });
  expect(granted.kind).toBe('booked');
  await until(
    'published',
    IN_TIME_MS,
    async () => (await accounts()).get('hooli/no-units')?.pv.available === 5n,
  );
});
