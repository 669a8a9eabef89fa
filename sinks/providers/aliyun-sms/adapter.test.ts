import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startSimulator } from '../../../infra/providers/simulator.js';
import type { Simulator } from '../../../infra/providers/simulator.js';
import type { ProviderConfig } from '../../../schemas/config.js';
import type { CallChange } from '../fixtures.js';
import { aliyunConfig, callOf, ENVIRONMENT, KEYS, PHONE, WEBHOOK_SECRET } from '../fixtures.js';
import type { Submitted } from '../provider.js';
import { aliyunSms } from './adapter.js';
import { ANSWER_CODES } from './codes.js';

let simulator: Simulator;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-aliyun-'));
  simulator = await startSimulator({
    port: 0,
    seed: '1',
    keys: KEYS,
    webhookSecret: WEBHOOK_SECRET,
    journal: path.join(folder, 'journal.ndjson'),
  });
});
beforeEach(() => {
  simulator.control({ reset: true, change: { latencyMs: { p50: 0, p99: 0 } } });
});
afterAll(async () => {
  await simulator.close();
  await rm(folder, { recursive: true });
});

const submit = async (
  call: CallChange = {},
  config: ProviderConfig = aliyunConfig(simulator.url),
  environment: Readonly<Record<string, string>> = ENVIRONMENT,
): Promise<Submitted> => {
  const provider = aliyunSms.open({ config, environment, now: Date.now });
  try {
    return await provider.submit([callOf(config, call)]);
  } finally {
    await provider.close();
  }
};
const outcome = async (...asked: Parameters<typeof submit>) => (await submit(...asked)).outcomes[0];

test('a rightly signed request is accepted, whatever its parameters hold, and names its message', async () => {
  const accepted = await outcome({ index: 1 });
  expect(accepted).toMatchObject({
    kind: 'accepted',
    providerCode: 'OK',
    providerMessageId: expect.stringMatching(/^\d+\^0$/) as string,
  });
});

test('a wrong secret or key id is our account’s fault, not the message’s', async () => {
  expect(await outcome({}, undefined, { ...ENVIRONMENT, TEST_KEY_SECRET: 'other' })).toEqual({
    kind: 'failed.account',
    providerCode: 'SignatureDoesNotMatch',
  });
  expect(await outcome({}, undefined, { ...ENVIRONMENT, TEST_KEY_ID: 'other' })).toEqual({
    kind: 'failed.account',
    providerCode: 'InvalidAccessKeyId.NotFound',
  });
});

test('every code of the table comes out as the table says', async () => {
  const config = aliyunConfig(simulator.url);
  const provider = aliyunSms.open({ config, environment: ENVIRONMENT, now: Date.now });
  for (const [code, kind] of Object.entries(ANSWER_CODES)) {
    simulator.control({ change: { errors: { [code]: 1 } } });
    const { outcomes } = await provider.submit([callOf(config)]);
    expect(outcomes[0]).toMatchObject({ kind, providerCode: code });
  }
  await provider.close();
});

test.each([
  { code: 'isv.SOMETHING_NEW', kind: 'failed.content' },
  { code: 'Throttling.New', kind: 'throttled' },
  // Nobody can say whether it was sent: never retried.
  { code: 'SomethingNew', kind: 'unknown' },
])('a code that no table has: $code is $kind', async ({ code, kind }) => {
  simulator.control({ change: { errors: { [code]: 1 } } });
  expect(await outcome()).toMatchObject({ kind });
});

test('a number that is none is refused by the service', async () => {
  expect(await outcome({ phone: 'none' })).toEqual({
    kind: 'failed.recipient',
    providerCode: 'isv.MOBILE_NUMBER_ILLEGAL',
  });
});

test('over its rate the provider throttles', async () => {
  simulator.control({ change: { throttlePerSecond: 1 } });
  const kinds = await Promise.all(
    [1, 2, 3, 4].map(async (index) => (await outcome({ index }))?.kind),
  );
  expect(kinds).toContain('throttled');
});

test('accepted but never answered is an ambiguous time-out at the deadline', async () => {
  simulator.control({ change: { unanswered: 1 } });
  const began = Date.now();
  const { outcomes, calledAt } = await submit({ timeoutMs: 200 });
  expect(outcomes[0]).toMatchObject({ kind: 'timeout' });
  expect(calledAt).not.toBeNull();
  expect(Date.now() - began).toBeGreaterThanOrEqual(195);
});

test('a connection cut after the request was written is ambiguous', async () => {
  simulator.control({ change: { outage: 'reset' } });
  expect(await outcome()).toMatchObject({ kind: 'timeout' });
});

test('an HTTP 503 of the gateway is the provider’s failure', async () => {
  simulator.control({ change: { outage: 'error' } });
  expect(await outcome()).toEqual({ kind: 'failed.provider', providerCode: 'HTTP 503' });
});

test('a refused connection asked nobody: safe to try again', async () => {
  const { outcomes, calledAt } = await submit({}, aliyunConfig('http://127.0.0.1:1'));
  expect(outcomes[0]).toEqual({ kind: 'failed.provider', providerCode: 'ECONNREFUSED' });
  expect(calledAt).toBeNull();
});

test('TLS that cannot be established asked nobody', async () => {
  const config = aliyunConfig(simulator.url.replace('http:', 'https:'));
  expect(await outcome({}, config)).toMatchObject({ kind: 'failed.provider' });
});

test('a name that does not resolve asked nobody', async () => {
  expect(await outcome({}, aliyunConfig('http://nowhere.invalid'))).toMatchObject({
    kind: 'failed.provider',
  });
});

test('nothing is written after startBy', async () => {
  const config = aliyunConfig(simulator.url, { name: 'late' });
  expect(await outcome({ startInMs: -1, index: 77 }, config)).toEqual({ kind: 'not_called' });
  expect(await journal()).not.toContain('00000000004d');
});

test('one connection serves many calls', async () => {
  const sockets = new Set<unknown>();
  const server = createServer((request, response) => {
    sockets.add(request.socket);
    request.resume().on('end', () => response.end('{"Code":"OK","BizId":"1^0"}'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = aliyunConfig(`http://127.0.0.1:${String(port)}`, { concurrency: 2 });
  const provider = aliyunSms.open({ config, environment: ENVIRONMENT, now: Date.now });
  for (let index = 0; index < 20; index += 1) await provider.submit([callOf(config, { index })]);
  expect(sockets.size).toBeLessThanOrEqual(2);
  await provider.close();
  await new Promise((resolve) => server.close(resolve));
});

test('an answer that is not Aliyun’s says nothing: held, never retried', async () => {
  const server = createServer((_request, response) => response.end('<html>a proxy</html>'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const answered = await outcome({}, aliyunConfig(`http://127.0.0.1:${String(port)}`));
  expect(answered).toEqual({ kind: 'unknown', providerCode: 'HTTP 200' });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test.each(['TEST_KEY_ID', 'TEST_KEY_SECRET'])('a missing %s is named, and no value is', (name) => {
  const environment = { ...ENVIRONMENT, [name]: '' };
  const open = () =>
    aliyunSms.open({ config: aliyunConfig(simulator.url), environment, now: Date.now });
  expect(open).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  expect(open).toThrow(new RegExp(name));
  expect(open).not.toThrow(/canary/);
});

test('secrets and phone numbers never leave in an outcome', async () => {
  const outcomes = [];
  for (const outage of ['reset', 'error', 'none'] as const) {
    simulator.control({ change: { outage } });
    outcomes.push(await submit());
  }
  outcomes.push(await submit({}, aliyunConfig('http://127.0.0.1:1')));
  const text = JSON.stringify(outcomes);
  for (const canary of [KEYS.accessKeySecret, PHONE]) expect(text).not.toContain(canary);
  expect(await journal()).not.toContain(PHONE);
});

const journal = async (): Promise<string> => {
  await simulator.flush();
  return readFile(path.join(folder, 'journal.ndjson'), 'utf8');
};

/** What the simulated carrier says of a submission that its client never heard of again. */
const asked = async (
  call: CallChange,
  environment: Readonly<Record<string, string>> = ENVIRONMENT,
) => {
  const config = aliyunConfig(simulator.url);
  const provider = aliyunSms.open({ config, environment, now: Date.now });
  const submission = callOf(config, call);
  const now = Date.now();
  try {
    return await provider.query?.({
      routed: { ...submission.routed, routedAt: now - 60_000 },
      reference: submission.reference,
      idempotencyKey: submission.idempotencyKey,
      heldAt: now,
      deadline: now + 5_000,
    });
  } finally {
    await provider.close();
  }
};

test('asked about a message that it took and never answered, it says so; then what its carrier reported', async () => {
  simulator.control({
    change: { unanswered: 1, receipts: { delayMs: { p50: 60_000, p99: 60_000 }, errors: {} } },
  });
  expect(await outcome({ index: 9_001, timeoutMs: 300 })).toMatchObject({ kind: 'timeout' });
  expect(await asked({ index: 9_001 })).toMatchObject({ kind: 'reported', state: 'accepted' });

  simulator.control({ change: { receipts: { delayMs: { p50: 0, p99: 0 } } } });
  await outcome({ index: 9_002, timeoutMs: 300 });
  expect(await asked({ index: 9_002 })).toMatchObject({
    kind: 'reported',
    state: 'delivered',
    class: null,
    providerCode: 'DELIVERED',
    reportedAt: expect.any(Number) as number,
  });

  simulator.control({ change: { receipts: { errors: { MOBILE_IN_BLACK: 1 } } } });
  await outcome({ index: 9_003, timeoutMs: 300 });
  expect(await asked({ index: 9_003 })).toMatchObject({
    kind: 'reported',
    state: 'failed',
    class: 'recipient',
    providerCode: 'MOBILE_IN_BLACK',
  });
});

test('a message that it never took is not found, among many others to the same number', async () => {
  simulator.control({ change: { outage: 'reset' } });
  await outcome({ index: 9_100 });
  simulator.control({ reset: true, change: { latencyMs: { p50: 0, p99: 0 } } });
  for (let index = 9_101; index < 9_146; index += 1) await outcome({ index });
  expect(await asked({ index: 9_100 })).toEqual({ kind: 'not_found' });
  // On the last page: the newest come first.
  expect(await asked({ index: 9_101 })).toMatchObject({ kind: 'reported' });
});

test('where it cannot be asked, or refuses, nothing is concluded', async () => {
  simulator.control({ change: { outage: 'error' } });
  expect(await asked({ index: 9_101 })).toEqual({ kind: 'no_answer', code: 'HTTP 503' });
  simulator.control({ change: { outage: 'reset' } });
  expect(await asked({ index: 9_101 })).toMatchObject({ kind: 'no_answer' });
  simulator.control({ reset: true });
  expect(await asked({ index: 9_101 }, { ...ENVIRONMENT, TEST_KEY_SECRET: 'other' })).toEqual({
    kind: 'no_answer',
    code: 'SignatureDoesNotMatch',
  });
});
