import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startSimulator } from '../../infra/providers/simulator.js';
import type { Simulator } from '../../infra/providers/simulator.js';
import type { Providers } from '../../processors/send/contract.js';
import type { Lane } from '../../schemas/generated/records.js';
import { ProviderGates } from './dispatch.js';
import type { ProvidersOptions } from './dispatch.js';
import {
  aliyunConfig,
  callOf,
  ENVIRONMENT,
  inProcessConfig,
  KEYS,
  WEBHOOK_SECRET,
} from './fixtures.js';
import type { Answer, Call } from './gate.js';
import { missingSecrets } from './index.js';

let simulator: Simulator;
let gates: ProviderGates;

const open = (options: Partial<ProvidersOptions> = {}): ProviderGates =>
  (gates = new ProviderGates({ environment: ENVIRONMENT, ...options }));

beforeEach(async () => {
  simulator = await startSimulator({
    port: 0,
    seed: '1',
    keys: KEYS,
    webhookSecret: WEBHOOK_SECRET,
  });
  simulator.control({ change: { latencyMs: { p50: 0, p99: 0 } } });
  open();
});
afterEach(async () => {
  gates.stop();
  await simulator.close();
  await gates.close();
});

const all = async (calls: readonly Call[]): Promise<Answer<Call>[]> => {
  const answers = [];
  for await (const answer of gates.perform(calls)) answers.push(answer);
  return answers;
};
const kinds = (answers: readonly Answer<Call>[]): readonly string[] =>
  answers.map(({ outcome }) => outcome.kind);
const eventually = (condition: () => boolean): Promise<void> =>
  vi.waitFor(() => {
    expect(condition()).toBe(true);
  }, 5_000);

test('fits the send stage’s port', () => {
  const port: Providers = gates;
  expect(port.admit([null])).toEqual([{ waitMs: 0 }]);
});

test('each call has exactly one answer, whichever provider it goes to', async () => {
  const calls = [aliyunConfig(simulator.url), inProcessConfig()].flatMap((config) =>
    Array.from({ length: 50 }, (_, index) => callOf(config, { index })),
  );
  const answers = await all(calls);
  expect(new Set(answers.map(({ call }) => call))).toEqual(new Set(calls));
  expect(answers).toHaveLength(100);
  for (const { calledAt, answeredAt } of answers)
    expect(answeredAt).toBeGreaterThanOrEqual(calledAt);
});

test('no calls, no answers, no waiting', async () => {
  expect(await all([])).toEqual([]);
});

test('the in-process provider fails the same share of messages in every run', async () => {
  const config = inProcessConfig({ settings: { failPercent: 3 }, ratePerSecond: 1_000_000 });
  const calls = Array.from({ length: 10_000 }, (_, index) => callOf(config, { index }));
  const failed = async () =>
    (await all(calls))
      .filter(({ outcome }) => outcome.kind === 'failed.recipient')
      .map(({ call }) => call.routed.reserved.deduped.request.messageId)
      .sort();
  const first = await failed();
  expect(first.length).toBeGreaterThan(250);
  expect(first.length).toBeLessThan(350);
  expect(await failed()).toEqual(first);
});

test('never more calls under way than the bulkhead allows, a bulk lane less', async () => {
  simulator.control({ change: { unanswered: 1 } });
  const config = aliyunConfig(simulator.url, { concurrency: 8, timeoutMs: 2_000 });
  const calls = (lane: Lane, from: number) =>
    Array.from({ length: 20 }, (_, index) => callOf(config, { index: from + index, lane }));
  const running = all([...calls('p3', 0)]);
  await eventually(() => gates.load()[0]?.running === 4);
  // The urgent lane still gets in at once, though every bulk call hangs.
  const urgent = all([...calls('p0', 100)]);
  await eventually(() => gates.load()[0]?.running === 8);
  expect(gates.load()).toEqual([{ provider: 'sms/aliyun', queued: 32, running: 8 }]);
  simulator.control({ change: { unanswered: 0 } });
  gates.stop();
  expect(kinds(await running).filter((kind) => kind === 'not_called')).toHaveLength(16);
  await urgent;
});

test('urgent lanes are called before what waited longer', async () => {
  const config = aliyunConfig(simulator.url, { concurrency: 1 });
  const lanes: Lane[] = ['p3', 'p3', 'p3', 'p2', 'p0'];
  const answers = await all(lanes.map((lane, index) => callOf(config, { lane, index })));
  expect(answers.map(({ call }) => call.lane)).toEqual(['p0', 'p2', 'p3', 'p3', 'p3']);
});

test('the pace is even: a halved rate halves it', async () => {
  const config = inProcessConfig({ ratePerSecond: 200, timeoutMs: 20_000 });
  const calls = Array.from({ length: 40 }, (_, index) =>
    callOf(config, { index, rateFactor: 0.5 }),
  );
  const began = Date.now();
  const answers = await all(calls);
  const tookMs = Date.now() - began;
  expect(kinds(answers).every((kind) => kind === 'accepted')).toBe(true);
  // 40 calls at 100 a second, of which the first two may go at once.
  expect(tookMs).toBeGreaterThanOrEqual(370);
  const inTenth = new Map<number, number>();
  for (const { calledAt } of answers) {
    const tenth = Math.floor((calledAt - began) / 100);
    inTenth.set(tenth, (inTenth.get(tenth) ?? 0) + 1);
  }
  expect(Math.max(...inTenth.values())).toBeLessThanOrEqual(13);
});

test('what cannot begin in time is answered not_called at once, and was never asked', async () => {
  const config = inProcessConfig({ ratePerSecond: 10, timeoutMs: 500 });
  const calls = Array.from({ length: 20 }, (_, index) => callOf(config, { index }));
  const began = Date.now();
  const answers = await all(calls);
  expect(Date.now() - began).toBeLessThan(1_500);
  const late = kinds(answers).filter((kind) => kind === 'not_called').length;
  expect(late).toBeGreaterThanOrEqual(14);
  expect(late).toBeLessThan(20);
});

test('a call’s time begins when its claim has committed, however long that took', async () => {
  const now = Date.now();
  const config = inProcessConfig({ timeoutMs: 500 });
  const slow = [0, 1].map((index) => ({ ...callOf(config, { index }), deadline: now + 3_000 }));
  vi.spyOn(Date, 'now').mockReturnValue(now + 2_000);
  try {
    expect(kinds(await all(slow))).toEqual(['accepted', 'accepted']);
  } finally {
    vi.restoreAllMocks();
  }
});

test('after a claim’s deadline nothing is asked: another may have taken its message over', async () => {
  const config = inProcessConfig({ timeoutMs: 500 });
  const call = { ...callOf(config), deadline: Date.now() - 1 };
  expect(kinds(await all([call]))).toEqual(['not_called']);
});

test('admission tells how long the next would wait, counting the batch itself', () => {
  const config = inProcessConfig({ ratePerSecond: 100 });
  const request = { channel: 'sms', provider: config, lane: 'p1' as const, rateFactor: 1 };
  const waits = gates.admit(Array.from({ length: 101 }, () => request)).map(({ waitMs }) => waitMs);
  expect(waits[0]).toBe(0);
  expect(waits[100]).toBeGreaterThan(900);
  expect(waits[100]).toBeLessThanOrEqual(1_000);
  const halved = gates.admit(Array.from({ length: 101 }, () => ({ ...request, rateFactor: 0.5 })));
  expect(halved[100]?.waitMs).toBeGreaterThan(1_900);
});

test('a hanging provider is seen by admission before any call has ended', async () => {
  simulator.control({ change: { unanswered: 1 } });
  const config = aliyunConfig(simulator.url, { concurrency: 2, timeoutMs: 1_000 });
  const running = all(Array.from({ length: 4 }, (_, index) => callOf(config, { index })));
  const request = { channel: 'sms', provider: config, lane: 'p1' as const, rateFactor: 1 };
  await eventually(() => (gates.admit([request])[0]?.waitMs ?? 0) > 200);
  gates.stop();
  await running;
});

test('stopped: what waits is not called, what is under way still answers', async () => {
  simulator.control({ change: { latencyMs: { p50: 150, p99: 150 } } });
  const abort = new AbortController();
  open({ signal: abort.signal });
  const config = aliyunConfig(simulator.url, { concurrency: 2 });
  const running = all(
    Array.from({ length: 6 }, (_, index) => callOf(config, { index, lane: 'p0' })),
  );
  await eventually(() => gates.load()[0]?.running === 2);
  abort.abort();
  const answered = kinds(await running);
  expect(answered.filter((kind) => kind === 'not_called')).toHaveLength(4);
  expect(answered.filter((kind) => kind === 'accepted')).toHaveLength(2);
  expect(kinds(await all([callOf(config, { index: 9 })]))).toEqual(['not_called']);
});

test('a provider whose secret is missing loses nothing: not called, and named', async () => {
  const unusable = vi.fn();
  open({ environment: {}, unusable });
  const config = aliyunConfig(simulator.url);
  expect(kinds(await all([callOf(config)]))).toEqual(['not_called']);
  expect(unusable).toHaveBeenCalledWith(
    'aliyun',
    expect.objectContaining({ code: 'config_invalid' }),
  );
  const channels = [
    { name: 'sms', address: 'phone' as const, providers: [config] as [typeof config] },
  ];
  expect(missingSecrets(channels, {})).toEqual([
    { provider: 'aliyun', variable: 'TEST_KEY_ID' },
    { provider: 'aliyun', variable: 'TEST_KEY_SECRET' },
  ]);
  expect(missingSecrets(channels, ENVIRONMENT)).toEqual([]);
});

test('a changed configuration is used from the next call on', async () => {
  const config = aliyunConfig('http://127.0.0.1:1');
  expect(kinds(await all([callOf(config)]))).toEqual(['failed.provider']);
  expect(kinds(await all([callOf(aliyunConfig(simulator.url))]))).toEqual(['accepted']);
});
