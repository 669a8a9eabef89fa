import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { projectRoot } from '../../schemas/root.js';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import { startCallbacks } from '../../sinks/callbacks/server.js';
import type { CallbackServer } from '../../sinks/callbacks/server.js';
import { ProviderGates } from '../../sinks/providers/dispatch.js';
import {
  aliyunConfig,
  callOf,
  ENVIRONMENT,
  KEYS,
  WEBHOOK_SECRET,
} from '../../sinks/providers/fixtures.js';
import { receiptFormats } from '../../sinks/providers/index.js';
import type { Entry } from './journal.js';
import type { Simulator, SimulatorOptions } from './simulator.js';
import { startSimulator } from './simulator.js';

let folder: string;
let callbacks: CallbackServer;
let simulator: Simulator;
let received: ProviderReceipt[];
let deliver: (receipts: readonly ProviderReceipt[]) => Promise<void>;

const start = async (change: Partial<SimulatorOptions> = {}): Promise<void> => {
  simulator = await startSimulator({
    port: 0,
    seed: 'seed',
    keys: KEYS,
    webhookSecret: WEBHOOK_SECRET,
    callbackUrl: `http://127.0.0.1:${String(callbacks.port)}`,
    journal: path.join(folder, 'journal.ndjson'),
    // A minute is 30 ms.
    timeFactor: 0.0005,
    ...change,
  });
  simulator.control({ change: { latencyMs: { p50: 0, p99: 0 }, receipts: { late: 0 } } });
};

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-simulator-'));
  received = [];
  deliver = (receipts) => {
    received.push(...receipts);
    return Promise.resolve();
  };
  const formats = receiptFormats([
    { name: 'sms', address: 'phone', providers: [aliyunConfig('http://127.0.0.1:1')] },
  ]);
  callbacks = await startCallbacks({
    port: 0,
    provider: (name) => formats.get(name),
    deliver: (receipts) => deliver(receipts),
  });
  await start();
});
afterEach(async () => {
  await simulator.close();
  await callbacks.close();
  await rm(folder, { recursive: true });
});

const sendAll = async (count: number): Promise<void> => {
  const gates = new ProviderGates({ environment: ENVIRONMENT });
  // No call may be given up because the machine is busy: what was never asked has no receipt.
  const config = aliyunConfig(simulator.url, { concurrency: 32, timeoutMs: 60_000 });
  const calls = Array.from({ length: count }, (_, index) => callOf(config, { index }));
  for await (const { outcome } of gates.perform(calls)) expect(outcome.kind).not.toBe('not_called');
  await gates.close();
};
const journal = async (): Promise<readonly Entry[]> => {
  await simulator.flush();
  const text = await readFile(path.join(folder, 'journal.ndjson'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry);
};
const quiet = (): Promise<void> =>
  vi.waitFor(() => {
    expect(simulator.waitingReceipts()).toBe(0);
  }, 10_000);

test('each accepted message is reported; about 5 % failed, as carriers do', async () => {
  simulator.control({ change: { receipts: { duplicate: 0 } } });
  await sendAll(400);
  await quiet();
  expect(received).toHaveLength(400);
  const failed = received.filter(({ state }) => state === 'failed').length;
  expect(failed).toBeGreaterThan(6);
  expect(failed).toBeLessThan(40);
});

test('the same seed gives each message the same fate; another seed another', async () => {
  simulator.control({ change: { errors: { 'isp.SYSTEM_ERROR': 0.3 } } });
  const fates = async (): Promise<readonly string[]> => {
    await sendAll(100);
    return (await journal())
      .flatMap((entry) => (entry.kind === 'asked' ? [`${entry.reference} ${entry.answer}`] : []))
      .slice(-100)
      .sort();
  };
  const first = await fates();
  expect(await fates()).toEqual(first);
  await simulator.close();
  await start({ seed: 'other' });
  simulator.control({ change: { errors: { 'isp.SYSTEM_ERROR': 0.3 } } });
  expect(await fates()).not.toEqual(first);
});

test('the journal tells how often each attempt was asked', async () => {
  await sendAll(3);
  await sendAll(1);
  const asked = (await journal()).filter((entry) => entry.kind === 'asked');
  expect(asked.map(({ nth }) => nth)).toEqual([1, 1, 1, 2]);
});

test('what is not acknowledged is pushed again after 1, 5 and 10 minutes, then given up', async () => {
  deliver = () => Promise.reject(new Error('away'));
  simulator.control({ change: { receipts: { duplicate: 0 } } });
  await sendAll(1);
  await quiet();
  const pushes = (await journal()).filter((entry) => entry.kind === 'receipt');
  expect(pushes.map(({ push, acknowledged }) => ({ push, acknowledged }))).toEqual([
    { push: 1, acknowledged: false },
    { push: 2, acknowledged: false },
    { push: 3, acknowledged: false },
    { push: 4, acknowledged: false },
  ]);
});

test('duplicates come although they were acknowledged; lost ones never come', async () => {
  simulator.control({ change: { receipts: { duplicate: 1 } } });
  await sendAll(10);
  await quiet();
  expect(received).toHaveLength(20);
  simulator.control({ change: { receipts: { lost: 1 } } });
  await sendAll(10);
  await quiet();
  expect(received).toHaveLength(20);
});

test('behaviour changes over HTTP, for one endpoint, at once and on schedule', async () => {
  const control = async (body: object): Promise<Response> =>
    fetch(`${simulator.url}/control`, { method: 'POST', body: JSON.stringify(body) });
  const answered = await control({
    endpoint: 'aliyun',
    change: { errors: { 'isv.AMOUNT_NOT_ENOUGH': 1 } },
    schedule: [{ afterMs: 50, change: { outage: 'error' } }],
  });
  expect(await answered.json()).toMatchObject({
    aliyun: { errors: { 'isv.AMOUNT_NOT_ENOUGH': 1 }, outage: 'none' },
  });
  await vi.waitFor(async () => {
    const now = (await (await fetch(`${simulator.url}/control`)).json()) as {
      aliyun: { outage: string };
    };
    expect(now.aliyun.outage).toBe('error');
  });
  await control({ reset: true });
  expect((await control({ change: { errors: { a: 0.6, b: 0.6 } } })).status).toBe(400);
  expect((await control({ change: { nonsense: 1 } })).status).toBe(400);
});

test('a request repeated on the wire is refused by its nonce', async () => {
  const seen: string[] = [];
  const { createServer } = await import('node:http');
  const recorder = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      seen.push(body);
      response.end('{"Code":"OK"}');
    });
  });
  await new Promise<void>((resolve) => recorder.listen(0, '127.0.0.1', resolve));
  const { port } = recorder.address() as { port: number };
  const gates = new ProviderGates({ environment: ENVIRONMENT });
  const config = aliyunConfig(`http://127.0.0.1:${String(port)}`);
  for await (const { call } of gates.perform([callOf(config)])) expect(call.provider).toBe(config);
  await gates.close();
  await new Promise((resolve) => recorder.close(resolve));
  const send = async () => {
    const response = await fetch(`${simulator.url}/aliyun`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: seen[0] ?? '',
    });
    return ((await response.json()) as { Code: string }).Code;
  };
  expect(await send()).toBe('OK');
  expect(await send()).toBe('SignatureNonceUsed');
});

const main = path.join(projectRoot(), 'dist/infra/providers/main.js');
test('as a process: says when it is ready, answers its health path, stops on SIGTERM', async () => {
  expect(existsSync(main), 'npm run build comes first').toBe(true);
  const child = spawn(process.execPath, [main, '--port', '0']);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exit = once(child, 'exit');
  try {
    await vi.waitFor(() => {
      // A process that died says why in the failure.
      expect(child.exitCode, said).toBeNull();
      expect(said).toMatch(/^providers: ready http:\/\/127\.0\.0\.1:\d+\n$/);
    }, 20_000);
    const url = said.trim().replace('providers: ready ', '');
    expect((await fetch(`${url}/health`)).status).toBe(200);
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
  } finally {
    child.kill('SIGKILL');
  }
});
