import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MessageRequest } from '../../schemas/generated/records.js';
import type { Installation } from '../installation/installation.js';
import { type Readiness, WorkerProcess } from '../installation/worker-process.js';
import { commandLine } from '../testing/command-line.js';
import { endsOf, expectLedger, expectSaidOnce } from './accounting.js';
import { type Carriers, startCarriers } from './carriers.js';
import { installAcceptance } from './fixture.js';
import { Outcomes } from './outcomes.js';
import { TcpProxy } from './tcp-proxy.js';
import { Traffic } from './traffic.js';

const CHANNELS = ['app_push', 'sms'];

let installation: Installation;
let carriers: Carriers;
let postgres: TcpProxy;
let worker: WorkerProcess;
let outcomes: Outcomes;
let traffic: Traffic;

beforeAll(async () => {
  carriers = await startCarriers();
  installation = await installAcceptance('leases', { simulatorUrl: carriers.simulator.url });
  outcomes = await Outcomes.follow(installation);
  traffic = await Traffic.open(installation);
  const { url } = installation.environment.postgres;
  postgres = await TcpProxy.to(url);
  worker = await WorkerProcess.start(
    { ...installation.variables, DATABASE_URL: postgres.through(url) },
    [],
  );
}, 180_000);

afterAll(async () => {
  const ending = await worker.stop();
  await traffic.close();
  await outcomes.close();
  await postgres.close();
  await carriers.simulator.close();
  await installation.remove();
  expect(ending, worker.log.slice(-4_000)).toEqual({ code: 0, signal: null });
}, 120_000);

const sent = (requests: readonly MessageRequest[]) => (): boolean =>
  endsOf(outcomes, requests).accepted.length === requests.length;

const waitsForPostgres = (readiness: Readiness | null): boolean =>
  readiness?.missing['postgres']?.state === 'waiting';

test('while Postgres is away what leases hold is sent; what is left is sent once it is back', async () => {
  // Leases grow with what is spent of them.
  for (let round = 0; round < 3; round += 1)
    await outcomes.until('messages to be sent', sent(await traffic.write(120, CHANNELS)));
  postgres.cut();
  const meanwhile = await traffic.write(60, CHANNELS);
  await outcomes.until('some of them to be sent without Postgres', () =>
    meanwhile.some((request) => sent([request])()),
  );
  await worker.until(waitsForPostgres);
  postgres.restore();
  await outcomes.until('all of them to be sent', sent(meanwhile));
}, 120_000);

test('then each message has one end, and the ledger agrees to the micro: nothing is held any more', async () => {
  expectSaidOnce(outcomes.feedback);
  expect(outcomes.refused).toEqual([]);
  const ends = endsOf(outcomes, traffic.requests);
  expect(ends.open).toEqual([]);
  await expectLedger(installation, ends);
  const { out } = await commandLine(installation.variables)('budget', 'leases');
  expect(out).toBe('No lease is open.');
}, 90_000);

test('what leases spent is added up again from its log; a ledger that says otherwise is found out', async () => {
  const add = async () => {
    const { code, json } = await commandLine(installation.variables)(
      ...['budget', 'leases', '--re-add', '--json'],
    );
    const found = json() as { spends: number; leases: { lease: number; verdict: string }[] };
    return { code, ...found };
  };
  const { code, spends, leases } = await add();
  expect(code).toBe(0);
  // The others were asked about directly: the first ones of an account while it had no lease.
  expect(spends).toBeGreaterThan(traffic.requests.length / 2);
  expect(leases.map(({ verdict }) => verdict)).toEqual(leases.map(() => 'same'));
  const text =
    'update leases set units_spent = units_spent + $1 where units_spent > 0 returning lease_id';
  const [wrong] = await installation.database.query<{ lease_id: number }>({ name: '', text }, [-1]);
  const again = await add();
  expect(again.code).toBe(3);
  expect(again.leases.find(({ lease }) => lease === wrong?.lease_id)?.verdict).toBe('differs');
}, 60_000);
