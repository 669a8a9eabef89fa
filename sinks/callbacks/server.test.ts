import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import { aliyunConfig } from '../providers/fixtures.js';
import { receiptFormats } from '../providers/index.js';
import type { CallbackOptions, CallbackServer } from './server.js';
import { startCallbacks } from './server.js';

const NOW = 1_800_000_000_000;
const PHONE = '13912345678';
const REFERENCE = 'acme|0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c|0|1';

const push = [
  {
    phone_number: PHONE,
    report_time: '2026-11-23 20:00:05',
    success: false,
    err_code: 'MOBILE_IN_BLACK',
    sms_size: '1',
    biz_id: '123^0',
    out_id: REFERENCE,
  },
];

let server: CallbackServer;
let delivered: ProviderReceipt[];
let deliver: CallbackOptions['deliver'];
const pushed = vi.fn();

const start = async (change: Partial<CallbackOptions> = {}): Promise<void> => {
  const formats = receiptFormats([
    { name: 'sms', address: 'phone', providers: [aliyunConfig('http://127.0.0.1:1')] },
  ]);
  server = await startCallbacks({
    port: 0,
    provider: (name) => formats.get(name),
    deliver: (receipts) => deliver(receipts),
    now: () => NOW,
    pushed,
    ...change,
  });
};

beforeEach(async () => {
  delivered = [];
  deliver = (receipts) => {
    delivered.push(...receipts);
    return Promise.resolve();
  };
  pushed.mockClear();
  await start();
});
afterEach(() => server.close());

const post = async (path: string, body: string, method = 'POST') => {
  const response = await fetch(`http://127.0.0.1:${String(server.port)}${path}`, {
    method,
    ...(method === 'POST' ? { body } : {}),
  });
  return { status: response.status, body: await response.text() };
};

test('a push becomes receipts, and is acknowledged as the carrier wants it', async () => {
  expect(await post('/receipts/aliyun', JSON.stringify(push))).toEqual({
    status: 200,
    body: '{"code":0,"msg":"OK"}',
  });
  expect(delivered).toMatchObject([
    {
      provider: 'aliyun',
      channel: 'sms',
      origin: 'carrier',
      state: 'failed',
      class: 'recipient',
      providerCode: 'MOBILE_IN_BLACK',
      providerMessageId: '123^0',
      attempt: { tenantId: 'acme', attempt: 1 },
      receivedAt: NOW,
      deferrals: 0,
      dueAt: null,
    },
  ]);
  expect(JSON.stringify(delivered)).not.toContain(PHONE);
  expect(pushed).toHaveBeenCalledWith('aliyun', 'taken', 1);
});

test('it is acknowledged only once it is safe', async () => {
  let safe = (): void => undefined;
  let answered = false;
  deliver = () =>
    new Promise((resolve) => {
      safe = resolve;
    });
  const answer = post('/receipts/aliyun', JSON.stringify(push)).finally(() => {
    answered = true;
  });
  await vi.waitFor(() => {
    expect(safe.length).toBe(1);
  });
  expect(answered).toBe(false);
  safe();
  expect((await answer).status).toBe(200);
});

test('while Kafka is away the carrier is told to come again', async () => {
  deliver = () => Promise.reject(new PipelineError('kafka_unavailable', `broker ${PHONE}`));
  expect(await post('/receipts/aliyun', JSON.stringify(push))).toEqual({
    status: 503,
    body: '{"error":"unavailable"}',
  });
});

test.each([
  { it: 'an unknown provider', path: '/receipts/other', status: 404, error: 'not_found' },
  { it: 'another path', path: '/receipts', status: 404, error: 'not_found' },
  { it: 'a deeper path', path: '/receipts/aliyun/x/y', status: 404, error: 'not_found' },
  {
    it: 'a token where none is asked',
    path: '/receipts/aliyun/x',
    status: 404,
    error: 'not_found',
  },
  {
    it: 'the wrong method',
    path: '/receipts/aliyun',
    method: 'GET',
    status: 405,
    error: 'not_allowed',
  },
  {
    it: 'nonsense',
    path: '/receipts/aliyun',
    body: `{"x": "${PHONE}"`,
    status: 400,
    error: 'unreadable',
  },
  {
    it: 'over 1 MiB',
    path: '/receipts/aliyun',
    body: 'x'.repeat(1_048_577),
    status: 413,
    error: 'too_large',
  },
])(
  '$it gets $status and nothing of what it sent',
  async ({ path, method, body, status, error }) => {
    expect(await post(path, body ?? JSON.stringify(push), method)).toEqual({
      status,
      body: JSON.stringify({ error }),
    });
    expect(delivered).toEqual([]);
  },
);

test('with a token only its path is found', async () => {
  await server.close();
  await start({ token: 'shared-secret' });
  expect((await post('/receipts/aliyun', JSON.stringify(push))).status).toBe(404);
  expect((await post('/receipts/aliyun/guess', JSON.stringify(push))).status).toBe(404);
  expect((await post('/receipts/aliyun/shared-secret', JSON.stringify(push))).status).toBe(200);
});

test('an empty push is acknowledged, and writes nothing', async () => {
  deliver = () => Promise.reject(new Error('not called'));
  expect((await post('/receipts/aliyun', '[]')).status).toBe(200);
});

test('closing waits for the push under way', async () => {
  let safe = (): void => undefined;
  deliver = () =>
    new Promise((resolve) => {
      safe = resolve;
    });
  const answer = post('/receipts/aliyun', JSON.stringify(push));
  await vi.waitFor(() => {
    expect(safe.length).toBe(1);
  });
  const closed = server.close();
  safe();
  expect((await answer).status).toBe(200);
  await closed;
  await start();
});
