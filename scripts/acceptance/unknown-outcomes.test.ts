import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Entry } from '../../infra/providers/journal.js';
import { type Simulator, startSimulator } from '../../infra/providers/simulator.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { expectSaidOnce } from './accounting.js';
import { SECRETS, installAcceptance } from './fixture.js';
import { Outcomes } from './outcomes.js';
import { Traffic } from './traffic.js';

/*
 * A worker is killed while carriers that have taken messages have not answered yet; one channel for each policy. The
 * simulated carriers' journal is the witness of what was asked.
 */
const EACH = 5;
const CHANNELS = ['sms', 'sms_query', 'sms_receipt', 'webhook'] as const;

/** Channels beside the acceptance tests' own: `sms` holds, `webhook` retries. */
const smsChannel = (name: string, policy: string): string => `
- name: sms_${name}
  address: phone
  providers:
    - name: ${name}-RUN
      adapter: aliyun-sms
      url: http://simulator.invalid/${name}-RUN
      price: '0.045'
      currency: CNY
      billing: on_delivery
      dedupesOnKey: false
      unknownOutcome: ${policy}
      receipts: true
      timeoutMs: 60000
      settings:
        accessKeyIdEnv: ALIYUN_ACCESS_KEY_ID
        accessKeySecretEnv: ALIYUN_ACCESS_KEY_SECRET
        signName: Millrace
`;
const edit = (file: string, text: string): string => {
  if (file === 'channels.yaml')
    return (
      text.replaceAll('timeoutMs: 10000', 'timeoutMs: 60000') +
      smsChannel('query', 'query') +
      smsChannel('receipt', 'receipt')
    );
  if (file === 'templates.yaml')
    return text.replaceAll(/sms-RUN: (\w+)/g, 'sms-RUN: $1, query-RUN: $1, receipt-RUN: $1');
  return text;
};

let simulator: Simulator;
let installation: Installation;
let outcomes: Outcomes;
let traffic: Traffic;
let worker: WorkerProcess;
let journal: string;

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
};

const entries = async (): Promise<readonly Entry[]> => {
  await simulator.flush();
  return readFileSync(journal, 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Entry]));
};
const asked = async (): Promise<readonly Extract<Entry, { kind: 'asked' }>[]> =>
  (await entries()).flatMap((entry) => (entry.kind === 'asked' ? [entry] : []));

beforeAll(async () => {
  journal = path.join(mkdtempSync(path.join(os.tmpdir(), 'millrace-unknown-')), 'journal');
  const callbackPort = await freePort();
  simulator = await startSimulator({
    port: 0,
    seed: '1',
    keys: {
      accessKeyId: SECRETS.ALIYUN_ACCESS_KEY_ID,
      accessKeySecret: SECRETS.ALIYUN_ACCESS_KEY_SECRET,
    },
    webhookSecret: SECRETS.WEBHOOK_SECRET,
    callbackUrl: `http://127.0.0.1:${callbackPort.toString()}`,
    // Receipts that nobody takes while the worker is dead are pushed again after 6, 30 and 60 s.
    timeFactor: 0.1,
    journal,
  });
  installation = await installAcceptance('unknown', {
    simulatorUrl: simulator.url,
    variables: { CALLBACK_PORT: callbackPort.toString() },
    edit,
  });
  simulator.control({
    change: {
      latencyMs: { p50: 120_000, p99: 120_000 },
      errors: {},
      receipts: { delayMs: { p50: 1, p99: 1 }, errors: {}, late: 0, lost: 0, duplicate: 0 },
    },
  });
  for (const name of ['sms', 'query'])
    simulator.control({
      endpoint: `${name}-${installation.id}`,
      change: { receipts: { lost: 1 } },
    });
  outcomes = await Outcomes.follow(installation);
  traffic = await Traffic.open(installation);
  worker = await WorkerProcess.start(installation.variables, []);
}, 180_000);

afterAll(async () => {
  await worker.stop();
  await traffic.close();
  await outcomes.close();
  await simulator.close();
  await installation.remove();
}, 120_000);

const by = (channel: string): readonly MessageRequest[] =>
  traffic.requests.filter(({ channels }) => channels[0] === channel);
/** The states of a message's feedback, in order of sequence. */
const told = ({ messageId }: MessageRequest): readonly string[] =>
  outcomes.feedback
    .map(({ value }) => value)
    .filter((value) => value.messageId === messageId)
    .sort((a, b) => a.sequence - b.sequence)
    .map(({ state, terminal }) => (terminal ? `${state}.` : state));

test('killed between claim and answer, each attempt ends as its provider’s policy says, and none is asked twice', async () => {
  await traffic.write(EACH * CHANNELS.length, CHANNELS);
  await until('every carrier to be asked', 60_000, async () => {
    const all = await asked();
    return all.length === EACH * CHANNELS.length;
  });
  await worker.kill();
  // From now on carriers answer at once: only the killed worker's calls have no answer.
  simulator.control({ change: { latencyMs: { p50: 1, p99: 1 } } });
  worker = await WorkerProcess.start(installation.variables, []);
  await outcomes.until(
    'what can be known to be known',
    () =>
      [...by('sms_query'), ...by('sms_receipt'), ...by('webhook')].every(
        ({ messageId }) => outcomes.ends(messageId).length > 0,
      ) && by('sms').every((request) => told(request).length > 0),
    120_000,
  );
  expect(new Set(by('sms').map((one) => told(one).join()))).toEqual(new Set(['held']));
  expect(new Set(by('sms_query').map((one) => told(one).join()))).toEqual(
    new Set(['held,delivered.']),
  );
  expect(new Set(by('sms_receipt').map((one) => told(one).join()))).toEqual(
    new Set(['held,delivered.']),
  );
  expect(new Set(by('webhook').map((one) => told(one).join()))).toEqual(
    new Set(['unknown,accepted.']),
  );
  const all = await asked();
  const sms = all.filter(({ endpoint }) => !endpoint.startsWith('webhook/'));
  expect(sms).toHaveLength(3 * EACH);
  expect(sms.filter(({ nth }) => nth > 1)).toEqual([]);
  const carriedOut = all.filter(
    ({ endpoint, accepted, repeated }) => endpoint.startsWith('webhook/') && accepted && !repeated,
  );
  expect(carriedOut).toHaveLength(EACH);
  expect((await entries()).filter(({ kind }) => kind === 'queried').length).toBeGreaterThanOrEqual(
    EACH,
  );
  expectSaidOnce(outcomes.feedback);
  expect(outcomes.deadLetters).toEqual([]);
}, 240_000);

test('only what is held keeps its money pending', async () => {
  const ledger = postgresLedger(installation.database);
  const totals = async (): Promise<{ pending: bigint; posted: bigint }> => {
    const balances = await ledger.balances();
    return {
      pending: balances.reduce((sum, { cash }) => sum + cash.pending, 0n),
      posted: balances.reduce((sum, { cash }) => sum + cash.posted, 0n),
    };
  };
  const expected = {
    pending: 45_000n * BigInt(EACH),
    posted: 45_000n * BigInt(2 * EACH) + 1_000n * BigInt(EACH),
  };
  await until('settle', 60_000, async () => {
    const { pending, posted } = await totals();
    return pending === expected.pending && posted === expected.posted;
  });
  expect(await totals()).toEqual(expected);
}, 90_000);
