import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startSimulator } from '../../../infra/providers/simulator.js';
import type { Simulator } from '../../../infra/providers/simulator.js';
import type { CallChange } from '../fixtures.js';
import { callOf, ENVIRONMENT, KEYS, WEBHOOK_SECRET, webhookConfig } from '../fixtures.js';
import { webhook } from './adapter.js';

let simulator: Simulator;
/** A receiver of our own: shows what was sent, and answers whatever the test wants. */
let receiver: Server;
let receiverUrl: string;
let received: { headers: IncomingHttpHeaders; body: string } | null;
let answer: { status: number; headers?: Record<string, string> };

beforeAll(async () => {
  simulator = await startSimulator({
    port: 0,
    seed: '1',
    keys: KEYS,
    webhookSecret: WEBHOOK_SECRET,
  });
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received = { headers: request.headers, body: Buffer.concat(chunks).toString() };
      response.writeHead(answer.status, answer.headers).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  receiverUrl = `http://127.0.0.1:${String((receiver.address() as AddressInfo).port)}/hook?of=acme`;
});
beforeEach(() => {
  simulator.control({ reset: true, change: { latencyMs: { p50: 0, p99: 0 }, errors: {} } });
  received = null;
  answer = { status: 200 };
});
afterAll(async () => {
  await simulator.close();
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
});

const outcome = async (
  call: CallChange,
  environment: Readonly<Record<string, string>> = ENVIRONMENT,
) => {
  const config = webhookConfig();
  const provider = webhook.open({ config, environment, now: Date.now });
  try {
    return (await provider.submit([callOf(config, call)])).outcomes[0];
  } finally {
    await provider.close();
  }
};

test('is signed as Standard Webhooks says, under the idempotency key', async () => {
  expect(await outcome({ webhookUrl: receiverUrl, index: 5 })).toMatchObject({ kind: 'accepted' });
  const { headers, body } = received ?? { headers: {}, body: '' };
  const verified = new Webhook(WEBHOOK_SECRET).verify(body, headers as Record<string, string>);
  expect(verified).toMatchObject({
    type: 'message',
    data: { templateId: 'welcome', text: "Hello O'Neil & 王*(+), {missing}" },
  });
  expect(headers['webhook-id']).toBe('acme-0198f3c2-7b1e-7c55-9a1b-000000000005-0');
});

test('the receiver’s verification refuses another secret', async () => {
  const webhookUrl = `${simulator.url}/webhook/acme`;
  expect(await outcome({ webhookUrl })).toMatchObject({ kind: 'accepted' });
  const other = `whsec_${Buffer.from('another secret').toString('base64')}`;
  expect(
    await outcome({ webhookUrl }, { ...ENVIRONMENT, TEST_WEBHOOK_SECRET: other }),
  ).toMatchObject({ kind: 'failed.content', providerCode: 'HTTP 401' });
});

test.each([
  { status: 200, kind: 'accepted' },
  { status: 204, kind: 'accepted' },
  { status: 302, kind: 'failed.recipient' },
  { status: 400, kind: 'failed.content' },
  { status: 404, kind: 'failed.content' },
  { status: 408, kind: 'failed.provider' },
  { status: 410, kind: 'failed.recipient' },
  { status: 429, kind: 'throttled' },
  { status: 500, kind: 'failed.provider' },
  { status: 503, kind: 'failed.provider' },
  { status: 599, kind: 'failed.provider' },
])('HTTP $status is $kind', async ({ status, kind }) => {
  answer = { status };
  expect(await outcome({ webhookUrl: receiverUrl })).toMatchObject({
    kind,
    providerCode: `HTTP ${String(status)}`,
  });
});

test.each([
  { status: 429, after: '7', retryAfterMs: 7_000 },
  { status: 503, after: '120', retryAfterMs: 120_000 },
  { status: 429, after: 'soon', retryAfterMs: null },
])('retry-after $after of HTTP $status is honoured', async ({ status, after, retryAfterMs }) => {
  answer = { status, headers: { 'retry-after': after } };
  expect(await outcome({ webhookUrl: receiverUrl })).toMatchObject({
    kind: 'throttled',
    retryAfterMs,
  });
});

test('retry-after as an HTTP date is honoured', async () => {
  answer = {
    status: 429,
    headers: { 'retry-after': new Date(Date.now() + 60_000).toUTCString() },
  };
  const throttled = await outcome({ webhookUrl: receiverUrl });
  expect(throttled).toMatchObject({ kind: 'throttled' });
  const afterMs = throttled?.kind === 'throttled' ? (throttled.retryAfterMs ?? 0) : 0;
  expect(afterMs).toBeGreaterThan(50_000);
  expect(afterMs).toBeLessThanOrEqual(60_000);
});

test('a tenant without URL or secret is our account’s fault: nobody is asked', async () => {
  expect(await outcome({})).toMatchObject({ kind: 'failed.account' });
  expect(
    await outcome({ webhookUrl: receiverUrl }, { ...ENVIRONMENT, TEST_WEBHOOK_SECRET: '' }),
  ).toMatchObject({ kind: 'failed.account' });
  expect(received).toBeNull();
});

test('accepted but never answered is ambiguous; the same id again is seen as repeated', async () => {
  const webhookUrl = `${simulator.url}/webhook/acme`;
  simulator.control({ endpoint: 'webhook/acme', change: { unanswered: 1 } });
  expect(await outcome({ webhookUrl, index: 9, timeoutMs: 150 })).toMatchObject({
    kind: 'timeout',
  });
  simulator.control({ endpoint: 'webhook/acme', change: { unanswered: 0 } });
  expect(await outcome({ webhookUrl, index: 9 })).toMatchObject({ kind: 'accepted' });
});

test('a secret that is no base64 is not quoted', async () => {
  const environment = { ...ENVIRONMENT, TEST_WEBHOOK_SECRET: 'whsec_!!canary!!' };
  const failed = await outcome({ webhookUrl: receiverUrl }, environment);
  expect(JSON.stringify(failed)).not.toContain('canary');
});
