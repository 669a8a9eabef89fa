import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Installation } from '../installation/installation.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { endsOf, expectLedger, expectSaidOnce } from './accounting.js';
import { type Carriers, startCarriers } from './carriers.js';
import { installAcceptance } from './fixture.js';
import { Outcomes } from './outcomes.js';
import { Traffic } from './traffic.js';

/** One that cannot be asked twice, and one that may. */
const CHANNELS = ['sms', 'webhook'];
/** Of a worker told to end: what it has taken, its carriers' slowest answer, leaving its groups. */
const STOP_DEADLINE_MS = 15_000;

let installation: Installation;
let carriers: Carriers;
let outcomes: Outcomes;
let traffic: Traffic;
let worker: WorkerProcess;

beforeAll(async () => {
  carriers = await startCarriers();
  // Slow enough that calls are always under way.
  carriers.simulator.control({ change: { latencyMs: { p50: 150, p99: 600 }, errors: {} } });
  installation = await installAcceptance('restarts', { simulatorUrl: carriers.simulator.url });
  outcomes = await Outcomes.follow(installation);
  traffic = await Traffic.open(installation);
  worker = await WorkerProcess.start(installation.variables, []);
}, 180_000);

afterAll(async () => {
  await worker.stop();
  await traffic.close();
  await outcomes.close();
  await carriers.simulator.close();
  await installation.remove();
}, 120_000);

const over = (): number => {
  const { accepted, held } = endsOf(outcomes, traffic.requests);
  return accepted.length + held.length;
};

/** Traffic flows, and some of it has come through. */
const underway = async (): Promise<void> => {
  const before = over();
  traffic.flow(60, CHANNELS);
  await outcomes.until('traffic to come through', () => over() >= before + 40);
};

test('SIGTERM amid traffic: it ends with 0 within its deadline, and the next worker goes on', async () => {
  await underway();
  const started = Date.now();
  const ending = await worker.stop();
  expect(ending, worker.log.slice(-4_000)).toEqual({ code: 0, signal: null });
  expect(Date.now() - started).toBeLessThan(STOP_DEADLINE_MS);
  worker = await WorkerProcess.start(installation.variables, []);
  await traffic.pause();
  await outcomes.until('everything to be sent', () => over() === traffic.requests.length);
  // It finished what it had begun: no attempt is left whose outcome nobody knows.
  expect(endsOf(outcomes, traffic.requests).held).toEqual([]);
}, 120_000);

test('SIGKILL amid traffic: the next worker finds the calls that were under way, and asks none of them twice', async () => {
  await underway();
  await worker.kill();
  worker = await WorkerProcess.start(installation.variables, []);
  await traffic.pause();
  await outcomes.until('everything to end or be held', () => over() === traffic.requests.length);
  const { held } = endsOf(outcomes, traffic.requests);
  // It was killed with calls under way: were none held, they would have been forgotten, or asked again.
  expect(held.length).toBeGreaterThan(0);
  expect(new Set(held.flatMap(({ channels }) => channels))).toEqual(new Set(['sms']));
}, 120_000);

test('after both, nothing is lost or doubled, and the ledger agrees to the micro', async () => {
  const ends = endsOf(outcomes, traffic.requests);
  expect(ends.open).toEqual([]);
  expect(ends.refused).toEqual([]);
  expectSaidOnce(outcomes.feedback);
  expect(outcomes.deadLetters).toEqual([]);
  await expectLedger(installation, ends);
  const asked = await carriers.asked();
  const sms = asked.filter(({ endpoint }) => endpoint.startsWith('sms'));
  expect(sms.filter(({ nth }) => nth > 1)).toEqual([]);
  // A receiver that dedupes carried each message out once, however often it was told.
  const carriedOut = asked.filter(
    ({ endpoint, accepted, repeated }) => !endpoint.startsWith('sms') && accepted && !repeated,
  );
  expect(new Set(carriedOut.map(({ reference }) => reference)).size).toBe(carriedOut.length);
  const byWebhook = traffic.requests.filter(({ channels }) => channels[0] === 'webhook');
  expect(carriedOut).toHaveLength(byWebhook.length);
}, 90_000);
